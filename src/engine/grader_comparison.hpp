#pragma once
// Two versions of a grader on the same answers. Verdicts of an older version stay in the store: a
// regrade costs no answer, and shows what it changes, draw by draw.

#include <string>

#include "base/json.hpp"
#include "engine/study.hpp"

namespace understudy {

/// understudy.grader_comparison/1: for each arm the table of verdicts before and now, which adds up
/// to its completed draws, and every answer whose verdict changed, by content id. "Now" is the
/// version that the study grades with; "before" the last other one that has graded the same
/// answers. kUsage where there is none.
[[nodiscard]] Result<Json> compare_graders(Study& study, const std::string& behavior);
/// At most `flips` changed answers an arm.
[[nodiscard]] std::string comparison_text(const Json& comparison, std::size_t flips);

}  // namespace understudy
