#include "estimate/placebo.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

constexpr double kEventsMin = 5;
constexpr double kLevelMin = 0.8;

}  // namespace

RateCount period_count(const ArmSummary& period) {
  const EventCount& count = period.screen;
  if (count.n == 0) return {};
  if (count.y > 0) return {count.y * count.y / count.v, count.y / count.v};
  return {0, 1 / count.w_next};
}

std::vector<PlaceboError> placebo_errors(std::span<const RateCount> periods, std::size_t horizon) {
  UNDERSTUDY_ASSERT(horizon >= 1);
  std::vector<PlaceboError> errors;
  for (std::size_t later = horizon; later < periods.size(); ++later) {
    const RateCount& a = periods[later - horizon];
    const RateCount& b = periods[later];
    if (a.n <= 0 || b.n <= 0) continue;
    // Chosen by the common rate: to choose by what a period held would favor one direction.
    const double common = (a.hits + b.hits) / (a.n + b.n);
    if (common * std::min(a.n, b.n) < kEventsMin) continue;
    errors.push_back({std::log((a.hits + 0.5) / a.n) - std::log((b.hits + 0.5) / b.n),
                      1 / (a.hits + 0.5) + 1 / (b.hits + 0.5)});
  }
  return errors;
}

std::optional<ShiftSpread> conformal_shift(std::span<const PlaceboError> errors, double level) {
  UNDERSTUDY_ASSERT(level > 0 && level < 1);
  const auto n = static_cast<double>(errors.size());
  const double used = std::min(level, n / (n + 1));
  if (used < kLevelMin) return std::nullopt;
  const double z = normal_quantile(1 - (1 - used) / 2);
  std::vector<double> scores;
  scores.reserve(errors.size());
  for (const PlaceboError& error : errors) {
    const double beyond = error.log_error * error.log_error / (z * z) - error.sampling_variance;
    scores.push_back(std::sqrt(std::max(beyond, 0.0)));
  }
  std::sort(scores.begin(), scores.end());
  const double rank = std::min(std::ceil((n + 1) * used - 1e-9), n);
  return ShiftSpread{
      .log_sd = scores[static_cast<std::size_t>(rank) - 1], .level = used, .errors = errors.size()};
}

std::optional<ShiftSpread> placebo_shift(std::span<const std::vector<RateCount>> behaviors,
                                         std::size_t horizon, double level) {
  std::vector<PlaceboError> errors;
  for (const std::vector<RateCount>& periods : behaviors) {
    const std::vector<PlaceboError> more = placebo_errors(periods, horizon + periods.size() / 3);
    errors.insert(errors.end(), more.begin(), more.end());
  }
  return conformal_shift(errors, level);
}

}  // namespace understudy
