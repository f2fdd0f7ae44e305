#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/rng.hpp"
#include "stats/clusters.hpp"
#include "stats/distributions.hpp"
#include "stats/exact_sum.hpp"
#include "stats/multiplicity.hpp"
#include "stats/richness.hpp"
#include "stats/scores.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

TEST(ExactSum, KeepsWhatRoundingWouldLose) {
  ExactSum sum;
  sum.add(1e300);
  sum.add(1);
  sum.add(-1e300);
  EXPECT_EQ(sum.value(), 1);
  ExactSum tiny;
  tiny.add(5e-324, 3);
  EXPECT_EQ(tiny.value(), 15e-324);
}

TEST(ExactSum, IsTheSameForAnyOrderAndForCountsWrittenOut) {
  Rng rng(1);
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) {
    values.push_back((rng.uniform() - 0.3) * std::exp(60 * (rng.uniform() - 0.5)));
  }
  ExactSum forward, backward, counted;
  for (const double v : values) {
    for (int i = 0; i < 7; ++i) forward.add(v);
    counted.add(v, 7);
  }
  for (int i = 0; i < 7; ++i) {
    for (auto v = values.rbegin(); v != values.rend(); ++v) backward.add(*v);
  }
  EXPECT_EQ(forward.value(), backward.value());
  EXPECT_EQ(forward.value(), counted.value());
  long double reference = 0;
  std::sort(values.begin(), values.end(),
            [](double a, double b) { return std::abs(a) < std::abs(b); });
  for (const double v : values) reference += 7 * static_cast<long double>(v);
  EXPECT_NEAR(forward.value(), static_cast<double>(reference), 1e-12 * std::abs(forward.value()));
}

TEST(ExactSum, RoundsToNearestEven) {
  ExactSum sum;
  sum.add(1);
  sum.add(0x1p-53);  // a tie: stays at the even neighbor
  EXPECT_EQ(sum.value(), 1);
  sum.add(0x1p-200);  // no longer a tie
  EXPECT_EQ(sum.value(), 1 + 0x1p-52);
  EXPECT_EQ(ExactSum().value(), 0);
}

