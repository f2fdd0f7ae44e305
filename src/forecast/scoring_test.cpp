#include "forecast/scoring.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "stats/count_forecast.hpp"
#include "stats/intervals.hpp"
#include "stats/sign_flip.hpp"

namespace understudy {
namespace {

Rate rate(double per_100k, double lo, double hi) {
  Rate out;
  out.per_100k = per_100k;
  out.lo = lo;
  out.hi = hi;
  return out;
}

Rate counted(std::uint64_t k, std::uint64_t n) {
  const Interval range = clopper_pearson(static_cast<double>(k), static_cast<double>(n), 0.95);
  Rate out =
      rate(1e5 * static_cast<double>(k) / static_cast<double>(n), 1e5 * range.lo, 1e5 * range.hi);
  out.n = n;
  out.k = k;
  return out;
}

ForecastActual row(double forecast, std::uint64_t k, double old) {
  return {.behavior = "b",
          .forecast = rate(forecast, forecast / 2, forecast * 2),
          .actual = counted(k, 100'000),
          .baselines = {{"persistence", rate(old, old / 1.5, old * 1.5)}}};
}

TEST(Scoring, ErrorIsSymmetricAndMultiplicative) {
  for (const std::uint64_t k : {50U, 200U}) {
    const ForecastActual input = row(100, k, 100);
    const ForecastScores scores = score_forecasts({&input, 1});
    ASSERT_TRUE(scores.rows[0].sme);
    EXPECT_NEAR(*scores.rows[0].sme, 2, 1e-9);
    EXPECT_NEAR(scores.rows[0].baseline_sme.at("persistence"), 2, 1e-9);
    EXPECT_EQ(scores.rows[0].seen, k > 100 ? Moved::kUp : Moved::kDown);
    EXPECT_EQ(scores.rows[0].called, Moved::kNo);
  }
}

TEST(Scoring, AZeroCountIsHalfAnEvent) {
  const ForecastActual input = row(10, 0, 10);
  const ForecastScores scores = score_forecasts({&input, 1});
  ASSERT_TRUE(scores.rows[0].sme);
  EXPECT_NEAR(*scores.rows[0].sme, 20, 1e-9);  // ten foretold, half of one seen
}

TEST(Scoring, ComparesOnlyWhereFiveEventsAreExpectedOrSeen) {
  const ForecastActual rare = row(2, 1, 3);
  EXPECT_FALSE(score_forecasts({&rare, 1}).rows[0].compared);
  EXPECT_TRUE(score_forecasts({&rare, 1}).rows[0].covered.has_value());
  // A forecast of next to nothing must not excuse itself from what came.
  const ForecastActual missed = row(0.1, 40, 0.1);
  const ForecastScores scores = score_forecasts({&missed, 1});
  EXPECT_TRUE(scores.rows[0].compared);
  EXPECT_FALSE(*scores.rows[0].covered);
}

TEST(Scoring, SaysWhyARowHasNoScore) {
  ForecastActual none = row(10, 10, 10);
  none.forecast = Rate{};
  EXPECT_EQ(score_forecasts({&none, 1}).rows[0].skipped, "no forecast");
  ForecastActual unmeasured = row(10, 10, 10);
  unmeasured.actual = Rate{};
  const ForecastScores scores = score_forecasts({&unmeasured, 1});
  EXPECT_EQ(scores.rows[0].skipped, "no actual");
  EXPECT_FALSE(scores.summary.coverage);
}

TEST(Scoring, CoversTheCountNotTheQuotient) {
  // Foretold to within 1%: 100 events, of which chance makes 85 or 121 often, 60 never.
  for (const auto& [k, covered] : {std::pair(85U, true), {121U, false}, {60U, false}}) {
    ForecastActual input = row(100, k, 100);
    input.forecast = rate(100, 99, 101);
    EXPECT_EQ(*score_forecasts({&input, 1}).rows[0].covered, covered) << k;
  }
}

TEST(Scoring, AClusteredActualCountsForLess) {
  ForecastActual input = row(100, 121, 100);
  input.forecast = rate(100, 99, 101);
  input.actual.lo = 60;  // users with many events each: the interval is three times as wide
  input.actual.hi = 240;
  const ForecastScores scores = score_forecasts({&input, 1});
  EXPECT_LT(scores.rows[0].effective_n, 30'000);
  EXPECT_TRUE(*scores.rows[0].covered);
}

TEST(Scoring, DirectionsAreCountedAmongWhatMoved) {
  const std::vector<ForecastActual> inputs = {row(200, 180, 100), row(110, 200, 100),
                                              row(90, 200, 100), row(100, 105, 100)};
  const ScoreSummary summary = score_forecasts(inputs).summary;
  EXPECT_EQ(summary.moved, 3U);
  EXPECT_EQ(summary.right, 2U);
  EXPECT_EQ(summary.called, 1U);
  EXPECT_EQ(summary.called_right, 1U);
}

TEST(Scoring, TestsAgainstEachBaselineWithHolm) {
  std::vector<ForecastActual> inputs;
  for (int i = 0; i < 10; ++i) {
    inputs.push_back(row(200, 200, 100));
    inputs.back().baselines["challenging_prompts"] = rate(400, 100, 900);
  }
  const ScoreSummary summary = score_forecasts(inputs).summary;
  ASSERT_EQ(summary.tests.size(), 2U);
  for (const PairedTest& test : summary.tests) {
    EXPECT_EQ(test.rows, 10U);
    EXPECT_EQ(test.better, 10U);
    EXPECT_NEAR(test.p_value, 2.0 / 1024, 1e-12);
    EXPECT_NEAR(test.p_holm, 4.0 / 1024, 1e-12);
  }
}

TEST(Scoring, RegretIsLeastWhereTheForecastIsRight) {
  const ForecastActual near = row(100, 100, 100), far = row(400, 100, 400);
  const double of_near = *score_forecasts({&near, 1}).rows[0].regret;
  EXPECT_GT(of_near, 0);
  EXPECT_GT(*score_forecasts({&far, 1}).rows[0].regret, of_near + 1);
}

TEST(PairedPower, IsThatOfTheSource) {
  EXPECT_NEAR(paired_power(20), 0.56, 0.03);
  EXPECT_NEAR(paired_power(40), 0.83, 0.02);
  EXPECT_NEAR(paired_power(60), 0.94, 0.02);
}

TEST(SignFlip, IsExactForFewAndStableForMany) {
  EXPECT_EQ(sign_flip_p({}), 1);
  const std::vector<double> three = {-1, -2, -3};
  EXPECT_NEAR(sign_flip_p(three), 0.25, 1e-12);
  const std::vector<double> balanced = {1, -1, 2, -2};
  EXPECT_NEAR(sign_flip_p(balanced), 1, 1e-12);
  EXPECT_LT(sign_flip_p(std::vector<double>(20, 1.0)), 1e-4);
}

TEST(CountForecast, IsPoissonWithoutSpreadAndWiderWithIt) {
  const CountForecast sharp({std::log(1e-3), 0, 0}, 10'000);
  EXPECT_NEAR(sharp.log_probability(10), std::log(0.1251100357211333), 1e-9);
  EXPECT_NEAR(sharp.at_most(10), 0.5830397501929856, 1e-9);
  EXPECT_TRUE(sharp.holds(4, 0.95));
  EXPECT_FALSE(sharp.holds(30, 0.95));
  EXPECT_TRUE(CountForecast({std::log(1e-3), 0.7, 0.7}, 10'000).holds(30, 0.95));
  EXPECT_TRUE(sharp.holds(0, 1 - 1e-5));
}

// A forecast that made no call is not given one when it is scored.
TEST(Scoring, AFrozenCallStandsAsItIs) {
  ForecastActual input = row(2000, 2000, 1000);
  EXPECT_EQ(score_forecasts({&input, 1}).rows[0].called, Moved::kUp);
  input.called = Moved::kUnknown;
  EXPECT_EQ(score_forecasts({&input, 1}).rows[0].called, Moved::kUnknown);
}

}  // namespace
}  // namespace understudy
