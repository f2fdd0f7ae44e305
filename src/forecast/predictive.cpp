#include "forecast/predictive.hpp"

#include <algorithm>
#include <cmath>

#include "stats/count_forecast.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

constexpr double kPer100k = 1e5;
constexpr double kVarianceFloor = 0.01;  // no pipeline is known to be better than 10%

std::optional<double> number(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::optional<std::uint64_t> count(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

// What is left of the candidate's bias when that of the old model is known.
double unshared_variance(const HistoryFit& fit) {
  if (fit.deployed_bias_variance <= 0) return fit.candidate_bias_variance;
  return fit.candidate_bias_variance - fit.covariance * fit.covariance / fit.deployed_bias_variance;
}

double spread_of(double sd, const PredictiveSpread& spread) {
  const double variance = spread.shift_variance + spread.simulator_variance;
  return spread.in_estimate ? std::max(sd, std::sqrt(variance))
                            : std::hypot(sd, std::sqrt(variance));
}

}  // namespace

std::optional<LogCount> log_count(const Rate& rate) {
  if (!rate.per_100k || !rate.n || *rate.n == 0) return std::nullopt;
  auto n = static_cast<double>(*rate.n);
  const double share = *rate.per_100k / kPer100k;
  // An interval wider than the counts' own (clusters, labels) has as many fewer events behind it.
  double events = share * n + 0.5;
  if (rate.lo && rate.hi && *rate.lo > 0) {
    const double z = normal_quantile(1 - (1 - rate.level) / 2);
    const double variance = std::pow(std::log(*rate.hi / *rate.lo) / (2 * z), 2);
    if (variance > 0) events = std::min(events, 1 / variance);
  }
  return LogCount{std::log((share * n + 0.5) / (n + 1)), 1 / events};
}

PredictiveSpread predictive_spread(const std::optional<HistoryFit>& history,
                                   const std::optional<double>& shift_sd,
                                   std::span<const ReplayError> replays,
                                   const std::optional<double>& placebo_sd) {
  PredictiveSpread spread;
  if (history) {
    spread.in_estimate = true;
    spread.shift_source = shift_sd ? "configured" : "history";
    spread.simulator_source = "history";
    spread.shift_variance =
        shift_sd ? *shift_sd * *shift_sd
                 : std::min(unshared_variance(*history), kShiftSdDefault * kShiftSdDefault);
    return spread;
  }
  const double shift = shift_sd ? *shift_sd : placebo_sd.value_or(kShiftSdDefault);
  spread.shift_variance = shift * shift;
  spread.shift_source = shift_sd ? "configured" : placebo_sd ? "placebo" : "default";
  double squares = 0, weight = 0;
  std::uint64_t told = 0;
  for (const ReplayError& error : replays) {
    const auto production = log_count(error.production), replay = log_count(error.replay);
    if (!production || !replay) continue;
    const double noise = production->variance + replay->variance;
    const double difference = replay->log - production->log;
    const double w = 1 / (noise + kSimulatorSdDefault * kSimulatorSdDefault);
    squares += w * (difference * difference - noise);
    weight += w;
    if (noise < 1) ++told;  // below one event there is nothing to tell
  }
  if (told >= 3) {
    spread.simulator_variance = std::max(squares / weight, kVarianceFloor);
    spread.simulator_source = "deployed_replay";
  } else {
    spread.simulator_variance = kSimulatorSdDefault * kSimulatorSdDefault;
    spread.simulator_source = "default";
  }
  return spread;
}

Rate predictive_rate(const Rate& estimate, const PredictiveSpread& spread) {
  Rate out = estimate;
  if (!estimate.per_100k || !estimate.hi) return out;
  const double z = normal_quantile(1 - (1 - estimate.level) / 2);
  if (*estimate.per_100k <= 0) {
    if (!spread.in_estimate) {
      out.hi = std::min(*estimate.hi * std::exp(z * spread_of(0, spread)), kPer100k);
    }
    return out;
  }
  const double point = *estimate.per_100k;
  const LogRate law = log_rate(point, std::min(estimate.lo.value_or(0), point),
                               std::max(*estimate.hi, point), estimate.level);
  if (estimate.lo && *estimate.lo > 0) out.lo = point * std::exp(-z * spread_of(law.sd_lo, spread));
  out.hi = std::min(point * std::exp(z * spread_of(law.sd_hi, spread)), kPer100k);
  return out;
}

Rate rate_from_json(const Json& json) {
  Rate rate;
  if (!json.is_object()) return rate;
  rate.per_100k = number(json, "per_100k");
  rate.lo = number(json, "lo");
  rate.hi = number(json, "hi");
  rate.level = number(json, "level").value_or(0.95);
  rate.n = count(json, "n");
  rate.k = count(json, "k");
  if (const auto method = json.find("method"); method != json.end() && method->is_string()) {
    rate.method = method->get<std::string>();
  }
  return rate;
}

}  // namespace understudy
