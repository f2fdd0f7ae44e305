#pragma once
// The part of grading that asks: models (judge, oracle, moderation endpoint) and external programs.
// They screen all drawn answers (and the logged ones to the same prefixes) for a behavior without a
// rule. Verification is the oracle's, and covers every flag of the screen and the audit; without an
// oracle the judge verifies the flags of others. Answers are paid for: each is stored as it came,
// and asked for once.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "grading/behavior.hpp"
#include "grading/judge.hpp"

namespace understudy {

[[nodiscard]] std::vector<Arm> study_arms(const StudyConfig& config);

/// The grader rows of a behavior in this study: its rule, and the model of a role ("judge",
/// "oracle") with its rubric.
[[nodiscard]] Result<std::int64_t> rule_grader(StudyStore& store, const Behavior& behavior);
[[nodiscard]] Digest judge_hash(const Behavior& behavior, const StudyConfig& config,
                                const std::string& role);
[[nodiscard]] Result<std::int64_t> judge_grader(StudyStore& store, const Behavior& behavior,
                                                const StudyConfig& config, const std::string& role);
/// What stands for one question to a judge or oracle in ChatRequest::prefix_identity: the answer of
/// this packed key, asked about this behavior in this layer. The same in any study of the same
/// sample.
[[nodiscard]] std::uint64_t question_identity(std::string_view behavior, GradingLayer layer,
                                              std::int64_t key);
/// Who gives this behavior's screen verdict, where it is no rule: "judge", "moderation", "command",
/// "table".
[[nodiscard]] std::optional<std::string> screening_role(const Behavior& behavior);
/// A judge or one of the others, not a rule, gives this behavior's screen verdict.
[[nodiscard]] bool is_screened_by_judge(const Behavior& behavior);
/// The layer of the verdicts that a role gives on a behavior.
[[nodiscard]] GradingLayer layer_of_role(const Behavior& behavior, const std::string& role);
/// Whether somebody does in this study: false where the role has no model.
[[nodiscard]] bool has_screen(const Behavior& behavior, const StudyConfig& config);
/// The grader row of the behavior's screen, which there is.
[[nodiscard]] Result<std::int64_t> screen_grader(StudyStore& store, const Behavior& behavior,
                                                 const StudyConfig& config);
/// Which role verifies its flags: "oracle", "judge", or none.
[[nodiscard]] std::optional<std::string> verifying_role(const Behavior& behavior,
                                                        const StudyConfig& config);

/// Screens what has no rule, as far as there is somebody to do it. Gives how many questions were
/// asked. kPaused when stopped before all were.
[[nodiscard]] Result<std::uint64_t> screen_by_models(Study& study,
                                                     const std::vector<Behavior>& behaviors);
/// Verifies flags, and audits where they are drawn. The screens are complete.
[[nodiscard]] Result<std::uint64_t> verify_by_model(Study& study,
                                                    const std::vector<Behavior>& behaviors);

/// Questions to one role about stored answers: what `probe` and the stages above put through.
struct JudgeRun {
  std::string role;  ///< "judge", "oracle", "auditor", "moderation", "command"
  std::size_t behaviors_per_call = 1;
  JudgeOptions how = {};       ///< `attempt` counts from here
  std::string stage = {};      ///< for progress; empty: the role
  std::vector<Arm> arms = {};  ///< empty: the study's
  /// Finds the answers of arms that have no prefixes in the store; nothing: it has. A view is valid
  /// until the next call.
  std::function<Result<std::optional<AnswerView>>(std::int64_t key)> outside = {};
  /// The row that a behavior's verdicts go to.
  std::function<Result<std::int64_t>(const Behavior& behavior)> grader = {};
  /// The packed keys that it is asked about; those with a verdict are not asked again.
  std::function<Result<std::vector<std::int64_t>>(const Behavior& behavior, Arm arm)> keys = {};
};
[[nodiscard]] Result<std::uint64_t> run_judge(Study& study,
                                              const std::vector<const Behavior*>& behaviors,
                                              const JudgeRun& run);

/// Takes over the verdicts of tables. Gives how many were new.
[[nodiscard]] Result<std::uint64_t> take_table_verdicts(Study& study,
                                                        const std::vector<Behavior>& behaviors);

}  // namespace understudy
