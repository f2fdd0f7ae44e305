#include "discovery/unseen.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/assert.hpp"
#include "stats/distributions.hpp"
#include "stats/intervals.hpp"
#include "stats/richness.hpp"

namespace understudy {
namespace {

constexpr int kRecallSteps = 400;     // of its quantiles
constexpr int kBisectionSteps = 100;  // in the logarithm of the rate
constexpr int kCountSteps = 32;       // of the quantiles of a count's mean

struct Rare {
  double once = 0;
  double twice = 0;
};

Rare rare_kinds(std::span<const std::uint64_t> sizes) {
  Rare rare;
  for (const std::uint64_t size : sizes) {
    rare.once += size == 1 ? 1 : 0;
    rare.twice += size == 2 ? 1 : 0;
  }
  return rare;
}

// The most that so many unseen kinds can be said to be with confidence `level`. Kinds that occur as
// Poisson processes have E f₀ >= (E f₁)² / 2 E f₂ (Cauchy–Schwarz). f₀ itself, not its mean, is
// bounded: the prediction is averaged over the lower confidence distribution Gamma(f₁) of E f₁ and
// the upper one Gamma(f₂ + 1) of E f₂.
double unseen_kinds_lo(const Rare& rare, double level) {
  if (rare.once == 0) return 0;
  std::vector<double> means;
  for (int i = 0; i < kCountSteps; ++i) {
    const double once = gamma_quantile(rare.once, 1, (i + 0.5) / kCountSteps);
    for (int j = 0; j < kCountSteps; ++j) {
      const double twice = gamma_quantile(rare.twice + 1, 1, (j + 0.5) / kCountSteps);
      means.push_back(once * once / (2 * twice));
    }
  }
  const auto may_be_fewer = [&](double kinds) {
    double sum = 0;
    for (const double mean : means) sum += 1 - gamma_cdf(kinds, 1, mean);
    return sum / static_cast<double>(means.size()) > 1 - level;
  };
  double lo = 0;
  double hi = 1;
  for (; !may_be_fewer(hi); hi *= 2) lo = hi;
  while (hi - lo > 1) {
    const double middle = std::floor((lo + hi) / 2);
    (may_be_fewer(middle) ? hi : lo) = middle;
  }
  return lo;
}

}  // namespace

UnseenMass unseen_mass(std::span<const std::uint64_t> sizes, std::uint64_t draws,
                       const MeasuredRecall& recall, double level) {
  UNDERSTUDY_ASSERT(draws >= 1 && recall.found <= recall.known && level > 0.5 && level < 1);
  UnseenMass mass;
  mass.share_good_turing = unseen_share_good_turing(sizes);
  mass.share_chao = unseen_share_chao(sizes);
  const auto [once, twice] = rare_kinds(sizes);
  const auto n = static_cast<double>(draws);
  const auto found = static_cast<double>(recall.found);
  const auto known = static_cast<double>(recall.known);
  if (recall.found == 0) {
    mass.rate = once == 0 ? 0 : 1;
    return mass;
  }
  mass.rate = std::min(1.0, once / n * known / found);
  const double dispersion = (once + 2 * twice + 1) / (once + 1);
  const double spread = std::max(1.0, dispersion);
  const WeightedCount count{.y = once / n, .v = spread * once / (n * n), .w_next = spread / n};
  mass.rate_hi = melded_quotient(count, found, known, 2 * level - 1).hi;
  return mass;
}

KindCount kind_count(std::span<const std::uint64_t> sizes, double level) {
  UNDERSTUDY_ASSERT(level > 0.5 && level < 1);
  KindCount kinds;
  kinds.seen = static_cast<double>(sizes.size());
  kinds.estimate = kinds_chao1(sizes);
  kinds.lo = kinds.seen + unseen_kinds_lo(rare_kinds(sizes), level);
  return kinds;
}

double novelty_bound(std::uint64_t draws, const MeasuredRecall& recall, std::uint64_t types_max,
                     std::uint64_t copies, double alpha) {
  UNDERSTUDY_ASSERT(draws >= 1 && recall.found <= recall.known && types_max >= 1 && copies >= 1);
  UNDERSTUDY_ASSERT(alpha > 0 && alpha < 1);
  if (recall.found == 0) return 1;
  std::vector<double> recalls;
  for (int i = 0; i < kRecallSteps; ++i) {
    recalls.push_back(beta_quantile(static_cast<double>(recall.found),
                                    static_cast<double>(recall.known - recall.found) + 1,
                                    (i + 0.5) / kRecallSteps));
  }
  const auto missed = [&](double rate) {
    double sum = 0;
    for (const double share : recalls) {
      const double mean = static_cast<double>(draws) * rate * share;
      // P(Poisson(mean) < copies) = P(Gamma(copies) > mean).
      const double one = 1 - gamma_cdf(static_cast<double>(copies), 1, mean);
      sum += std::min(1.0, static_cast<double>(types_max) * one);
    }
    return sum / kRecallSteps;
  };
  if (missed(1) > alpha) return 1;
  double lo = -50;  // of ln rate
  double hi = 0;
  for (int i = 0; i < kBisectionSteps; ++i) {
    const double middle = (lo + hi) / 2;
    (missed(std::exp(middle)) > alpha ? lo : hi) = middle;
  }
  return std::exp(hi);
}

double novelty_bound(std::uint64_t draws, std::uint64_t types_max, std::uint64_t copies,
                     double alpha) {
  UNDERSTUDY_ASSERT(draws >= 1 && types_max >= 1 && copies >= 1 && alpha > 0 && alpha < 1);
  const double mean =
      gamma_quantile(static_cast<double>(copies), 1, 1 - alpha / static_cast<double>(types_max));
  return std::min(1.0, mean / static_cast<double>(draws));
}

}  // namespace understudy
