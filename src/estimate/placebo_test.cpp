#include "estimate/placebo.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "stats/distributions.hpp"

namespace understudy {
namespace {

TEST(Placebo, ErrorsAreBetweenPeriodsOneHorizonApart) {
  const std::vector<RateCount> periods = {{10, 1000}, {20, 1000}, {40, 1000}};
  const auto next = placebo_errors(periods, 1);
  ASSERT_EQ(next.size(), 2U);
  EXPECT_NEAR(next[0].log_error, std::log(10.5 / 20.5), 1e-12);
  EXPECT_NEAR(next[0].sampling_variance, 1 / 10.5 + 1 / 20.5, 1e-12);
  const auto after = placebo_errors(periods, 2);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_NEAR(after[0].log_error, std::log(10.5 / 40.5), 1e-12);
}

TEST(Placebo, OnePeriodOrNoEventsGiveNoErrors) {
  EXPECT_TRUE(placebo_errors(std::vector<RateCount>{}, 1).empty());
  EXPECT_TRUE(placebo_errors(std::vector<RateCount>{{50, 1000}}, 1).empty());
  EXPECT_TRUE(placebo_errors(std::vector<RateCount>{{0, 1000}, {0, 1000}}, 1).empty());
  EXPECT_TRUE(placebo_errors(std::vector<RateCount>{{50, 1000}, {0, 0}}, 1).empty());
  // Nine events in two equal periods would be fewer than five in each.
  EXPECT_TRUE(placebo_errors(std::vector<RateCount>{{9, 1000}, {0, 1000}}, 1).empty());
  EXPECT_EQ(placebo_errors(std::vector<RateCount>{{10, 1000}, {0, 1000}}, 1).size(), 1U);
}

TEST(Placebo, SpreadIsWhatMakesTheRankedErrorFit) {
  std::vector<PlaceboError> errors;
  for (int i = 1; i <= 19; ++i) errors.push_back({0.05 * i, 0.01});
  const auto spread = conformal_shift(errors, 0.9);  // ⌈20 · 0.9⌉ = 18th: 0.9
  ASSERT_TRUE(spread.has_value());
  const double z = normal_quantile(0.95);
  EXPECT_NEAR(z * std::hypot(spread->log_sd, 0.1), 0.9, 1e-12);
  EXPECT_EQ(spread->level, 0.9);
  EXPECT_EQ(spread->errors, 19U);
}

TEST(Placebo, SpreadIsNothingWhereSamplingExplainsTheErrors) {
  const std::vector<PlaceboError> errors(30, {0.1, 0.01});
  EXPECT_EQ(conformal_shift(errors, 0.9)->log_sd, 0);
}

TEST(Placebo, FewErrorsLowerTheLevelAndFewerThanFourSayNothing) {
  EXPECT_FALSE(conformal_shift(std::vector<PlaceboError>(3, {0.5, 0.01}), 0.95).has_value());
  const auto spread = conformal_shift(std::vector<PlaceboError>(4, {0.5, 0.01}), 0.95);
  ASSERT_TRUE(spread.has_value());
  EXPECT_EQ(spread->level, 0.8);
  EXPECT_GT(spread->log_sd, 0);
}

TEST(Placebo, LogsOfManyPeriodsAreFartherFromWhatFollows) {
  // Five periods, the next one asked for: pairs are 1 + 5/3 apart, two.
  const std::vector<RateCount> periods = {{10, 100}, {10, 100}, {10, 100}, {40, 100}, {40, 100}};
  const std::vector<std::vector<RateCount>> behaviors(2, periods);
  const auto spread = placebo_shift(behaviors, 1, 0.9);
  ASSERT_TRUE(spread.has_value());
  EXPECT_EQ(spread->errors, 6U);
  EXPECT_GT(spread->log_sd, 0.5);
  EXPECT_FALSE(placebo_shift(behaviors, 4, 0.9).has_value());
}

}  // namespace
}  // namespace understudy
