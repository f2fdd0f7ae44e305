#include "discovery/unseen.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "base/assert.hpp"
#include "stats/distributions.hpp"
#include "stats/intervals.hpp"
#include "stats/richness.hpp"

namespace understudy {
namespace {

constexpr int kRecallSteps = 100;         // of the quantiles of each recall
constexpr int kBisectionSteps = 60;       // in the logarithm of the rate
constexpr int kCountSteps = 32;           // of the quantiles of a count's mean
constexpr std::size_t kBehaviorsMin = 2;  // one says nothing of how recalls differ

struct Rare {
  double once = 0;  // kinds with one user
  double twice = 0;
  double together = 1;  // of those with one user, met at once with the same: a mean over kinds
};

std::map<std::size_t, std::uint64_t> users_by_kind(std::span<const UserDraws> users) {
  std::map<std::size_t, std::uint64_t> counts;
  for (const UserDraws& user : users) {
    const std::set<std::size_t> kinds(user.noted.begin(), user.noted.end());
    for (const std::size_t kind : kinds) ++counts[kind];
  }
  return counts;
}

Rare rare_kinds(std::span<const UserDraws> users,
                const std::map<std::size_t, std::uint64_t>& counts) {
  Rare rare;
  double squares = 0;
  for (const UserDraws& user : users) {
    double once = 0;
    for (const std::size_t kind : std::set<std::size_t>(user.noted.begin(), user.noted.end())) {
      once += counts.at(kind) == 1 ? 1 : 0;
    }
    rare.once += once;
    squares += once * once;
  }
  for (const auto& [kind, count] : counts) rare.twice += count == 2 ? 1 : 0;
  if (rare.once > 0) rare.together = squares / rare.once;
  return rare;
}

std::vector<std::uint64_t> sizes_of(const std::map<std::size_t, std::uint64_t>& counts) {
  std::vector<std::uint64_t> sizes;
  for (const auto& [kind, count] : counts) sizes.push_back(count);
  return sizes;
}

// The most that so many unseen kinds can be said to be with confidence `level`. Kinds that occur as
// Poisson processes have E f₀ >= (E f₁)² / 2 E f₂ (Cauchy–Schwarz). f₀ itself, not its mean, is
// bounded: the prediction is averaged over the lower confidence distribution Gamma(f₁) of E f₁ and
// the upper one Gamma(f₂ + 1) of E f₂. Kinds that are met together count as one event of as many.
double unseen_kinds_lo(const Rare& rare, double level) {
  if (rare.once == 0) return 0;
  std::vector<double> means;
  for (int i = 0; i < kCountSteps; ++i) {
    const double once =
        gamma_quantile(rare.once / rare.together, rare.together, (i + 0.5) / kCountSteps);
    for (int j = 0; j < kCountSteps; ++j) {
      const double twice =
          gamma_quantile(rare.twice / rare.together + 1, rare.together, (j + 0.5) / kCountSteps);
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

PooledRecall pooled_recall(std::span<const MeasuredRecall> behaviors) {
  double found = 0;
  double known = 0;
  for (const MeasuredRecall& one : behaviors) {
    UNDERSTUDY_ASSERT(one.known > 0 && one.found >= 0 && one.found <= one.known);
    found += one.found;
    known += one.known;
  }
  PooledRecall pooled;
  if (known == 0) return pooled;
  pooled.share = found / known;
  // Behaviors, not answers, are what was drawn.
  double squares = 0;
  for (const MeasuredRecall& one : behaviors) {
    const double off = one.found - pooled.share * one.known;
    squares += off * off;
  }
  const double binomial = pooled.share * (1 - pooled.share) * known;
  const auto count = static_cast<double>(behaviors.size());
  if (binomial > 0 && count > 1) {
    pooled.effect = std::clamp(count / (count - 1) * squares / binomial, 1.0, std::max(1.0, known));
  }
  pooled.counted = {found / pooled.effect, known / pooled.effect};
  return pooled;
}

double effective_draws(std::span<const UserDraws> users) {
  double sum = 0;
  double squares = 0;
  for (const UserDraws& user : users) {
    const auto draws = static_cast<double>(user.draws);
    sum += draws;
    squares += draws * draws;
  }
  return squares > 0 ? sum * sum / squares : 0;
}

UnseenMass unseen_mass(std::span<const UserDraws> users, std::span<const MeasuredRecall> behaviors,
                       double level) {
  UNDERSTUDY_ASSERT(!users.empty() && level > 0.5 && level < 1);
  const auto counts = users_by_kind(users);
  const std::vector<std::uint64_t> sizes = sizes_of(counts);
  UnseenMass mass;
  mass.share_good_turing = unseen_share_good_turing(sizes);
  mass.share_chao = unseen_share_chao(sizes);
  double n = 0, once_draws = 0, at_most = 0, squares = 0;
  for (const UserDraws& user : users) {
    const auto once =
        static_cast<double>(std::count_if(user.noted.begin(), user.noted.end(),
                                          [&](std::size_t kind) { return counts.at(kind) == 1; }));
    const double and_unread = once + static_cast<double>(user.without_verdict);
    n += static_cast<double>(user.draws);
    once_draws += once;
    at_most += and_unread;
    squares += and_unread * and_unread;
  }
  std::vector<MeasuredRecall> and_another(behaviors.begin(), behaviors.end());
  const PooledRecall pooled = pooled_recall(behaviors);
  mass.rate = once_draws == 0     ? 0
              : pooled.share == 0 ? 1
                                  : std::min(1.0, once_draws / n / pooled.share);
  if (behaviors.size() < kBehaviorsMin || pooled.share == 0) return mass;
  double known = 0;
  for (const MeasuredRecall& one : behaviors) known += one.known;
  known /= static_cast<double>(behaviors.size());
  and_another.push_back({known / 2, known});
  const MeasuredRecall recall = pooled_recall(and_another).counted;
  const auto [once, twice, together] = rare_kinds(users, counts);
  const double spread = std::max(1.0, (once + 2 * twice + 1) / (once + 1));
  const WeightedCount count{
      .y = at_most / n, .v = spread * squares / (n * n), .w_next = spread / effective_draws(users)};
  mass.rate_hi = melded_quotient(count, recall.found, recall.known, 2 * level - 1).hi;
  return mass;
}

KindCount kind_count(std::span<const UserDraws> users, double level) {
  UNDERSTUDY_ASSERT(level > 0.5 && level < 1);
  const auto counts = users_by_kind(users);
  const std::vector<std::uint64_t> sizes = sizes_of(counts);
  KindCount kinds;
  kinds.seen = static_cast<double>(sizes.size());
  kinds.estimate = kinds_chao1(sizes);
  kinds.lo = kinds.seen + unseen_kinds_lo(rare_kinds(users, counts), level);
  return kinds;
}

double novelty_bound(double draws, double without_verdict,
                     std::span<const MeasuredRecall> behaviors, const NoveltyQuestion& question) {
  UNDERSTUDY_ASSERT(draws > 0 && without_verdict >= 0 && question.types_max >= 1);
  UNDERSTUDY_ASSERT(question.copies >= 1 && question.alpha > 0 && question.alpha < 1);
  if (behaviors.size() < kBehaviorsMin) return 1;
  std::vector<double> recalls;  // all of one weight: the last block is any recall
  for (std::size_t k = 0; k <= behaviors.size(); ++k) {
    const MeasuredRecall one = k < behaviors.size() ? behaviors[k] : MeasuredRecall{};
    for (int i = 0; i < kRecallSteps; ++i) {
      recalls.push_back(
          beta_quantile(one.found + 1, one.known - one.found + 1, (i + 0.5) / kRecallSteps));
    }
  }
  // Were all read, so many of its draws at least would have to be noted.
  const double copies = static_cast<double>(question.copies) + without_verdict;
  const auto missed = [&](double rate) {
    double sum = 0;
    for (const double recall : recalls) {
      // P(Poisson(mean) < copies) = P(Gamma(copies) > mean).
      sum += 1 - gamma_cdf(copies, 1, draws * rate * recall);
    }
    return static_cast<double>(question.types_max) * sum / static_cast<double>(recalls.size());
  };
  if (missed(1) > question.alpha) return 1;
  double lo = -50;  // of ln rate
  double hi = 0;
  for (int i = 0; i < kBisectionSteps; ++i) {
    const double middle = (lo + hi) / 2;
    (missed(std::exp(middle)) > question.alpha ? lo : hi) = middle;
  }
  return std::exp(hi);
}

double novelty_bound(double draws, const NoveltyQuestion& question) {
  UNDERSTUDY_ASSERT(draws > 0 && question.types_max >= 1 && question.copies >= 1);
  const double mean = gamma_quantile(static_cast<double>(question.copies), 1,
                                     1 - question.alpha / static_cast<double>(question.types_max));
  return std::min(1.0, mean / draws);
}

}  // namespace understudy
