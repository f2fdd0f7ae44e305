#pragma once
// A log with known drift: behaviors whose rates wander from week to week (statistics.md (52),
// (53)). Week by week the deployed model's own past is known; what the last week forecasts is the
// week after it, which the study does not see.

#include <string>
#include <vector>

#include "base/rng.hpp"
#include "estimate/estimate.hpp"
#include "estimate/placebo.hpp"

namespace understudy {

struct DriftWorld {
  std::string name;
  double weekly_log_sd = 0.2;  ///< of the random walk of ln(rate)
  std::size_t weeks = 13;      ///< that the logs hold
  bool whole_log = false;      ///< forecast from all weeks together, as a study does; or the last
};
/// drift, drift-none, drift-whole-log.
[[nodiscard]] const std::vector<DriftWorld>& drift_worlds();

/// Twelve behaviors, log10 rate ~ U(-3, -2) in the first week, 20,000 turns a week.
struct DriftStudy {
  std::vector<BehaviorInput> logs;  ///< what is forecast from
  std::optional<ShiftSpread> shift;
  std::vector<double> next_week;  ///< the rates to find
};
[[nodiscard]] DriftStudy make_drift_study(const DriftWorld& world, double level, Rng& rng);

}  // namespace understudy
