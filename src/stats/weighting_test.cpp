#include "stats/weighting.hpp"

#include <gtest/gtest.h>

namespace understudy {
namespace {

TEST(KishShare, IsTheShareThatUnequalWeightsLeave) {
  EXPECT_DOUBLE_EQ(kish_share(std::vector<double>{2, 2, 2}), 1);
  EXPECT_DOUBLE_EQ(kish_share(std::vector<double>{1, 0, 0, 0}), 0.25);
  EXPECT_DOUBLE_EQ(kish_share(std::vector<double>{1, 3}), 16.0 / 20);
  EXPECT_EQ(kish_share(std::vector<double>{0, 0}), 0);
  EXPECT_EQ(kish_share(std::vector<double>{}), 0);
}

TEST(Raked, OneMarginIsPostStratification) {
  const Margin margin{{0, 0, 0, 1}, {0.5, 0.5}};
  const auto weights = raked({1, 1, 1, 1}, {&margin, 1});
  ASSERT_TRUE(weights.has_value());
  EXPECT_NEAR((*weights)[0], 2.0 / 3, 1e-12);
  EXPECT_NEAR((*weights)[3], 2, 1e-12);
}

// Two by two with counts 10, 20, 30, 40: the odds ratio stays, the margins become the target's.
TEST(Raked, MarginsHoldAndTheOddsRatioStays) {
  const std::vector<double> counts = {10, 20, 30, 40};
  const std::vector<Margin> margins = {{{0, 0, 1, 1}, {0.6, 0.4}}, {{0, 1, 0, 1}, {0.3, 0.7}}};
  const auto w = raked(counts, margins);
  ASSERT_TRUE(w.has_value());
  EXPECT_NEAR(((*w)[0] + (*w)[1]) / 4, 0.6, 1e-6);
  EXPECT_NEAR(((*w)[0] + (*w)[2]) / 4, 0.3, 1e-6);
  EXPECT_NEAR((*w)[0] * (*w)[3] / ((*w)[1] * (*w)[2]), 10.0 * 40 / (20 * 30), 1e-9);
}

TEST(Raked, AStratumWithoutUnitsOrContradictoryMarginsGiveNothing) {
  const Margin missing{{0, 0}, {0.5, 0.5}};
  EXPECT_FALSE(raked({1, 1}, {&missing, 1}).has_value());
  // Two margins that divide alike and want different shares.
  const std::vector<Margin> contradictory = {{{0, 1}, {0.9, 0.1}}, {{0, 1}, {0.1, 0.9}}};
  EXPECT_FALSE(raked({1, 1}, contradictory).has_value());
  // All weight is taken away: what one keeps the other does not.
  const std::vector<Margin> nothing = {{{0, 1}, {1, 0}}, {{0, 1}, {0, 1}}};
  EXPECT_FALSE(raked({1, 1}, nothing).has_value());
}

TEST(Raked, AStratumWithoutAShareLosesItsWeight) {
  const Margin margin{{0, 1}, {1, 0}};
  const auto weights = raked({1, 1}, {&margin, 1});
  ASSERT_TRUE(weights.has_value());
  EXPECT_EQ((*weights)[1], 0);
}

}  // namespace
}  // namespace understudy
