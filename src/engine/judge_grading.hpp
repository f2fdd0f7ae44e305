#pragma once
// The part of grading that asks models. The judge screens all drawn answers (and the logged ones to
// the same prefixes) for a behavior without a rule. Verification is the oracle's, and covers every
// flag of the screen and the audit; without an oracle the judge verifies the flags of rules.
// Answers are paid for: each is stored as it came, and asked for once.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "grading/behavior.hpp"

namespace understudy {

[[nodiscard]] std::vector<Arm> study_arms(const StudyConfig& config);

/// The grader rows of a behavior in this study: its rule, and the model of a role ("judge",
/// "oracle") with its rubric.
[[nodiscard]] Result<std::int64_t> rule_grader(StudyStore& store, const Behavior& behavior);
[[nodiscard]] Result<std::int64_t> judge_grader(StudyStore& store, const Behavior& behavior,
                                                const StudyConfig& config, const std::string& role);
/// What stands for one question to a judge or oracle in ChatRequest::prefix_identity: the answer of
/// this packed key, asked about this behavior in this layer. The same in any study of the same
/// sample.
[[nodiscard]] std::uint64_t question_identity(std::string_view behavior, GradingLayer layer,
                                              std::int64_t key);
/// A judge, not a rule, gives this behavior's screen verdict.
[[nodiscard]] bool is_screened_by_judge(const Behavior& behavior);
/// Which role verifies its flags: "oracle", "judge", or none.
[[nodiscard]] std::optional<std::string> verifying_role(const Behavior& behavior,
                                                        const StudyConfig& config);

/// Screens what has no rule. Gives how many questions were asked. kPaused when stopped before all
/// were.
[[nodiscard]] Result<std::uint64_t> screen_by_judge(Study& study,
                                                    const std::vector<Behavior>& behaviors);
/// Verifies flags, and audits where they are drawn. The screens are complete.
[[nodiscard]] Result<std::uint64_t> verify_by_model(Study& study,
                                                    const std::vector<Behavior>& behaviors);

}  // namespace understudy
