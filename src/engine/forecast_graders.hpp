#pragma once
// The graders of a forecast: every behavior file whole, with the programs that it names, so that
// the forecast can be verified where the study's own files are gone; and whether what this program
// and the study have is still that.

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "grading/behavior.hpp"

namespace understudy {

/// `behaviors` of understudy.forecast/1. kUsage: a file cannot be read, or is not UTF-8. Of a table
/// of verdicts only the hash is kept: it knows nothing of answers to come.
[[nodiscard]] Result<Json> frozen_graders(const std::string& study_directory,
                                          const std::vector<Behavior>& behaviors);

/// Built-in graders of this program, and the study's own files where they can be found, are still
/// those that the forecast holds. kMismatch names the one that is not.
Result<void> check_graders(const Json& document, const std::optional<std::string>& study);

/// grade.behaviors of a verification, whose files stand below its directory. Without the tables.
/// kInput: nothing is left.
[[nodiscard]] Result<std::vector<std::string>> grader_paths(const Json& document);
/// Writes them there; what is there already must be the same (kMismatch).
Result<void> write_graders(const Json& document, const std::string& directory);

}  // namespace understudy
