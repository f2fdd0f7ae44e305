#include "discovery/unseen.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

using Sizes = std::vector<std::uint64_t>;

TEST(NoveltyBound, IsThePublishedOneWithPerfectRecall) {
  EXPECT_NEAR(novelty_bound(700'000, 10, 10, 0.05), 2.857e-5, 1e-8);
  // Infinitely many known failures, all found: the same.
  EXPECT_NEAR(novelty_bound(700'000, {1'000'000, 1'000'000}, 10, 10, 0.05), 2.857e-5, 2e-9);
}

TEST(NoveltyBound, GrowsAsRecallFallsAndAsItIsLessKnown) {
  const double perfect = novelty_bound(100'000, 10, 10, 0.05);
  const double half = novelty_bound(100'000, {500'000, 1'000'000}, 10, 10, 0.05);
  EXPECT_NEAR(half / perfect, 2, 0.01);
  EXPECT_GT(novelty_bound(100'000, {10, 20}, 10, 10, 0.05), 1.2 * half);
  EXPECT_EQ(novelty_bound(100'000, {0, 20}, 10, 10, 0.05), 1);
  EXPECT_EQ(novelty_bound(5, {20, 20}, 10, 10, 0.05), 1) << "five draws hold no ten copies";
}

// Exactly, over every recall that could have been measured: as many behaviors as the bound allows
// for, each just as common as it says, are all found ten times about 95% of the time.
TEST(NoveltyBound, HoldsAtEveryRecall) {
  constexpr double kDraws = 100'000;
  constexpr std::uint64_t kKnown = 30;
  constexpr int kTypes = 10;
  constexpr std::uint64_t kCopies = 10;
  std::vector<double> bounds;
  for (std::uint64_t found = 0; found <= kKnown; ++found) {
    bounds.push_back(novelty_bound(100'000, {found, kKnown}, kTypes, kCopies, 0.05));
  }
  for (const double recall : {0.5, 0.65, 0.8, 0.95}) {
    double held = 0;
    double chance = std::pow(1 - recall, kKnown);  // of measuring so many
    for (std::uint64_t found = 0; found <= kKnown; ++found) {
      const double copies = kDraws * bounds[found] * recall;
      held += chance * std::pow(gamma_cdf(kCopies, 1, copies), kTypes);
      chance *= static_cast<double>(kKnown - found) / static_cast<double>(found + 1) * recall /
                (1 - recall);
    }
    EXPECT_GE(held, 0.945) << recall;
    EXPECT_LE(held, 0.985) << recall << ": needlessly wide";
  }
}

TEST(UnseenMass, IsGoodTuringOverDrawsAndRecall) {
  const Sizes sizes = {9, 4, 3, 2, 2, 1, 1, 1, 1};
  const UnseenMass mass = unseen_mass(sizes, 1000, {50, 100}, 0.95);
  EXPECT_NEAR(mass.share_good_turing, 4.0 / 24, 1e-12);
  EXPECT_NEAR(mass.share_chao, .159722, 1e-6);
  EXPECT_NEAR(mass.rate, 4.0 / 1000 / 0.5, 1e-12);
  EXPECT_GT(mass.rate_hi, 2 * mass.rate);
  EXPECT_LT(mass.rate_hi, 6 * mass.rate);
}

TEST(UnseenMass, BoundsWhatWasNeverMet) {
  // Nothing found in 1,000 draws by an auditor who finds everything: the rule of three.
  EXPECT_NEAR(unseen_mass(Sizes{}, 1000, {100'000, 100'000}, 0.95).rate_hi, 0.003, 2e-5);
  EXPECT_EQ(unseen_mass(Sizes{}, 1000, {0, 0}, 0.95).rate_hi, 1) << "unknown recall bounds nothing";
}

TEST(KindCount, HasAChaoBound) {
  const KindCount kinds = kind_count(Sizes{9, 4, 3, 2, 2, 1, 1, 1, 1}, 0.95);
  EXPECT_NEAR(kinds.estimate, 10.916667, 1e-6);
  EXPECT_EQ(kinds.lo, 9) << "so few are met once that none need be unseen";
  EXPECT_EQ(kind_count(Sizes{5, 5}, 0.95).lo, 2);
  Sizes many(40, 1);
  many.insert(many.end(), 8, 2);
  const KindCount unseen = kind_count(many, 0.95);
  EXPECT_GT(unseen.lo, 48 + 20);
  EXPECT_LT(unseen.lo, unseen.estimate);
}

// One world of bench_unseen, small: the bounds hold the truth about as often as they say.
TEST(UnseenBounds, CoverInAWorldOfKnownKinds) {
  constexpr int kWorlds = 100;
  int covered = 0;
  for (int world = 0; world < kWorlds; ++world) {
    Rng rng(17, static_cast<std::uint64_t>(world));
    const double recall = 0.7;
    MeasuredRecall measured{0, 60};
    for (int i = 0; i < 60; ++i) {
      if (rng.uniform() < recall) ++measured.found;
    }
    Sizes sizes;
    double unseen = 0;
    for (int kind = 0; kind < 40; ++kind) {
      const double mean = std::exp(-2 + 4 * rng.uniform());  // found copies, expected
      std::uint64_t count = 0;
      for (double left = mean; (left += std::log(rng.uniform_positive())) > 0;) ++count;
      if (count > 0) sizes.push_back(count);
      if (count == 0) unseen += mean / recall / 10'000;
    }
    covered += unseen_mass(sizes, 10'000, measured, 0.95).rate_hi >= unseen ? 1 : 0;
  }
  EXPECT_GE(covered, 88) << "95% of 100, less three standard deviations";
}

}  // namespace
}  // namespace understudy