TEST(ExactSum, MultipliesByLargeCounts) {
  ExactSum sum;
  sum.add(0.1, 26'000'000'000ULL);
  EXPECT_EQ(sum.value(), 0.1 * 26'000'000'000.0);
}

TEST(Distributions, AgreeWithScipy) {
  EXPECT_NEAR(student_quantile(4, 0.975), 2.7764451051977934, 1e-12);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-14);
  EXPECT_NEAR(normal_cdf(1.959963984540054), 0.975, 1e-14);
}

TEST(Distributions, ShapeZeroIsAPointAtZero) {
  EXPECT_EQ(beta_quantile(0, 5, 0.9), 0);
  EXPECT_EQ(beta_cdf(0, 5, 0.0), 1);
  EXPECT_EQ(beta_quantile(5, 0, 0.1), 1);
  EXPECT_EQ(gamma_quantile(0, 1, 0.9), 0);
}

TEST(FisherExact, AgreesWithScipy) {
  EXPECT_NEAR(fisher_exact(8, 10, 1, 6), 0.034965034965034975, 1e-12);
  EXPECT_NEAR(fisher_exact(3, 150, 13, 31204), 5.741506086718669e-05, 1e-13);
  EXPECT_EQ(fisher_exact(0, 10, 0, 20), 1);
}

TEST(ConditionalMidP, AgreesWithScipy) {
  EXPECT_NEAR(conditional_mid_p({3, 100}, {7, 100}), 0.2265625, 1e-12);
  EXPECT_NEAR(conditional_mid_p({0, 50}, {4, 50}), 0.0625, 1e-12);
  EXPECT_EQ(conditional_mid_p({0, 50}, {0, 50}), 1);
}

TEST(RateRatioInterval, AgreesWithScipyAndIsOpenWithoutEvents) {
  const Interval ratio = rate_ratio_interval({9, 150}, {4, 31204}, 0.95);
  EXPECT_NEAR(ratio.lo, 130.63465573097542, 1e-7);
  EXPECT_NEAR(ratio.hi, 2079.9821749767652, 1e-5);
  EXPECT_TRUE(std::isinf(rate_ratio_interval({9, 150}, {0, 31204}, 0.95).hi));
  EXPECT_EQ(rate_ratio_interval({0, 150}, {0, 31204}, 0.95).lo, 0);
}

TEST(PairedMidP, IsTheSignTestOnDiscordantPairs) {
  EXPECT_NEAR(paired_mid_p(3, 7), 0.2265625, 1e-12);
  EXPECT_EQ(paired_mid_p(0, 0), 1);
  EXPECT_EQ(paired_mid_p(5, 5), 1);
  EXPECT_NEAR(exact_sign_test(3, 7), 352.0 / 1024, 1e-12);
  EXPECT_NEAR(exact_sign_test(6, 0), 2.0 / 64, 1e-12);
  EXPECT_EQ(exact_sign_test(0, 0), 1);
  EXPECT_EQ(exact_sign_test(5, 5), 1);
}

TEST(FisherPower, IsBelowAlphaUnderTheNullAndNearOneFarFromIt) {
  EXPECT_LE(fisher_power(60, 0.8, 60, 0.8, 0.05), 0.05);
  EXPECT_GT(fisher_power(60, 0.9, 60, 0.4, 0.05), 0.99);
}

TEST(Multiplicity, HolmAndBenjaminiHochbergOfAWorkedExample) {
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005};
  EXPECT_THAT(holm(p), testing::Pointwise(testing::DoubleNear(1e-12),
                                          std::vector<double>{0.03, 0.06, 0.06, 0.02}));
  EXPECT_THAT(
      benjamini_hochberg(p),
      testing::Pointwise(testing::DoubleNear(1e-12), std::vector<double>{0.02, 0.04, 0.04, 0.02}));
}

TEST(Clusters, RatioVarianceOfSingletonsIsTheBinomialOne) {
  std::vector<ClusterTotal> clusters(100, ClusterTotal{0, 1});
  for (std::size_t i = 0; i < 20; ++i) clusters[i].hits = 1;
  EXPECT_NEAR(cluster_ratio_variance(clusters), 0.2 * 0.8 / 99, 1e-12);
  EXPECT_NEAR(design_effect(clusters), 100.0 / 99, 1e-12);
}

TEST(Clusters, DesignEffectOfCopiesIsTheirNumber) {
  std::vector<ClusterTotal> clusters(200, ClusterTotal{0, 6});
  for (std::size_t i = 0; i < 20; ++i) clusters[i].hits = 6;
  EXPECT_NEAR(design_effect(clusters), 6 * 200.0 / 199, 1e-12);
}

// statistics.md §11.
TEST(Golden, UnseenMassOfNineClusters) {
  const std::vector<std::uint64_t> sizes = {9, 4, 3, 2, 2, 1, 1, 1, 1};
  EXPECT_NEAR(unseen_share_good_turing(sizes), .166667, 5e-7);
  EXPECT_NEAR(unseen_share_chao(sizes), .159722, 5e-7);
  EXPECT_NEAR(kinds_chao1(sizes), 10.916667, 5e-7);
}

TEST(Golden, ContinuousRankedProbabilityScore) {
  EXPECT_NEAR(crps_lognormal(std::log(1e-4), 0.4, 2e-4), 7.070051e-5, 5e-12);
  EXPECT_NEAR(crps_normal(std::log(1e-4), 0.4, std::log(2e-4)), .4809696, 5e-8);
}

TEST(Richness, SaysNothingIsKnownWithoutFailures) {
  EXPECT_EQ(unseen_share_good_turing({}), 1);
  EXPECT_EQ(unseen_share_chao({}), 1);
  EXPECT_EQ(kinds_chao1({}), 0);
}

}  // namespace
}  // namespace understudy
