#pragma once
// From summaries of arms to what the report says of each behavior. The study and
// `estimate --table` call the same function; so does `calibrate` on worlds with known truth.

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "estimate/arm_verdicts.hpp"
#include "estimate/history.hpp"
#include "estimate/rates.hpp"
#include "records/estimate.hpp"
#include "stats/two_rates.hpp"

namespace understudy {

/// The old model's known production rate.
struct PreviousRate {
  double per_100k = 0;
  std::optional<double> lo, hi;  ///< 95% interval; without it the rate counts as exact
};

struct BehaviorInput {
  std::string name, version, hash;
  std::array<std::optional<ArmSummary>, kArmCount> arms;  ///< by Arm
  std::vector<RecallChannel> recall;
  /// Otherwise the deployed arm's rate is taken, where it is measured like the candidate's.
  std::optional<PreviousRate> previous;

  std::optional<ArmSummary>& arm(Arm which) { return arms[static_cast<std::size_t>(which)]; }
  [[nodiscard]] const std::optional<ArmSummary>& arm(Arm which) const {
    return arms[static_cast<std::size_t>(which)];
  }
};

/// As many independent draws, and events among them, as the share is worth: what tests and ratios
/// of rates are made of.
[[nodiscard]] RateCount effective(const EventCount& count);

struct EstimateOptions {
  double level = 0.95;
  /// What past releases teach; empty: the default prior, fitted over the behaviors at hand.
  std::optional<HistoryFit> history = {};
  bool shrink = true;
  /// Intervals that hold at every moment of a run, not only at its planned end.
  bool anytime = false;
};

/// One estimate per input, in the order of the inputs. The forecast and the q-values of one
/// behavior depend on the others; no result depends on their order.
[[nodiscard]] std::vector<BehaviorEstimate> estimate_behaviors(
    std::span<const BehaviorInput> inputs, const EstimateOptions& options);

}  // namespace understudy
