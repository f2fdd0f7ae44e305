#pragma once
// The part of grading that asks a model. A judge verifies every flag of a behavior that has a rule,
// and screens all drawn answers (and the logged ones to the same prefixes) for one that has none.
// Its answers are paid for: each is stored as it came, and asked for once.

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/study.hpp"
#include "grading/behavior.hpp"

namespace understudy {

[[nodiscard]] std::vector<Arm> study_arms(const StudyConfig& config);

/// The grader rows of a behavior in this study: its rule, and its judge under the judge role.
[[nodiscard]] Result<std::int64_t> rule_grader(StudyStore& store, const Behavior& behavior);
[[nodiscard]] Result<std::int64_t> judge_grader(StudyStore& store, const Behavior& behavior,
                                                const StudyConfig& config);
/// What stands for one question to a judge in ChatRequest::prefix_identity: the answer of this
/// packed key, asked about this behavior. The same in any study of the same sample.
[[nodiscard]] std::uint64_t question_identity(std::string_view behavior, std::int64_t key);
/// A judge, not a rule, gives this behavior's screen verdict.
[[nodiscard]] bool is_screened_by_judge(const Behavior& behavior);

/// Gives how many questions were asked. kPaused when stopped before all were.
[[nodiscard]] Result<std::uint64_t> judge_answers(Study& study,
                                                  const std::vector<Behavior>& behaviors);

}  // namespace understudy
