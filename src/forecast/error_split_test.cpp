#include "forecast/error_split.hpp"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "base/rng.hpp"
#include "estimate/side_tables.hpp"
#include "forecast/ledger.hpp"
#include "forecast/predictive.hpp"

namespace understudy {
namespace {

Rate counted(double hits, std::uint64_t n) {
  Rate rate;
  rate.per_100k = 1e5 * hits / static_cast<double>(n);
  rate.n = n;
  rate.k = static_cast<std::uint64_t>(hits);
  rate.method = "m";
  return rate;
}

Rate interval(double point, double lo, double hi) {
  Rate rate;
  rate.per_100k = point;
  rate.lo = lo;
  rate.hi = hi;
  return rate;
}

// The BCG vaccine trials (Colditz et al. 1994) as R's metafor has them: rma(yi, vi, method = "PM")
// and confint() give τ² = 0.3181 and [0.1197, 1.1115].
TEST(RandomEffects, GivesMetaforsNumbers) {
  const std::array values = {-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209,
                             0.0120,  -0.4694, -1.3713, -0.3394, 0.4459,  -0.0173};
  const std::array variances = {0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230,
                                0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714};
  const auto found = random_effects(values, variances, 0.95);
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->sd * found->sd, 0.3181, 5e-4);
  EXPECT_NEAR(found->sd_interval.lo * found->sd_interval.lo, 0.1197, 5e-4);
  EXPECT_NEAR(found->sd_interval.hi * found->sd_interval.hi, 1.1115, 2e-3);
  EXPECT_NEAR(found->mean, -0.7150, 2e-3);
}

TEST(RandomEffects, EqualValuesHaveNoSpread) {
  const std::array values = {1.0, 1.0, 1.0, 1.0};
  const std::array variances = {0.1, 0.2, 0.1, 0.3};
  const auto found = random_effects(values, variances, 0.95);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->sd, 0);
  EXPECT_EQ(found->sd_interval.lo, 0);
  // Four values cannot show that there is none: with noise of 0.1 and as far apart as it foretells,
  // the spread of equal variances v has Q(s²) = 3 v / (v + s²), which is 0.2158 at s² = 12.9 v.
  EXPECT_GT(found->sd_interval.hi, 0.5);
  const auto same = random_effects(values, std::array{0.1, 0.1, 0.1, 0.1}, 0.95);
  EXPECT_NEAR(same->sd_interval.hi * same->sd_interval.hi, 0.1 * (3 / 0.21579528 - 1), 1e-4);
  EXPECT_LT(found->mean_interval.lo, 1);
  EXPECT_FALSE(random_effects(std::array{1.0, 2.0}, std::array{1.0, 1.0}, 0.95));
}

TEST(ErrorSplit, PartsAddUpToTheWhole) {
  SplitInput input{.behavior = "b",
                   .forecast = counted(150, 1000),
                   .candidate = counted(180, 1000),
                   .deployed = counted(100, 1000),
                   .deployed_replay = counted(140, 1000),
                   .own_replay = {},
                   .actual = counted(110, 1000),
                   .candidate_screen = counted(180, 1000),
                   .actual_screen = counted(110, 1000)};
  for (const bool own : {false, true}) {
    if (own) input.own_replay = counted(160, 1000);
    const ErrorSplit split = split_errors({&input, 1});
    ASSERT_EQ(split.rows.size(), 1U);
    const SplitRow& row = split.rows[0];
    ASSERT_EQ(row.prefix_shift.has_value(), own);
    const double shift = own ? row.prefix_shift->log : 0;
    EXPECT_NEAR(row.total->log,
                row.shrinkage->log + row.environment->log + shift + row.remainder->log, 1e-12);
    EXPECT_NEAR(row.environment->log, std::log(140.5 / 100.5), 1e-9);
    EXPECT_FALSE(row.grader_sd);
  }
}

TEST(ErrorSplit, LeavesOutWhatWasNeverSeen) {
  const SplitInput rare{.behavior = "b",
                        .forecast = counted(1, 1000),
                        .candidate = counted(1, 1000),
                        .deployed = counted(1, 1000),
                        .deployed_replay = {},
                        .own_replay = {},
                        .actual = counted(0, 1000),
                        .candidate_screen = {},
                        .actual_screen = {}};
  EXPECT_TRUE(split_errors({&rare, 1}).rows.empty());
  EXPECT_EQ(to_json(split_errors({}))["pooled"]["environment"], Json());
}

