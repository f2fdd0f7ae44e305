#include "stats/random_effects.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

struct Measured {
  double value = 0;
  double variance = 0;
};

struct Weighed {
  double mean = 0;
  double weight = 0;
  double q = 0;  ///< Σ w (value − mean)²
};

Weighed weigh(const std::vector<Measured>& all, double spread) {
  Weighed out;
  for (const Measured& one : all) {
    const double w = 1 / (one.variance + spread);
    out.weight += w;
    out.mean += w * one.value;
  }
  out.mean /= out.weight;
  for (const Measured& one : all) {
    out.q += (one.value - out.mean) * (one.value - out.mean) / (one.variance + spread);
  }
  return out;
}

// The spread at which Q falls to `target`; 0 where it is below already. Q falls with the spread.
double spread_at(const std::vector<Measured>& all, double target) {
  if (weigh(all, 0).q <= target) return 0;
  double lo = 0, hi = 1;
  while (weigh(all, hi).q > target && hi < 1e12) hi *= 2;
  for (int step = 0; step < 200; ++step) {
    const double middle = (lo + hi) / 2;
    (weigh(all, middle).q > target ? lo : hi) = middle;
  }
  return (lo + hi) / 2;
}

}  // namespace

std::optional<RandomEffects> random_effects(std::span<const double> values,
                                            std::span<const double> variances, double level) {
  UNDERSTUDY_ASSERT(values.size() == variances.size());
  if (values.size() < 3) return std::nullopt;
  std::vector<Measured> all;
  for (std::size_t i = 0; i < values.size(); ++i) {
    UNDERSTUDY_ASSERT(variances[i] > 0);
    all.push_back({values[i], variances[i]});
  }
  // Sums below depend on the values alone.
  std::sort(all.begin(), all.end(), [](const Measured& a, const Measured& b) {
    return a.value != b.value ? a.value < b.value : a.variance < b.variance;
  });
  const double freedom = static_cast<double>(all.size()) - 1;
  const double tail = (1 - level) / 2;
  const double spread = spread_at(all, freedom);
  const Weighed at = weigh(all, spread);
  const double reach =
      student_quantile(freedom, 1 - tail) * std::sqrt(std::max(at.q / freedom, 1.0) / at.weight);
  // χ² with f degrees of freedom is Gamma(f/2, 2).
  const double high = gamma_quantile(freedom / 2, 2, 1 - tail);
  const double low = gamma_quantile(freedom / 2, 2, tail);
  return RandomEffects{at.mean,
                       {at.mean - reach, at.mean + reach},
                       std::sqrt(spread),
                       {std::sqrt(spread_at(all, high)), std::sqrt(spread_at(all, low))}};
}

}  // namespace understudy
