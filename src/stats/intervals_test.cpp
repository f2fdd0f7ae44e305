#include "stats/intervals.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/rng.hpp"

namespace understudy {
namespace {

void expect_relative(double actual, double expected, double tolerance) {
  EXPECT_NEAR(actual, expected, tolerance * std::abs(expected)) << actual << " vs " << expected;
}

// statistics.md §11, to the digits printed there.
TEST(Golden, BinomialIntervalsOfSevenInAHundredThousand) {
  const Interval exact = clopper_pearson(7, 1e5, 0.95);
  expect_relative(exact.lo, 2.814407880e-5, 5e-10);
  expect_relative(exact.hi, 1.442214009e-4, 5e-10);
  const Interval score = wilson(7, 1e5, 0.95);
  expect_relative(score.lo, 3.3909e-5, 5e-5);
  expect_relative(score.hi, 1.444987e-4, 5e-7);
  const Interval bayes = jeffreys(7, 1e5, 0.95);
  expect_relative(bayes.lo, 3.131121641e-5, 5e-10);
  expect_relative(bayes.hi, 1.374369861e-4, 5e-10);
}

TEST(Golden, ZeroOfTwoHundredThousand) {
  EXPECT_NEAR(zero_event_upper(2e5, 0.95), 1.49785e-5, 5e-11);
}

TEST(Golden, RoganGladenAndLangReiczigel) {
  expect_relative(rogan_gladen(0.002, 0.85, 0.999), 1.177856302e-3, 5e-10);
  const Interval interval = lang_reiczigel(0.002, 1e5, 0.85, 200, 0.999, 1e4, 0.95);
  expect_relative(interval.lo, 2.544596e-4, 5e-7);
  expect_relative(interval.hi, 1.9294572e-3, 5e-8);
}

TEST(Golden, FayFeuer) {
  double y = 0, v = 0;
  for (const double w : {3e-6, 3e-6, 10e-6, 1e-6, 5e-6}) {
    y += w;
    v += w * w;
  }
  EXPECT_NEAR(y, 2.2e-5, 1e-19);
  const Interval interval = fay_feuer({y, v, 12e-6}, 0.95);
  expect_relative(interval.lo, 5.105752754e-6, 5e-10);
  expect_relative(interval.hi, 7.444083366e-5, 5e-10);
}

TEST(Golden, BetaMixtureSequence) {
  const Interval interval = beta_mixture_sequence(10, 1e5, 0.5, 5000, 0.95);
  expect_relative(interval.lo, 3.16781166e-5, 5e-9);
  expect_relative(interval.hi, 2.29853715e-4, 5e-9);
}

TEST(ClopperPearson, AgreesWithScipy) {
  struct Case {
    double hits, n, lo, hi;
  };
  for (const Case& c :
       {Case{0, 10, 0, 0.30849710781876072}, Case{3, 50, 0.012548587835334064, 0.16548194660377288},
        Case{150, 300, 0.44199772080801636, 0.55800227919198364},
        Case{200, 200, 0.98172465964486377, 1},
        Case{1, 1300000, 1.9475236721349805e-08, 4.285871995542578e-06}}) {
    const Interval interval = clopper_pearson(c.hits, c.n, 0.95);
    expect_relative(interval.lo, c.lo, 1e-9);
    expect_relative(interval.hi, c.hi, 1e-9);
  }
}

TEST(Jeffreys, AgreesWithScipy) {
  const Interval interval = jeffreys(3, 50, 0.95);
  expect_relative(interval.lo, 0.017186649071151135, 1e-9);
  expect_relative(interval.hi, 0.15153256302766024, 1e-9);
}

TEST(PoissonExact, AgreesWithScipy) {
  expect_relative(poisson_exact(0, 0.95).hi, 3.6888794541139354, 1e-9);
  expect_relative(poisson_exact(7, 0.95).lo, 2.8143630515198654, 1e-9);
  expect_relative(poisson_exact(7, 0.95).hi, 14.422675361702376, 1e-9);
  expect_relative(poisson_exact(120, 0.95).hi, 143.49058536935226, 1e-9);
}

TEST(RoganGladen, AgreesWithThePublishedExamples) {
  // CRAN epiR, man/epi.prev.Rd, printed to whole percent.
  EXPECT_NEAR(rogan_gladen(45.0 / 150, 0.96, 0.89), 0.22, 0.005);
  EXPECT_NEAR(rogan_gladen(80.0 / 210, 0.6, 0.9), 0.56, 0.005);
  EXPECT_NEAR(rogan_gladen(100.0 / 189, 0.65, 0.95), 0.80, 0.005);
  EXPECT_EQ(rogan_gladen(6.0 / 151, 0.964, 0.927), 0);  // below 1 - specificity
}

// Monte Carlo of the defining quantiles, 20 million draws: three digits are sure.
TEST(Melded, AgreesWithItsDefinitionByMonteCarlo) {
  const Interval quotient = melded_quotient({8e-5, 8e-10, 1e-5}, 170, 200, 0.95);
  expect_relative(quotient.lo, 4.05211e-5, 1e-3);
  expect_relative(quotient.hi, 1.870509e-4, 1e-3);
  const Interval product =
      melded_product({0.12, 0.12 / 1000, 1.0 / 1000}, {0.6, 0.6 / 50, 1.0 / 50}, 0.95);
  expect_relative(product.lo, 0.0514312, 1e-3);
  expect_relative(product.hi, 0.0944941, 1e-3);
}

TEST(Melded, ZeroRecallGivesNoUpperBoundAndPerfectRecallNearlyTheRate) {
  EXPECT_EQ(melded_quotient({8e-5, 8e-10, 1e-5}, 0, 50, 0.95).hi, 1);
  const Interval alone = weighted_binomial({8e-5, 8e-10, 1e-5}, 0.95);
  const Interval perfect = melded_quotient({8e-5, 8e-10, 1e-5}, 1e6, 1e6, 0.95);
  expect_relative(perfect.lo, alone.lo, 1e-5);
  expect_relative(perfect.hi, alone.hi, 1e-4);
}

TEST(WeightedBinomial, IsClopperPearsonAtEqualWeights) {
  rc::check("any hits of any n", [] {
    const auto n = *rc::gen::inRange(1, 100000);
    const auto hits = *rc::gen::inRange(0, n + 1);
    const double share = static_cast<double>(hits) / n;
    const Interval weighted = weighted_binomial({share, share / n, 1.0 / n}, 0.95);
    const Interval exact = clopper_pearson(hits, n, 0.95);
    RC_ASSERT(std::abs(weighted.lo - exact.lo) <= 1e-9 * exact.lo + 1e-300);
    RC_ASSERT(std::abs(weighted.hi - exact.hi) <= 1e-7 * exact.hi);
  });
}

TEST(FayFeuer, IsPoissonExactAtEqualWeights) {
  rc::check("any count", [] {
    const auto hits = *rc::gen::inRange(0, 5000);
    const double n = 1e5;
    const Interval weighted = fay_feuer({hits / n, hits / n / n, 1 / n}, 0.95);
    const Interval exact = poisson_exact(hits, 0.95);
    RC_ASSERT(std::abs(weighted.lo * n - exact.lo) <= 1e-9 * exact.lo + 1e-300);
    RC_ASSERT(std::abs(weighted.hi * n - exact.hi) <= 1e-9 * exact.hi);
  });
}

TEST(Intervals, AreMonotoneInHitsAndNeverOfZeroWidth) {
  for (const double n : {1.0, 2.0, 30.0, 1e3, 1e6}) {
    std::array<Interval, 3> last{};
    for (double hits = 0; hits <= std::min(n, 200.0); ++hits) {
      const std::array<Interval, 3> now = {clopper_pearson(hits, n, 0.95), jeffreys(hits, n, 0.95),
                                           wilson(hits, n, 0.95)};
      for (std::size_t i = 0; i < now.size(); ++i) {
        EXPECT_LT(now[i].lo, now[i].hi);
        EXPECT_LE(now[i].lo, hits / n + 1e-15);
        EXPECT_GE(now[i].hi, hits / n - 1e-15);
        if (hits > 0) {
          EXPECT_GE(now[i].lo, last[i].lo);
          EXPECT_GE(now[i].hi, last[i].hi);
        }
      }
      last = now;
    }
  }
}

TEST(BetaMixtureSequence, MissesAtMostAlphaUnderRandomStopping) {
  // 400 streams of 2,000 draws, looked at after every tenth: a stream fails when any look misses.
  // At alpha = 0.05, more than 36 failures have probability below 1e-3.
  const double rate = 0.01;
  int failures = 0;
  for (std::uint64_t stream = 0; stream < 400; ++stream) {
    Rng rng(20240731, stream);
    double hits = 0;
    bool missed = false;
    for (int n = 1; n <= 2000 && !missed; ++n) {
      hits += rng.uniform() < rate ? 1 : 0;
      if (n % 10 != 0) continue;
      const Interval interval = beta_mixture_sequence(hits, n, 0.5, 50, 0.95);
      missed = rate < interval.lo || rate > interval.hi;
    }
    failures += missed ? 1 : 0;
  }
  EXPECT_LE(failures, 36);
}

TEST(MoverSum, ReducesToOneTermWhenTheOtherIsKnown) {
  const Interval sum = mover_sum(0.2, {0.1, 0.4}, 0.1, {0.1, 0.1});
  EXPECT_NEAR(sum.lo, 0.2, 1e-12);
  EXPECT_NEAR(sum.hi, 0.5, 1e-12);
}

std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells;
    std::stringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    rows.push_back(cells);
  }
  return rows;
}