// The largest errors must not be the ones that are left out.
TEST(ErrorSplit, AForecastOfNothingIsHalfAnEvent) {
  SplitInput input;
  input.forecast = input.candidate = counted(0, 1000);
  input.actual = counted(100, 10'000);
  const ErrorSplit split = split_errors({&input, 1});
  ASSERT_EQ(split.rows.size(), 1U);
  EXPECT_NEAR(split.rows[0].total->log, std::log(0.5 / 100.5), 0.01);
}

TEST(ErrorSplit, AnUncorrectedScreenSaysNothingOfTheGrader) {
  SplitInput input;
  input.forecast = input.candidate = input.candidate_screen = counted(1000, 10'000);
  input.actual = input.actual_screen = counted(900, 10'000);
  input.candidate_screen.method = input.actual_screen.method = "clopper_pearson";
  input.candidate.method = input.actual.method = "screen_relative: clopper_pearson";
  const ErrorSplit split = split_errors({&input, 1});
  ASSERT_EQ(split.rows.size(), 1U);
  EXPECT_FALSE(split.rows[0].grader_sd);
  EXPECT_FALSE(split.grader_sd);
}

TEST(Predictive, AddsVariancesOnTheLogScale) {
  PredictiveSpread spread{.shift_variance = std::pow(std::log(2) / 1.96, 2)};
  const Rate wide = predictive_rate(interval(100, 50, 200), spread);
  EXPECT_NEAR(*wide.lo, 100 * std::exp(-std::sqrt(2) * std::log(2)), 0.01);
  EXPECT_NEAR(*wide.hi, 100 * std::exp(std::sqrt(2) * std::log(2)), 0.01);
  EXPECT_EQ(*wide.per_100k, 100);
  // With past releases the shift is a floor, not an addition.
  spread.in_estimate = true;
  EXPECT_NEAR(*predictive_rate(interval(100, 50, 200), spread).lo, 50, 0.01);
  EXPECT_NEAR(*predictive_rate(interval(100, 90, 110), spread).lo, 50, 0.01);
  const Rate none = predictive_rate(interval(0, 0, 30), {.shift_variance = 0.25});
  EXPECT_EQ(*none.lo, 0);
  EXPECT_NEAR(*none.hi, 30 * std::exp(1.96 * 0.5), 0.01);
  EXPECT_FALSE(predictive_rate(Rate{}, spread).per_100k);
}

TEST(Predictive, LearnsTheReplaysErrorFromYToY) {
  std::vector<ReplayError> replays;
  EXPECT_EQ(predictive_spread({}, {}, replays).simulator_source, "default");
  for (int i = 0; i < 5; ++i) replays.push_back({counted(1000, 100'000), counted(1500, 100'000)});
  const PredictiveSpread spread = predictive_spread({}, {}, replays);
  EXPECT_EQ(spread.simulator_source, "deployed_replay");
  EXPECT_NEAR(std::sqrt(spread.simulator_variance), std::log(1.5), 0.02);
  EXPECT_NEAR(std::sqrt(predictive_spread({}, 0.1, {}).shift_variance), 0.1, 1e-12);
  HistoryFit fit;
  fit.candidate_bias_variance = 0.05;
  fit.deployed_bias_variance = 0.04;
  fit.covariance = 0.04;
  EXPECT_NEAR(predictive_spread(fit, {}, replays).shift_variance, 0.01, 1e-12);
}

std::vector<HistoryRow> past_releases(int releases) {
  std::vector<HistoryRow> rows;
  Rng rng(5);
  for (int release = 0; release < releases; ++release) {
    for (int i = 0; i < 12; ++i) {
      const double old = 50 + 400 * rng.uniform();
      const double actual = old * std::exp(i % 3 == 0 ? 2 * rng.uniform() - 1 : 0.0);
      rows.push_back({.release = "r" + std::to_string(release),
                      .behavior = "b" + std::to_string(i),
                      .previous_per_100k = old,
                      .candidate_replayed_per_100k = 1.2 * actual,
                      .candidate_draws = 100'000,
                      .deployed_replayed_per_100k = 1.2 * old,
                      .deployed_draws = 100'000,
                      .actual_per_100k = actual});
    }
  }
  return rows;
}

TEST(Ledger, ReplacesAReleaseThatIsVerifiedAgain) {
  std::vector<HistoryRow> rows = past_releases(2);
  std::vector<HistoryRow> again(rows.begin(), rows.begin() + 12);
  again[0].actual_per_100k = 1;
  rows = with_release(std::move(rows), "r0", again);
  ASSERT_EQ(rows.size(), 24U);
  EXPECT_EQ(rows[12].actual_per_100k, 1);
}

TEST(Ledger, IsReadAsItWasWritten) {
  std::vector<HistoryRow> rows = past_releases(1);
  rows[0].release = "a \"quoted\", name";
  rows[1].candidate_draws.reset();
  rows[1].actual_per_100k.reset();
  const std::string path = testing::TempDir() + "understudy_ledger_test.csv";
  std::ofstream(path) << ledger_csv(rows);
  const auto read = read_history(path);
  std::remove(path.c_str());
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(ledger_csv(*read), ledger_csv(rows));
  EXPECT_EQ((*read)[0].release, rows[0].release);
  EXPECT_FALSE((*read)[1].actual_per_100k);
}

TEST(Ledger, LeavesEachReleaseOutInTurn) {
  EXPECT_FALSE(leave_one_release_out(past_releases(1)));
  const auto check = leave_one_release_out(past_releases(4));
  ASSERT_TRUE(check);
  EXPECT_EQ(check->releases, 4U);
  EXPECT_EQ(check->rows, 48U);
  EXPECT_LT(check->median_error, 1.25);  // the replay's bias of 1.2 is known to be shared
  EXPECT_GT(check->coverage, 0.85);
}

}  // namespace
}  // namespace understudy
