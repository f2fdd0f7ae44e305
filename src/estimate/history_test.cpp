#include "estimate/history.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace understudy {
namespace {

// Replayed at exp(bias) times what happened; the behavior itself did not change.
HistoryRow row(double per_100k, double candidate_bias, double deployed_bias, std::uint64_t draws) {
  HistoryRow row;
  row.release = "r";
  row.behavior = "b";
  row.previous_per_100k = row.actual_per_100k = per_100k;
  row.candidate_replayed_per_100k = per_100k * std::exp(candidate_bias);
  row.deployed_replayed_per_100k = per_100k * std::exp(deployed_bias);
  row.candidate_draws = row.deployed_draws = draws;
  return row;
}

TEST(FitHistory, BiasVarianceIsTheMeanSquareLessTheNoiseWhereAllRowsTellAsMuch) {
  std::vector<HistoryRow> rows;
  for (int i = 0; i < 40; ++i) {
    const double bias = i % 2 == 0 ? 0.6 : -0.6;
    rows.push_back(row(1000, bias, i % 4 < 2 ? bias : -bias, 1'000'000'000));
  }
  const auto fit = fit_history(rows);
  ASSERT_TRUE(fit.has_value());
  EXPECT_NEAR(fit->candidate_bias_variance, 0.36, 1e-5);
  EXPECT_NEAR(fit->deployed_bias_variance, 0.36, 1e-5);
  EXPECT_NEAR(fit->correlation(), 0, 1e-9);
  EXPECT_FALSE(fit->pivots());
}

TEST(FitHistory, RowsOfAFewEventsDoNotDecide) {
  std::vector<HistoryRow> rows;
  for (int i = 0; i < 40; ++i) {
    const double bias = i % 2 == 0 ? 0.6 : -0.6;
    rows.push_back(row(1000, bias, bias, 1'000'000));
    // One event expected: nothing, one or two are seen, whatever the bias.
    HistoryRow rare = row(1, 0, 0, 100'000);
    rare.candidate_replayed_per_100k = i % 3;
    rare.deployed_replayed_per_100k = (i + 1) % 3;
    rows.push_back(rare);
  }
  const auto fit = fit_history(rows);
  ASSERT_TRUE(fit.has_value());
  EXPECT_NEAR(std::sqrt(fit->candidate_bias_variance), 0.6, 0.15);
  EXPECT_NEAR(std::sqrt(fit->deployed_bias_variance), 0.6, 0.15);
  EXPECT_TRUE(fit->pivots());
}

}  // namespace
}  // namespace understudy
