#include "testing/variates.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

// Inversion outward from the mode: adds masses alternately above and below it until they pass u.
// `ratio(k)` is mass(k + 1) / mass(k).
template <class Ratio>
std::uint64_t invert_from_mode(double u, std::uint64_t mode, double mode_mass, std::uint64_t last,
                               Ratio ratio) {
  std::uint64_t above = mode, below = mode;
  double mass_above = mode_mass, mass_below = mode_mass;
  double sum = mode_mass;
  if (u < sum) return mode;
  while (mass_above > 0 || mass_below > 0) {
    if (above < last) {
      mass_above *= ratio(above++);
      sum += mass_above;
      if (u < sum) return above;
    } else {
      mass_above = 0;
    }
    if (below > 0) {
      mass_below /= ratio(--below);
      sum += mass_below;
      if (u < sum) return below;
    } else {
      mass_below = 0;
    }
  }
  return mode;  // the masses did not add up to u by rounding: probability below 1e-12
}

}  // namespace

double draw_normal(Rng& rng) {
  return normal_quantile((static_cast<double>(rng.next() >> 12) + 0.5) * 0x1.0p-52);
}

std::uint64_t draw_binomial(Rng& rng, std::uint64_t n, double share) {
  UNDERSTUDY_ASSERT(share >= 0 && share <= 1);
  const double u = rng.uniform();
  if (n == 0 || share <= 0) return 0;
  if (share >= 1) return n;
  const auto trials = static_cast<double>(n);
  const auto mode = std::min(static_cast<std::uint64_t>(std::floor((trials + 1) * share)), n);
  const auto at = static_cast<double>(mode);
  const double mass =
      std::exp(log_choose(trials, at) + at * std::log(share) + (trials - at) * std::log1p(-share));
  const double odds = share / (1 - share);
  return invert_from_mode(u, mode, mass, n, [&](std::uint64_t k) {
    const auto hits = static_cast<double>(k);
    return (trials - hits) / (hits + 1) * odds;
  });
}

std::uint64_t draw_poisson(Rng& rng, double mean) {
  UNDERSTUDY_ASSERT(mean >= 0);
  const double u = rng.uniform();
  if (mean <= 0) return 0;
  const auto mode = static_cast<std::uint64_t>(std::floor(mean));
  const auto at = static_cast<double>(mode);
  const double mass = std::exp(at * std::log(mean) - mean - log_gamma(at + 1));
  return invert_from_mode(u, mode, mass, ~std::uint64_t{0},
                          [&](std::uint64_t k) { return mean / (static_cast<double>(k) + 1); });
}

}  // namespace understudy
