#pragma once
// What verification would ask of the oracle and what that buys, and what labels there are: for
// `understudy plan`.

#include "base/json.hpp"
#include "engine/verification.hpp"

namespace understudy {

/// The oracle's part in one arm: what the budget buys of so many answers with so many flags.
struct VerificationPlan {
  double flags = 0;        ///< expected
  double flags_asked = 0;  ///< of them, verified
  double audit = 0;
  [[nodiscard]] double calls() const { return flags_asked + audit; }
};
[[nodiscard]] VerificationPlan verification_plan(const StudyConfig& config, double answers,
                                                 double flags);
/// {"oracle_calls", "flags_expected", "flags_verified_share", "audit", "miss_bound_per_100k"}: the
/// bound is what an audit that finds nothing leaves open.
[[nodiscard]] Json to_json(const VerificationPlan& plan);

/// Verdicts of people and of the verifying model, over all arms.
struct LabelCounts {
  double flags = 0;
  double flags_present = 0;
  double passed = 0;  ///< among what the screen passed
};
/// By behavior. All zero where nothing is graded or nobody has verified.
[[nodiscard]] Result<std::vector<LabelCounts>> count_labels(Study& study,
                                                            const std::vector<Behavior>& behaviors);

}  // namespace understudy
