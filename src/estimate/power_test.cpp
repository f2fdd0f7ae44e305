#include "estimate/power.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "stats/distributions.hpp"

namespace understudy {
namespace {

double poisson_mass(double mean, int k) {
  return std::exp(k * std::log(mean) - mean - log_gamma(k + 1.0));
}

// The definition, count by count.
double power_by_enumeration(const RateCount& deployed, double draws, double ratio) {
  const double mean = draws * deployed.hits / deployed.n * ratio;
  double power = 0;
  for (int events = 0; events < 1000; ++events) {
    const Interval interval =
        rate_ratio_interval({static_cast<double>(events), draws}, deployed, 0.95);
    if (ratio > 1 ? interval.lo > 1 : interval.hi < 1) power += poisson_mass(mean, events);
  }
  return power;
}

TEST(DirectionPower, IsTheSumOverTheCountsThatDecide) {
  for (const double ratio : {0.2, 0.5, 1.5, 2.0, 5.0}) {
    for (const double draws : {500.0, 5000.0, 20'000.0}) {
      const RateCount deployed{37, 10'000};
      EXPECT_NEAR(direction_power(deployed, draws, ratio, 0.95),
                  power_by_enumeration(deployed, draws, ratio), 1e-9)
          << ratio << " at " << draws;
    }
  }
}

TEST(DirectionPower, IsZeroWhereNothingWasSeenOrNothingCouldDecide) {
  EXPECT_EQ(direction_power({0, 10'000}, 5000, 2, 0.95), 0);
  EXPECT_EQ(direction_power({2, 10'000}, 50, 0.5, 0.95), 0);
}

TEST(DrawsForPower, GiveThePowerAndNotMuchFewerDo) {
  const RateCount deployed{400, 100'000};
  const auto draws = draws_for_power(deployed, 2, 0.95, 0.8);
  ASSERT_TRUE(draws.has_value());
  EXPECT_GE(direction_power(deployed, *draws, 2, 0.95), 0.8);
  EXPECT_LT(direction_power(deployed, 0.9 * *draws, 2, 0.95), 0.8);
}

TEST(DrawsForPower, AreNotToBeHadWhereTheDeployedRateIsTooUncertain) {
  EXPECT_FALSE(draws_for_power({1, 10'000}, 1.5, 0.95, 0.8).has_value());
}

TEST(LabelSpread, FallsWithEveryLabel) {
  EXPECT_GT(flag_label_spread(0, 0), flag_label_spread(5, 10));
  EXPECT_GT(flag_label_spread(5, 10), flag_label_spread(50, 100));
  EXPECT_GT(passed_label_spread(1e-3, 0), passed_label_spread(1e-3, 100));
  // No find among a hundred: about three in a hundred may be missed.
  EXPECT_NEAR(passed_label_spread(0.01, 100), 1 + 2.95, 0.05);
}

}  // namespace
}  // namespace understudy
