#pragma once
// From an estimate on the logs to a forecast of production: the interval of the estimate holds
// sampling and grading; what lies between replay and production is added on the log scale (1).

#include <cstdint>
#include <span>
#include <string>

#include "base/json.hpp"
#include "estimate/history.hpp"
#include "records/estimate.hpp"

namespace understudy {

/// Variances of ln rate that the estimate's interval does not hold yet, each with its source.
struct PredictiveSpread {
  double shift_variance = 0;  ///< traffic between the logs and the deployment
  std::string shift_source = {};
  double simulator_variance = 0;  ///< replay against production, on the same traffic
  std::string simulator_source = {};
  /// Past releases are in the estimate, and with them both parts. But replay cannot foretell a
  /// shift of traffic, however much the prior shrinks: the interval is then no narrower than the
  /// shift's.
  bool in_estimate = false;
};

/// Until something is measured: ±30% between logs and deployment, and a replay that is off by a
/// median 1.3× (published Y→Y errors: 1.2× and 1.5×).
inline constexpr double kShiftSdDefault = 0.3;
inline constexpr double kSimulatorSdDefault = 0.4;

/// A replay of the old model against its own production rate, for one behavior.
struct ReplayError {
  Rate production, replay;
};

/// With `history`, its biases are of replay against what happened: both parts are in the estimate
/// already; the shift is the configured one, else what replays of both models don't share, at most
/// the default. Without, the shift is the configured one, what placebo deployments on the logs' own
/// time line measured (estimate/placebo.hpp), or the default one, in this order; and the
/// simulator's part the mean square of ln(Y→Y / Y) less its sampling noise, where three behaviors
/// or more tell it.
[[nodiscard]] PredictiveSpread predictive_spread(const std::optional<HistoryFit>& history,
                                                 const std::optional<double>& shift_sd,
                                                 std::span<const ReplayError> replays,
                                                 const std::optional<double>& placebo_sd = {});

/// The same point with an interval that further holds the spread. Unknown stays so.
[[nodiscard]] Rate predictive_rate(const Rate& estimate, const PredictiveSpread& spread);

/// A rate object as to_json(Rate) writes it; what is not there is unknown.
[[nodiscard]] Rate rate_from_json(const Json& json);

/// ln rate and its sampling variance from counts, half an event added: ln((rate·n + ½) / (n + 1)).
struct LogCount {
  double log = 0;
  double variance = 0;
};
[[nodiscard]] std::optional<LogCount> log_count(const Rate& rate);

}  // namespace understudy
