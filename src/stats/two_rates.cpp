#include "stats/two_rates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
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

double exact_sign_test(std::uint64_t more, std::uint64_t fewer) {
  const auto most = static_cast<double>(std::max(more, fewer));
  const auto least = static_cast<double>(std::min(more, fewer));
  if (most <= 0) return 1;
  return std::min(1.0, 2 * beta_cdf(most, least + 1, 0.5));
}

double fisher_power(std::uint64_t n_a, double share_a, std::uint64_t n_b, double share_b,
                    double alpha) {
  const std::vector<double> mass_a = binomial_masses(n_a, share_a);
  const std::vector<double> mass_b = binomial_masses(n_b, share_b);
  std::vector<double> log_factorial(n_a + n_b + 1, 0);
  for (std::size_t i = 2; i < log_factorial.size(); ++i) {
    log_factorial[i] = log_factorial[i - 1] + std::log(static_cast<double>(i));
  }
  const auto choose = [&](std::uint64_t n, std::uint64_t k) {
    return log_factorial[n] - log_factorial[k] - log_factorial[n - k];
  };
  // All tables with one total share their null distribution: sorted once, it says which reject.
  double power = 0;
  std::vector<std::pair<double, std::uint64_t>> tables;
  for (std::uint64_t total = 0; total <= n_a + n_b; ++total) {
    tables.clear();
    const std::uint64_t last = std::min(total, n_a);
    for (std::uint64_t x = total > n_b ? total - n_b : 0; x <= last; ++x) {
      tables.emplace_back(choose(n_a, x) + choose(n_b, total - x) - choose(n_a + n_b, total), x);
    }
    std::sort(tables.begin(), tables.end());
    double p_value = 0;
    for (std::size_t i = 0; i < tables.size();) {
      std::size_t end = i;
      // Tables that are equally likely, up to rounding, stand and fall together.
      while (end < tables.size() && tables[end].first <= tables[i].first + 1e-7) {
        p_value += std::exp(tables[end++].first);
      }
      if (p_value > alpha) break;
      for (; i < end; ++i) power += mass_a[tables[i].second] * mass_b[total - tables[i].second];
    }
  }
  return power;
}

}  // namespace understudy