// Where the vector prints eight digits or fewer, trailing zeros are lost as well: 1e-7 then.
void expect_printed(double actual, const std::string& text) {
  const double expected = std::stod(text);
  const double tolerance = text.size() > 14 ? 1e-9 * std::abs(expected) : 1e-7;
  EXPECT_NEAR(actual, expected, tolerance);
}

TEST(Vectors, AgreeWithR) {
  const std::filesystem::path data =
      std::filesystem::path(UNDERSTUDY_SHARED_DATA) / "stats_vectors";
  if (!std::filesystem::exists(data)) GTEST_SKIP() << "no shared test data at " << data;
  int checked = 0;
  for (const auto& row : read_csv(data / "binom_confint_R_via_statsmodels.csv")) {
    if (row[0] == "x") continue;
    const double hits = std::stod(row[0]), n = std::stod(row[1]), level = std::stod(row[2]);
    Interval interval;
    if (row[3] == "exact") {
      interval = clopper_pearson(hits, n, level);
    } else if (row[3] == "wilson") {
      interval = wilson(hits, n, level);
    } else if (row[3] == "bayes" && hits > 0 && hits < n && n != 30 && row[4] != "nan") {
      // For n = 30 R prints a highest-density interval, and one row failed in R (SOURCE.txt).
      interval = jeffreys(hits, n, level);
    } else {
      continue;
    }
    expect_printed(interval.lo, row[4]);
    expect_printed(interval.hi, row[5]);
    ++checked;
  }
  for (const auto& row : read_csv(data / "binomtest_R362_via_scipy.csv")) {
    if (row[0] == "k" || row[3] != "two-sided") continue;
    const double hits = std::stod(row[0]), n = std::stod(row[1]), level = std::stod(row[4]);
    if (row[5] != "exact" && row[5] != "wilson") continue;
    const Interval interval =
        row[5] == "exact" ? clopper_pearson(hits, n, level) : wilson(hits, n, level);
    expect_printed(interval.lo, row[7]);
    expect_printed(interval.hi, row[8]);
    ++checked;
  }
  EXPECT_GE(checked, 20);
}

}  // namespace
}  // namespace understudy
