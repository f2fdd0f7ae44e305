#include "estimate/power.hpp"

#include <cmath>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {

double direction_power(const RateCount& deployed, double draws, double ratio, double level) {
  UNDERSTUDY_ASSERT(draws > 0 && ratio > 0);
  if (deployed.hits <= 0) return 0;
  const double mean = draws * deployed.hits / deployed.n * ratio;
  const bool up = ratio > 1;
  // The interval moves with the count: the counts that decide are all those past one of them.
  const auto decides = [&](double events) {
    const Interval interval = rate_ratio_interval({events, draws}, deployed, level);
    return up ? interval.lo > 1 : interval.hi < 1;
  };
  double no = up ? 0 : std::ceil(mean / ratio) + 1, yes = up ? 2 * mean / ratio + 40 : 0;
  if (up) {
    while (!decides(yes)) {
      if (yes > 1e12) return 0;
      no = yes;
      yes = std::ceil(2 * yes);
    }
    yes = std::ceil(yes);
  } else if (!decides(0)) {
    return 0;
  }
  while (std::abs(yes - no) > 1) {
    const double middle = std::floor((yes + no) / 2);
    (decides(middle) ? yes : no) = middle;
  }
  // P(Poisson(mean) >= k) = P(Gamma(k) <= mean).
  return up ? gamma_cdf(yes, 1, mean) : 1 - gamma_cdf(yes + 1, 1, mean);
}

std::optional<double> draws_for_power(const RateCount& deployed, double ratio, double level,
                                      double power) {
  constexpr double kMost = 1e9;
  double few = 1, many = 1;
  while (direction_power(deployed, many, ratio, level) < power) {
    few = many;
    many *= 2;
    if (many > kMost) return std::nullopt;
  }
  while (many / few > 1.01) {
    const double middle = std::sqrt(few * many);
    (direction_power(deployed, middle, ratio, level) < power ? few : many) = middle;
  }
  return std::ceil(many);
}

double flag_label_spread(double present, double labels) {
  const double a = present + 0.5, b = labels - present + 0.5;
  return beta_quantile(a, b, 0.975) / beta_quantile(a, b, 0.025);
}

double passed_label_spread(double rate, double labels) {
  UNDERSTUDY_ASSERT(rate > 0 && rate < 1);
  const double bound = labels > 0 ? zero_event_upper(labels, 0.95) : 1;
  return (rate + bound) / rate;
}

}  // namespace understudy
