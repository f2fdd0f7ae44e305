#include "stats/two_rates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

// P(X >= x) and P(X > x) for X ~ Bin(m, p), extended to real x and m.
double at_least(double x, double m, double p) {
  return x <= 0 ? 1 : beta_cdf(x, m - x + 1, p);
}
double more_than(double x, double m, double p) {
  return x >= m ? 0 : beta_cdf(x + 1, m - x, p);
}

double two_sided_mid_p(double x, double m, double p) {
  if (m <= 0) return 1;
  const double upper = (at_least(x, m, p) + more_than(x, m, p)) / 2;
  return std::clamp(2 * std::min(upper, 1 - upper), 0.0, 1.0);
}

// Probabilities of all binomial outcomes.
std::vector<double> binomial_masses(std::uint64_t n, double share) {
  std::vector<double> mass(n + 1, 0);
  const auto draws = static_cast<double>(n);
  if (share <= 0 || share >= 1) {
    mass[share <= 0 ? 0 : n] = 1;
    return mass;
  }
  for (std::uint64_t k = 0; k <= n; ++k) {
    const auto hits = static_cast<double>(k);
    mass[k] = std::exp(log_choose(draws, hits) + hits * std::log(share) +
                       (draws - hits) * std::log1p(-share));
  }
  return mass;
}

}  // namespace

double fisher_exact(std::uint64_t hits_a, std::uint64_t n_a, std::uint64_t hits_b,
                    std::uint64_t n_b) {
  UNDERSTUDY_ASSERT(hits_a <= n_a && hits_b <= n_b);
  const std::uint64_t total = hits_a + hits_b;
  const std::uint64_t first = total > n_b ? total - n_b : 0;
  const std::uint64_t last = std::min(total, n_a);
  const auto log_mass = [&](std::uint64_t x) {
    return log_choose(static_cast<double>(n_a), static_cast<double>(x)) +
           log_choose(static_cast<double>(n_b), static_cast<double>(total - x)) -
           log_choose(static_cast<double>(n_a + n_b), static_cast<double>(total));
  };
  // Tables that are as likely as the observed one count, up to rounding.
  const double limit = log_mass(hits_a) + 1e-7;
  double p_value = 0;
  for (std::uint64_t x = first; x <= last; ++x) {
    const double mass = log_mass(x);
    if (mass <= limit) p_value += std::exp(mass);
  }
  return std::min(p_value, 1.0);
}

double conditional_mid_p(const RateCount& a, const RateCount& b) {
  UNDERSTUDY_ASSERT(a.n > 0 && b.n > 0 && a.hits >= 0 && b.hits >= 0);
  return two_sided_mid_p(a.hits, a.hits + b.hits, a.n / (a.n + b.n));
}

Interval rate_ratio_interval(const RateCount& a, const RateCount& b, double level) {
  UNDERSTUDY_ASSERT(a.n > 0 && b.n > 0 && a.hits >= 0 && b.hits >= 0);
  const double total = a.hits + b.hits;
  const double infinity = std::numeric_limits<double>::infinity();
  if (total <= 0) return {0, infinity};
  const Interval share = clopper_pearson(a.hits, total, level);
  const double exposure = b.n / a.n;
  return {exposure * share.lo / (1 - share.lo),
          share.hi >= 1 ? infinity : exposure * share.hi / (1 - share.hi)};
}

double paired_mid_p(std::uint64_t only_a, std::uint64_t only_b) {
  return two_sided_mid_p(static_cast<double>(only_a), static_cast<double>(only_a + only_b), 0.5);
}

double fisher_power(std::uint64_t n_a, double share_a, std::uint64_t n_b, double share_b,
                    double alpha) {
  const std::vector<double> mass_a = binomial_masses(n_a, share_a);
  const std::vector<double> mass_b = binomial_masses(n_b, share_b);
  double power = 0;
  for (std::uint64_t a = 0; a <= n_a; ++a) {
    if (mass_a[a] < 1e-12) continue;
    for (std::uint64_t b = 0; b <= n_b; ++b) {
      const double mass = mass_a[a] * mass_b[b];
      if (mass >= 1e-12 && fisher_exact(a, n_a, b, n_b) <= alpha) power += mass;
    }
  }
  return power;
}

}  // namespace understudy
