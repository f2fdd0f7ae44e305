#include "discovery/strata.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace understudy {
namespace {

constexpr std::size_t kUsers = 300;
constexpr std::size_t kPrefixesPerUser = 5;
constexpr std::size_t kTopics = 12;

// Users ask about one topic or two; a positive user does it again and again.
struct World {
  Strata strata;
  StratumDraws draws;
  std::vector<Carried> carried;

  World(std::uint64_t seed, double rate, double rate_in_first) {
    Rng rng(seed);
    StrataBuilder builder;
    for (std::size_t user = 0; user < kUsers; ++user) {
      const std::uint64_t topic = rng.below(kTopics);
      const bool habitual = rng.uniform() < 0.3;
      for (std::size_t i = 0; i < kPrefixesPerUser; ++i) {
        const std::uint64_t own = rng.uniform() < 0.8 ? topic : rng.below(kTopics);
        draws.prefix.push_back(draws.prefix.size());
        draws.cluster.push_back(user);
        draws.weight.push_back(1 + static_cast<double>(rng.below(3)));
        const double share = (own == 0 ? rate_in_first : rate) * (habitual ? 2.5 : 0.36);
        carried.push_back(rng.uniform() < share ? Carried::kYes : Carried::kNo);
        std::vector<std::string> names = {"topic " + std::to_string(own)};
        names.emplace_back(rng.uniform() < 0.5 ? "first turn" : "later");
        builder.add(names);
      }
    }
    strata = builder.finish();
  }
  [[nodiscard]] StrataFound run() const {
    return strata_that_carry(strata, draws, std::vector<std::vector<Carried>>{carried}, 0.05);
  }
};

TEST(Strata, WhereNothingDiffersFewSeedsFindAny) {
  constexpr int kSeeds = 80;
  int found = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const World world(static_cast<std::uint64_t>(seed), 0.03, 0.03);
    if (!world.run().behaviors[0].empty()) ++found;
  }
  EXPECT_LE(found, 8);  // 5% of 80, and two standard errors
}

TEST(Strata, APlantedStratumIsFoundAndItsIntervalHoldsTheRate) {
  constexpr int kSeeds = 30;
  int first = 0, held = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const World world(static_cast<std::uint64_t>(seed), 0.02, 0.15);
    const StrataFound found = world.run();
    if (found.behaviors[0].empty()) continue;
    const StratumRate& best = found.behaviors[0].front();
    if (world.strata.names[best.stratum] != "topic 0") continue;
    ++first;
    if (best.interval.lo <= 0.15 && 0.15 <= best.interval.hi) ++held;
    EXPECT_GT(found.interval_level, 0.95);
    EXPECT_LE(best.adjusted, 0.05);
    EXPECT_NEAR(best.share, 1.0 / kTopics, 0.05);
  }
  EXPECT_GE(first, kSeeds - 2);
  EXPECT_GE(held, first - 3);
}

TEST(Strata, OneUserIsNoStratum) {
  // Five positive draws, all of one user: that is where the user is, not what the prefix is.
  World world(7, 0, 0);
  for (std::size_t i = 0; i < 5; ++i) world.carried[i] = Carried::kYes;
  EXPECT_TRUE(world.run().behaviors[0].empty());
  EXPECT_EQ(world.run().tested, 0U);
}

TEST(Strata, WithoutAVerdictADrawIsNotCounted) {
  World world(3, 0.02, 0.15);
  const StrataFound before = world.run();
  for (std::size_t i = 0; i < world.carried.size(); ++i) {
    if (world.strata.holds[0][world.draws.prefix[i]]) world.carried[i] = Carried::kUnknown;
  }
  const StrataFound after = world.run();
  for (const StratumRate& rate : after.behaviors[0]) EXPECT_NE(rate.stratum, 0U);
  EXPECT_LT(after.tested, before.tested);
}

TEST(Strata, WhatAllOrNearlyNoneHaveIsNone) {
  StrataBuilder builder;
  for (std::size_t i = 0; i < 200; ++i) {
    std::vector<std::string> names = {"all", i % 2 == 0 ? "even" : "odd"};
    if (i % 2 == 0) names.emplace_back("also even");
    if (i < 9) names.emplace_back("rare");
    builder.add(names);
  }
  const Strata strata = builder.finish();
  EXPECT_EQ(strata.names, (std::vector<std::string>{"odd", "even · also even"}));
  EXPECT_EQ(strata.holds[0].size(), 200U);
}

}  // namespace
}  // namespace understudy
