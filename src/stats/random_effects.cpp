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

// Q at this spread of values that lie as far from each other as their noise alone foretells.
double q_of_noise(const std::vector<Measured>& all, double spread) {
  double weight = 0, noise = 0, shared = 0;
  for (const Measured& one : all) {
    const double w = 1 / (one.variance + spread);
    weight += w;
    noise += w * one.variance;
    shared += w * w * one.variance;
  }
  return noise - shared / weight;
}

// The spread at which Q, which falls with it, is down at `target`; 0 where it is below already.
template <class Q>
double spread_at(const Q& q, double target) {
  if (q(0) <= target) return 0;
  double lo = 0, hi = 1;
  while (q(hi) > target && hi < 1e12) hi *= 2;
  for (int step = 0; step < 200; ++step) {
    const double middle = (lo + hi) / 2;
    (q(middle) > target ? lo : hi) = middle;
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
  const auto q = [&](double spread) { return weigh(all, spread).q; };
  const auto noise = [&](double spread) { return q_of_noise(all, spread); };
  const double spread = spread_at(q, freedom);
  const Weighed at = weigh(all, spread);
  const double reach =
      student_quantile(freedom, 1 - tail) * std::sqrt(std::max(at.q / freedom, 1.0) / at.weight);
  // χ² with f degrees of freedom is Gamma(f/2, 2).
  const double high = gamma_quantile(freedom / 2, 2, 1 - tail);
  const double low = gamma_quantile(freedom / 2, 2, tail);
  const double upper = std::max(spread_at(q, low), q(0) < freedom ? spread_at(noise, low) : 0);
  return RandomEffects{at.mean,
                       {at.mean - reach, at.mean + reach},
                       std::sqrt(spread),
                       {std::sqrt(spread_at(q, high)), std::sqrt(upper)}};
}

}  // namespace understudy
