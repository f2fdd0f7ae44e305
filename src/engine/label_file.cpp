#include "engine/label_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/text.hpp"
#include "engine/study_files.hpp"
#include "estimate/table_reader.hpp"

namespace understudy {
namespace {

enum Column : std::size_t { kId, kTarget, kBehavior, kAnnotator, kRound };
constexpr std::size_t kNameBytesMax = 200;

// The label of a row, or why there is none.
Result<Label> label_of(Cells cells, const LabelDefaults& defaults,
                       const std::vector<std::string>& behaviors) {
  const auto bad = [](std::string reason) {
    return unexpected(ErrorCode::kInput, std::move(reason));
  };
  Label label;
  const auto id = parse_answer_id(trimmed(cells[kId]));
  if (!id) return bad("id is not 16 hexadecimal digits, as `label queue` prints them");
  label.answer = *id;
  const std::string_view behavior = trimmed(cells[kBehavior]);
  label.behavior = behavior.empty() ? defaults.behavior : std::string(behavior);
  if (label.behavior.empty()) return bad("no behavior: add the column, or name one (--behavior)");
  const bool known = behaviors.empty() || std::find(behaviors.begin(), behaviors.end(),
                                                    label.behavior) != behaviors.end();
  if (!known) return bad("behavior is not known" + did_you_mean(label.behavior, behaviors));
  const std::string_view annotator = trimmed(cells[kAnnotator]);
  label.annotator = annotator.empty() ? defaults.annotator : std::string(annotator);
  if (label.annotator.size() > kNameBytesMax || !is_valid_utf8(label.annotator)) {
    return bad(fmt::format("annotator is not a name of at most {} bytes", kNameBytesMax));
  }
  const auto target = parse_target(trimmed(cells[kTarget]));
  if (!target) return bad("target is not 1, 0 or unsure");
  label.target = *target;
  const std::string_view round = trimmed(cells[kRound]);
  const auto number = round.empty() ? std::optional<std::uint32_t>(1) : parse_round(round);
  if (!number) return bad("round is not a number from 1, or adjudication");
  label.round = *number;
  return label;
}

std::string labels_path(const std::string& directory) {
  return directory + "/labels.csv";
}

}  // namespace

Result<LabelFile> read_label_file(const std::string& path, const LabelDefaults& defaults,
                                  const std::vector<std::string>& behaviors) {
  UNDERSTUDY_TRY(TableReader table,
                 TableReader::open(path, {"id", "target", "behavior", "annotator", "round"}, 2));
  LabelFile file;
  std::set<Label, LabelOrder> taken;
  std::optional<std::uint64_t> last_offset;
  while (true) {
    const Result<bool> more = table.next();
    if (more && !*more) return file;
    const ErrorContext where = table.where();
    if (!more) {
      // A record of the wrong shape is one bad row; a file that can't be read on is the end.
      if (!where.byte_offset || last_offset == where.byte_offset) return unexpected(more.error());
      file.bad.push_back({where, more.error().message});
    } else if (trimmed(table.cells()[kTarget]).empty()) {
      ++file.unlabeled;
    } else if (Result<Label> label = label_of(table.cells(), defaults, behaviors); !label) {
      file.bad.push_back({where, label.error().message});
    } else if (!taken.insert(*label).second) {
      file.bad.push_back({where, "this annotator has labeled this answer before, in this round"});
    } else {
      file.rows.push_back({std::move(*label), where});
    }
    last_offset = where.byte_offset;
  }
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string label_csv(const Labels& labels) {
  std::string out = "id,behavior,annotator,target,round\n";
  for (const Label& label : labels.all()) {
    out +=
        fmt::format("{},{},{},{},{}\n", answer_id_text(label.answer), csv_cell(label.behavior),
                    csv_cell(label.annotator), target_name(label.target), round_name(label.round));
  }
  return out;
}

Result<Labels> study_labels(const std::string& directory) {
  const std::string path = labels_path(directory);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Labels();
  UNDERSTUDY_TRY(const LabelFile file, read_label_file(path, {}, {}));
  // Our own file: what is wrong with it came from outside, and must be seen.
  if (!file.bad.empty()) {
    return unexpected(ErrorCode::kInput, file.bad.front().reason, file.bad.front().where);
  }
  std::vector<Label> labels;
  for (const LabelRow& row : file.rows) labels.push_back(row.label);
  return Labels(std::move(labels));
}

Result<void> write_study_labels(const std::string& directory, const Labels& labels) {
  return write_whole_file(labels_path(directory), label_csv(labels));
}

}  // namespace understudy
