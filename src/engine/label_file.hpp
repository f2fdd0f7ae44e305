#pragma once
// Labels as a file: CSV (or JSON Lines) with the columns id, behavior, annotator, target, round.
// A study keeps its own in DIR/labels.csv, beside study.db and not in it: they are people's work,
// and outlive the database.
//
// A row that cannot be taken is reported by file, line and byte offset, and the rest goes on. No
// cell's text is ever in a message.

#include <string>
#include <vector>

#include "base/result.hpp"
#include "grading/labels.hpp"

namespace understudy {

struct BadRow {
  ErrorContext where;
  std::string reason;
};

struct LabelRow {
  Label label;
  ErrorContext where;
};

struct LabelFile {
  std::vector<LabelRow> rows;
  std::vector<BadRow> bad;
  std::uint64_t unlabeled = 0;  ///< rows without a target: what a queue's file still holds open
};

/// What rows without these cells stand for: a file of only id and target is of one behavior and
/// one annotator.
struct LabelDefaults {
  std::string behavior;  ///< empty: a row without a behavior is a bad row
  std::string annotator = "anonymous";
};

/// `behaviors` are the names that a row may have; none: any. Errors: the file can't be read, or
/// has no column id or target.
[[nodiscard]] Result<LabelFile> read_label_file(const std::string& path,
                                                const LabelDefaults& defaults,
                                                const std::vector<std::string>& behaviors);
/// With header, in canonical order.
[[nodiscard]] std::string label_csv(const Labels& labels);
/// A CSV cell, quoted where it has to be.
[[nodiscard]] std::string csv_cell(std::string_view text);

/// The labels of a study; none where there is no labels.csv.
[[nodiscard]] Result<Labels> study_labels(const std::string& directory);
Result<void> write_study_labels(const std::string& directory, const Labels& labels);

}  // namespace understudy
