#include "discovery/unseen.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

using Sizes = std::vector<std::uint64_t>;
using Recalls = std::vector<MeasuredRecall>;

// So many users with a draw each; as many as `sizes` say have a kind.
std::vector<UserDraws> each_with_one(const Sizes& sizes, std::size_t draws) {
  std::vector<UserDraws> users(draws, {.draws = 1, .without_verdict = 0, .noted = {}});
  std::size_t user = 0;
  for (std::size_t kind = 0; kind < sizes.size(); ++kind) {
    for (std::uint64_t copy = 0; copy < sizes[kind]; ++copy) users[user++].noted = {kind};
  }
  return users;
}

// 500 behaviors that are all found: it would take as many to be sure of the next one.
Recalls perfect() {
  return {500, {1000, 1000}};
}

TEST(NoveltyBound, IsThePublishedOneWithPerfectRecall) {
  EXPECT_NEAR(novelty_bound(700'000, {}), 2.857e-5, 1e-8);
  EXPECT_NEAR(novelty_bound(700'000, 0, Recalls(2000, {1e6, 1e6}), {}), 2.857e-5, 5e-7);
}

TEST(NoveltyBound, GrowsAsRecallFallsAndAsItIsLessKnown) {
  const NoveltyQuestion once{.types_max = 10, .copies = 1, .alpha = 0.05};
  const double all = novelty_bound(100'000, 0, Recalls(100, {1000, 1000}), once);
  const double half = novelty_bound(100'000, 0, Recalls(100, {500, 1000}), once);
  EXPECT_GT(half, 1.5 * all);
  EXPECT_GT(novelty_bound(100'000, 0, Recalls(100, {5, 10}), once), 1.2 * half);
  EXPECT_GT(novelty_bound(100'000, 0, Recalls(4, {500, 1000}), once), 3 * half)
      << "four behaviors say little of the next one";
  EXPECT_EQ(novelty_bound(100'000, 0, Recalls(1, {1000, 1000}), once), 1)
      << "one behavior says nothing of how they differ";
  EXPECT_EQ(novelty_bound(5, 0, Recalls(4, {20, 20}), {}), 1) << "five draws hold no ten copies";
}

// What was not read may show anything: as many draws more would have to be noted.
TEST(NoveltyBound, CountsWhatHasNoVerdictAgainstIt) {
  const NoveltyQuestion once{.types_max = 10, .copies = 1, .alpha = 0.05};
  const NoveltyQuestion tenfold{.types_max = 10, .copies = 10, .alpha = 0.05};
  EXPECT_EQ(novelty_bound(2000, 9, perfect(), once), novelty_bound(2000, 0, perfect(), tenfold));
}

// Ten behaviors, each like one of those that were hidden and just as common as the bound says, are
// all met in 95% of cases, and so if one in ten is far harder to find than the mean.
TEST(NoveltyBound, HoldsForEveryBehaviorWhereRecallsDiffer) {
  for (const auto& [easy, hard] : {std::pair{45.0, 5.0}, {49.0, 15.0}, {40.0, 40.0}}) {
    Recalls behaviors(9, {easy, 50});
    behaviors.push_back({hard, 50});
    for (const std::uint64_t copies : {1U, 10U}) {
      const double bound = novelty_bound(100'000, 0, behaviors, {10, copies, 0.05});
      double missed = 0;
      for (const MeasuredRecall& one : behaviors) {
        const double mean = 100'000 * bound * one.found / one.known;
        missed += (1 - gamma_cdf(static_cast<double>(copies), 1, mean)) / 10;
      }
      EXPECT_GE(std::pow(1 - missed, 10), 0.95) << easy << " " << hard << " " << copies;
    }
  }
}

double uniform_in(double lo, double hi, Rng& rng) {
  return lo + (hi - lo) * rng.uniform();
}

// Behaviors hidden and new are drawn alike, the new ones just as common as the bound says. A mean
// over the hidden ones alone holds in about 85% of such worlds for ten copies.
TEST(NoveltyBound, HoldsThoughFewBehaviorsAreHidden) {
  constexpr int kWorlds = 100;
  constexpr std::uint64_t kCopies = 10;
  double covered = 0;
  for (int world = 0; world < kWorlds; ++world) {
    Rng rng(23, static_cast<std::uint64_t>(world));
    Recalls behaviors(4, {0, 50});
    for (MeasuredRecall& behavior : behaviors) {
      const double recall = uniform_in(0.3, 0.99, rng);
      for (int i = 0; i < 50; ++i) behavior.found += rng.uniform() < recall ? 1 : 0;
    }
    const double bound = novelty_bound(100'000, 0, behaviors, {10, kCopies, 0.05});
    double met = 1;
    for (int type = 0; type < 10; ++type) {
      met *= gamma_cdf(kCopies, 1, 100'000 * bound * uniform_in(0.3, 0.99, rng));
    }
    covered += met / kWorlds;
  }
  EXPECT_GE(covered, 0.93);
}

TEST(PooledRecall, CountsForLessWhereBehaviorsAreMissedTogether) {
  EXPECT_EQ(pooled_recall(Recalls{{30, 60}, {30, 60}}).effect, 1);
  const PooledRecall apart = pooled_recall(Recalls{{60, 60}, {0, 60}});
  EXPECT_NEAR(apart.share, 0.5, 1e-12);
  EXPECT_NEAR(apart.counted.known, 1, 0.01);
}

TEST(UnseenMass, IsGoodTuringOverDrawsAndRecall) {
  const std::vector<UserDraws> users = each_with_one({9, 4, 3, 2, 2, 1, 1, 1, 1}, 1000);
  const UnseenMass mass = unseen_mass(users, Recalls(10, {5, 10}), 0.95);
  EXPECT_NEAR(mass.share_good_turing, 4.0 / 24, 1e-12);
  EXPECT_NEAR(mass.share_chao, .159722, 1e-6);
  EXPECT_NEAR(mass.rate, 4.0 / 1000 / 0.5, 1e-12);
  EXPECT_GT(mass.rate_hi, 2 * mass.rate);
  EXPECT_LT(mass.rate_hi, 6 * mass.rate);
}

TEST(UnseenMass, BoundsWhatWasNeverMet) {
  // Nothing found in 1,000 draws by an auditor who finds everything: the rule of three.
  const std::vector<UserDraws> users = each_with_one({}, 1000);
  EXPECT_NEAR(unseen_mass(users, perfect(), 0.95).rate_hi, 0.003, 2e-5);
  EXPECT_EQ(unseen_mass(users, Recalls(1, {9, 10}), 0.95).rate_hi, 1);
  // Ten draws of each user, who may be alike in all: a hundred say what a hundred draws say.
  const std::vector<UserDraws> hundred(100, {.draws = 10, .without_verdict = 0, .noted = {}});
  EXPECT_NEAR(unseen_mass(hundred, perfect(), 0.95).rate_hi, 0.03, 1e-3);
}

TEST(UnseenMass, CountsAQuirkOfOneUserAsMetOnce) {
  std::vector<UserDraws> users(200, {.draws = 10, .without_verdict = 0, .noted = {}});
  users[7].noted.assign(10, 0);
  const UnseenMass mass = unseen_mass(users, perfect(), 0.95);
  EXPECT_EQ(mass.share_good_turing, 1);
  EXPECT_NEAR(mass.rate, 10.0 / 2000, 1e-12);
  EXPECT_GT(mass.rate_hi, 4 * mass.rate) << "one event";
}

TEST(UnseenMass, TakesWhatHasNoVerdictForKindsOfTheirOwn) {
  std::vector<UserDraws> users(1000, {.draws = 1, .without_verdict = 0, .noted = {}});
  for (std::size_t i = 0; i < 100; ++i) users[i].without_verdict = 1;
  const UnseenMass mass = unseen_mass(users, perfect(), 0.95);
  EXPECT_EQ(mass.rate, 0);
  EXPECT_GT(mass.rate_hi, 0.1);
  EXPECT_LT(mass.rate_hi, 0.13);
}

TEST(KindCount, HasAChaoBound) {
  const auto kinds_of = [](const Sizes& sizes) {
    return kind_count(each_with_one(sizes, 100), 0.95);
  };
  const KindCount kinds = kinds_of({9, 4, 3, 2, 2, 1, 1, 1, 1});
  EXPECT_NEAR(kinds.estimate, 10.916667, 1e-6);
  EXPECT_EQ(kinds.lo, 9) << "so few are met once that none need be unseen";
  EXPECT_EQ(kinds_of({5, 5}).lo, 2);
  Sizes many(40, 1);
  many.insert(many.end(), 8, 2);
  const KindCount unseen = kinds_of(many);
  EXPECT_GT(unseen.lo, 48 + 20);
  EXPECT_LT(unseen.lo, unseen.estimate);
}

// Two worlds of bench_unseen, small: users have quirks, in one of them in all of their ten draws.
// Recalls differ. The bounds hold the truth about as often as they say.
TEST(UnseenBounds, CoverInWorldsOfKnownKinds) {
  constexpr int kWorlds = 100;
  for (const std::uint64_t per_user : {1U, 10U}) {
    int covered = 0;
    for (int world = 0; world < kWorlds; ++world) {
      Rng rng(17, static_cast<std::uint64_t>(world));
      Recalls behaviors(6, {0, 40});
      for (MeasuredRecall& behavior : behaviors) {
        const double recall = uniform_in(0.4, 0.95, rng);
        for (int i = 0; i < 40; ++i) behavior.found += rng.uniform() < recall ? 1 : 0;
      }
      std::vector<UserDraws> users(500, {.draws = per_user, .without_verdict = 0, .noted = {}});
      double unseen = 0;
      for (std::size_t kind = 0; kind < 40; ++kind) {
        const double with_it = std::exp(-2 + 4 * rng.uniform());
        const double recall = uniform_in(0.4, 0.95, rng);
        bool met = false;
        for (double left = with_it; (left += std::log(rng.uniform_positive())) > 0;) {
          UserDraws& user = users[static_cast<std::size_t>(500 * rng.uniform())];
          for (std::uint64_t draw = 0; draw < per_user; ++draw) {
            if (rng.uniform() >= recall) continue;
            user.noted.push_back(kind);
            met = true;
          }
        }
        if (!met) unseen += with_it / 500;
      }
      covered += unseen_mass(users, behaviors, 0.95).rate_hi >= unseen ? 1 : 0;
    }
    EXPECT_GE(covered, 88) << per_user << ": 95% of 100, less three standard deviations";
  }
}

}  // namespace
}  // namespace understudy
