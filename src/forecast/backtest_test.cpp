#include "forecast/backtest.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.hpp"

namespace understudy {
namespace {

// `rates` by period: each period has `turns` answers, each its own cluster.
BacktestAnswers answers_of(const std::vector<double>& rates, std::size_t turns,
                           std::uint64_t seed) {
  BacktestAnswers answers;
  answers.verdicts.resize(1);
  Rng rng(seed);
  for (std::size_t period = 0; period < rates.size(); ++period) {
    for (std::size_t i = 0; i < turns; ++i) {
      answers.clusters.push_back(answers.clusters.size());
      answers.periods.push_back(static_cast<std::int64_t>(period));
      answers.verdicts[0].push_back(rng.uniform() < rates[period] ? Verdict::kPresent
                                                                  : Verdict::kAbsent);
    }
  }
  return answers;
}

BacktestResult over_halves(const BacktestInput& input, std::uint64_t cuts) {
  Backtest backtest(input.behaviors);
  for (std::uint64_t cut = 1; cut <= cuts; ++cut) {
    backtest.add(backtest_cut(input, random_halves(input, cut)));
  }
  return backtest.result();
}

TEST(Backtest, HalvesOfOnePopulationAreCovered) {
  const BacktestInput input{{"b"}, answers_of({0.05}, 2000, 1), answers_of({0.02}, 2000, 2)};
  const BacktestResult result = over_halves(input, 40);
  EXPECT_EQ(result.all.scored, 40U);
  EXPECT_GE(result.all.covered, 36U);
  EXPECT_EQ(result.against_persistence, 40U);
  EXPECT_GE(result.better, 38U);  // the old rate is off by 2.5 times
  EXPECT_EQ(result.moved, 40U);
  EXPECT_EQ(result.right, 40U);
}

TEST(Backtest, ClustersAreNeverInBothParts) {
  BacktestAnswers answers = answers_of({0.5}, 100, 1);
  for (std::size_t i = 0; i < 100; ++i) answers.clusters[i] = i / 10;
  const BacktestInput input{{"b"}, answers, answers};
  const BacktestCut cut = random_halves(input, 3);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(cut.candidate[i], cut.candidate[i / 10 * 10]);
    EXPECT_EQ(cut.candidate[i], cut.deployed[i]);
  }
}

TEST(Backtest, TimeCutForecastsFromBeforeAndWidensByPlacebos) {
  const BacktestInput input{
      {"b"}, answers_of({.02, .05, .02, .05, .02, .05, .02, .05}, 3000, 5), {}};
  const BacktestCut cut = time_cut(input, 7, 1);
  EXPECT_EQ(std::count(cut.candidate.begin(), cut.candidate.end(), BacktestPart::kForecast), 21000);
  EXPECT_EQ(std::count(cut.candidate.begin(), cut.candidate.end(), BacktestPart::kActual), 3000);
  EXPECT_GT(cut.shift_log_sd, 0.3);
  BacktestCut blind = cut;
  blind.shift_log_sd = 0;
  Backtest widened({"b"}), plain({"b"});
  widened.add(backtest_cut(input, cut));
  plain.add(backtest_cut(input, blind));
  EXPECT_EQ(widened.result().all.covered, 1U);
  EXPECT_EQ(plain.result().all.covered, 0U);
}

TEST(Backtest, AnswersWithoutTimeAreInNoPartOfATimeCut) {
  BacktestInput input{{"b"}, answers_of({.1, .1}, 10, 5), {}};
  input.candidate.periods[0] = -1;
  const BacktestCut cut = time_cut(input, 1, 1);
  EXPECT_EQ(cut.candidate[0], BacktestPart::kUnused);
  input.candidate.periods.clear();
  const BacktestCut none = time_cut(input, 1, 1);
  EXPECT_EQ(std::count(none.candidate.begin(), none.candidate.end(), BacktestPart::kUnused), 20);
  // Nothing in either part: not scored, and no failure.
  Backtest backtest({"b"});
  backtest.add(backtest_cut(input, none));
  EXPECT_EQ(backtest.result().all.scored, 0U);
}

TEST(Backtest, NoEventsAtAllAreCoveredAndNotCompared) {
  const BacktestInput input{{"b"}, answers_of({0}, 500, 1), answers_of({0}, 500, 2)};
  const BacktestResult result = over_halves(input, 5);
  EXPECT_EQ(result.all.scored, 5U);
  EXPECT_EQ(result.all.covered, 5U);
  EXPECT_EQ(result.all.compared, 0U);
  EXPECT_FALSE(result.all.median_sme.has_value());
  EXPECT_NE(backtest_table(result).find("100.0%"), std::string::npos);
}

TEST(Backtest, AnAbsentBehaviorIsNotScored) {
  BacktestInput input{{"b"}, answers_of({0.1}, 100, 1), {}};
  std::fill(input.candidate.verdicts[0].begin(), input.candidate.verdicts[0].end(),
            Verdict::kNotGradedNoJudge);
  const BacktestResult result = over_halves(input, 2);
  EXPECT_EQ(result.all.scored, 0U);
  EXPECT_NE(backtest_table(result).find("not scored"), std::string::npos);
}

}  // namespace
}  // namespace understudy
