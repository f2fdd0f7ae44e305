#pragma once
// Placebo deployments (statistics.md (53)): the deployed model's own past tells how far a rate
// moves between the logs and a launch. Each period of the logs forecasts the one a horizon later,
// where the answer is known; what the errors exceed sampling by is drift, and widens the forecast
// of the candidate. No model is asked: the logged answers and their verdicts are all it takes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "estimate/arm_verdicts.hpp"
#include "stats/two_rates.hpp"

namespace understudy {

/// One forecast of a period by an earlier one.
struct PlaceboError {
  double log_error = 0;          ///< ln(rate of the earlier period / rate of the later one)
  double sampling_variance = 0;  ///< of log_error, were there no drift; > 0
};

/// The effective count of a period's verdicts.
[[nodiscard]] RateCount period_count(const ArmSummary& period);

/// From one behavior's effective counts by period, in order of time (n = 0: nothing logged): an
/// error for each pair of periods `horizon` >= 1 apart that both would hold five events or more
/// at their common rate. Fewer say nothing about drift.
[[nodiscard]] std::vector<PlaceboError> placebo_errors(std::span<const RateCount> periods,
                                                       std::size_t horizon);

struct ShiftSpread {
  double log_sd = 0;  ///< of ln(rate after launch / rate in the logs), beyond sampling
  double level = 0;   ///< at which it was read off; the one asked, or what so few errors allow
  std::uint64_t errors = 0;
};

/// The smallest standard deviation that, added to each error's sampling variance, makes normal
/// intervals of `level` hold the ⌈(n + 1) level⌉-th of n errors: split conformal with the score
/// sqrt(max(0, e²/z² − s²)) (Papadopoulos et al. 2002; Lei et al. 2018). 0 where sampling alone
/// explains the errors. Assumes that the next error is exchangeable with these. With fewer errors
/// than the level needs it is read off at the highest level that they allow, 80% at least; empty
/// below four errors.
[[nodiscard]] std::optional<ShiftSpread> conformal_shift(std::span<const PlaceboError> errors,
                                                         double level);

/// The spread for a forecast from logs of all these periods together, of the period `horizon` >= 1
/// after the last: one series of counts a behavior, of one length L. The errors are of pairs
/// horizon + L/3 apart: where rates walk at random, the average of L periods is that far from what
/// follows, sum of (j/L)² over j < L being L/3. Empty where there are fewer than four.
[[nodiscard]] std::optional<ShiftSpread> placebo_shift(
    std::span<const std::vector<RateCount>> behaviors, std::size_t horizon, double level);

}  // namespace understudy
