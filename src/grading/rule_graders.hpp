#pragma once
// Rule graders: behaviors decided by code and data, on every answer, with no model. All rules of a
// study are built together, because they share one look at the answer: its language, its prose
// without code, quotations and drafts, and one pass of all their patterns.
//
// Input is an AnswerView, output one verdict per behavior. Pure and const: one object may grade on
// many threads. Deterministic: the same view gives the same verdicts everywhere.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "grading/answer_view.hpp"
#include "grading/behavior.hpp"
#include "grading/evidence.hpp"
#include "records/verdict.hpp"

namespace understudy {

/// Semantic version of what the rule code does with the data of behavior files: a forecast holds
/// it, and `verify` refuses when it differs. Golden verdicts pin it
/// (tests/cases/rule_golden_test.cpp): major when verdicts on the golden corpus change.
inline constexpr std::string_view kRuleEngineVersion = "1.0.0";

class RuleGraders {
 public:
  /// Compiles the rules. Fails with kUsage, naming file and line, on an unknown rule kind, a
  /// missing pattern list or a pattern that does not compile.
  [[nodiscard]] static Result<RuleGraders> build(std::span<const Behavior> behaviors);

  RuleGraders(RuleGraders&&) noexcept;
  RuleGraders& operator=(RuleGraders&&) noexcept;
  ~RuleGraders();

  /// How many behaviors it was built from; verdicts are in their order.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool has_rule(std::size_t behavior) const;

  /// `out` has size() places. Behaviors without a rule get kNotGradedNoJudge.
  void grade(const AnswerView& answer, std::span<Verdict> out) const;

  /// Where the reason for `present` stands; empty when the verdict is another. At most
  /// kEvidenceMax places, in the order of the text.
  [[nodiscard]] std::vector<Evidence> evidence(const AnswerView& answer,
                                               std::size_t behavior) const;
  static constexpr std::size_t kEvidenceMax = 16;

 private:
  struct Program;
  explicit RuleGraders(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace understudy
