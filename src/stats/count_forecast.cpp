#include "stats/count_forecast.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

// P(K <= count) for K ~ Poisson(mean) is an upper gamma tail in the mean.
double poisson_at_most(double mean, double count) {
  return 1 - gamma_cdf(count + 1, 1, mean);
}

}  // namespace

double LogRate::quantile(double p) const {
  const double z = normal_quantile(p);
  return median + z * (z < 0 ? sd_lo : sd_hi);
}

LogRate log_rate(double point, double lo, double hi, double level) {
  UNDERSTUDY_ASSERT(point > 0 && lo >= 0 && lo <= point && hi >= point);
  const double z = normal_quantile(1 - (1 - level) / 2);
  const double floor = std::min(point, std::max(lo, hi * 1e-4));
  return {std::log(point), std::log(point / floor) / z, std::log(hi / point) / z};
}

CountForecast::CountForecast(const LogRate& law, double exposure) {
  UNDERSTUDY_ASSERT(exposure > 0);
  for (std::size_t i = 0; i < kNodes; ++i) {
    const double p = (static_cast<double>(i) + 0.5) / static_cast<double>(kNodes);
    means_[i] = std::max(exposure * std::exp(law.quantile(p)), 1e-12);
  }
}

double CountForecast::at_most(double count) const {
  double sum = 0;
  for (const double mean : means_) sum += poisson_at_most(mean, count);
  return sum / static_cast<double>(kNodes);
}

double CountForecast::at_least(double count) const {
  return count <= 0 ? 1 : 1 - at_most(count - 1);
}

double CountForecast::log_probability(double count) const {
  std::array<double, kNodes> logs{};
  std::transform(means_.begin(), means_.end(), logs.begin(),
                 [&](double mean) { return poisson_log_probability(mean, count); });
  const double most = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double value : logs) sum += std::exp(value - most);
  return most + std::log(sum / static_cast<double>(kNodes));
}

double CountForecast::quantile(double p) const {
  UNDERSTUDY_ASSERT(p > 0 && p < 1);
  double above = 1;
  while (at_most(above) < p) above *= 2;
  double below = -1;  // at_most(below) < p <= at_most(above)
  while (above - below > 1) {
    const double middle = std::floor(below + (above - below) / 2);
    (at_most(middle) < p ? below : above) = middle;
  }
  return above;
}

bool CountForecast::holds(double count, double level) const {
  const double tail = (1 - level) / 2;
  return at_most(count) > tail && at_least(count) > tail;
}

double poisson_log_probability(double mean, double count) {
  return count * std::log(mean) - mean - log_gamma(count + 1);
}

}  // namespace understudy
