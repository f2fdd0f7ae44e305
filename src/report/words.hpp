#pragma once
// The sentences that the terminal table and the HTML page share.

#include <string>

#include "report/numbers.hpp"
#include "report/view.hpp"

namespace understudy {

/// What is known of the change: "×19 (7–46), sure", "can’t tell yet: 1,900 more prefixes would",
/// "nothing seen in 150; floor 1,980".
[[nodiscard]] std::string change_text(const BehaviorView& behavior, const ReportView& view,
                                      NumberStyle style);
/// "language 20, no text 1"
[[nodiscard]] std::string reasons_text(const ReasonCounts& counts);
/// "12 of 150 answers can’t be graded (language 12)"; empty when all could.
[[nodiscard]] std::string ungraded_text(const VerdictTally& tally);
/// Why nothing is known of the candidate's rate: "no judge", "ungradable: language", "no draws".
[[nodiscard]] std::string not_measured_reason(const BehaviorView& behavior);
/// What was graded, with the caps that apply: "graders 12 rules, window 192 tokens".
[[nodiscard]] std::string graders_text(const StudyView& study);
/// "95%"
[[nodiscard]] std::string level_text(double level);
/// "1 turn", "1,234 turns"
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view noun);
/// Limits that hold for every study, then the report's own.
[[nodiscard]] std::vector<std::string> limits_in_words(const ReportView& view);

}  // namespace understudy
