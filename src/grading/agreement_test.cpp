#include "grading/agreement.hpp"

#include <gtest/gtest.h>

namespace understudy {
namespace {

using Pairs = std::vector<std::pair<int, int>>;

Pairs table(int both_yes, int only_first, int only_second, int both_no) {
  Pairs pairs;
  pairs.insert(pairs.end(), static_cast<std::size_t>(both_yes), {1, 1});
  pairs.insert(pairs.end(), static_cast<std::size_t>(only_first), {1, 0});
  pairs.insert(pairs.end(), static_cast<std::size_t>(only_second), {0, 1});
  pairs.insert(pairs.end(), static_cast<std::size_t>(both_no), {0, 0});
  return pairs;
}

TEST(CohenKappa, IsThatOfTheTextbook) {
  // 50 proposals, 20 accepted and 15 rejected by both readers: .7 observed, .5 by chance.
  EXPECT_NEAR(*cohen_kappa(table(20, 5, 10, 15)), 0.4, 1e-12);
  EXPECT_NEAR(*cohen_kappa(table(45, 15, 25, 15)), 0.1304347826, 1e-9);
  EXPECT_NEAR(*cohen_kappa(table(5, 0, 0, 5)), 1.0, 1e-12);
}

TEST(CohenKappa, IsUndefinedWithoutVariation) {
  EXPECT_FALSE(cohen_kappa({}).has_value());
  EXPECT_FALSE(cohen_kappa(table(9, 0, 0, 0)).has_value());
}

TEST(KrippendorffAlpha, IsThatOfItsAuthorsExample) {
  // Krippendorff (2011), section C: four observers, twelve units, gaps; nominal alpha .743.
  const std::vector<std::vector<int>> units = {
      {1, 1, 1},    {2, 2, 3, 2}, {3, 3, 3, 3}, {3, 3, 3, 3}, {2, 2, 2, 2}, {1, 2, 3, 4},
      {4, 4, 4, 4}, {1, 1, 2, 1}, {2, 2, 2, 2}, {5, 5, 5},    {1, 1},       {3}};
  EXPECT_NEAR(*krippendorff_alpha(units), 0.743, 5e-4);
}

TEST(KrippendorffAlpha, IsUndefinedWithoutPairsOrVariation) {
  EXPECT_FALSE(krippendorff_alpha({}).has_value());
  EXPECT_FALSE(krippendorff_alpha(std::vector<std::vector<int>>{{1}, {2}}).has_value());
  EXPECT_FALSE(krippendorff_alpha(std::vector<std::vector<int>>{{1, 1}, {1, 1}}).has_value());
}

TEST(AgreementInterval, HoldsTheValueAndIsReproducible) {
  const Pairs pairs = table(20, 5, 10, 15);
  const Agreement agreement = *cohen_agreement(pairs, 1);
  EXPECT_LT(agreement.lo, agreement.value);
  EXPECT_GT(agreement.hi, agreement.value);
  EXPECT_EQ(agreement.units, 50U);
  EXPECT_EQ(cohen_agreement(pairs, 1)->lo, agreement.lo);
}

TEST(AgreementInterval, UnitsWithOneLabelDoNotCount) {
  const std::vector<std::vector<int>> units = {{1, 1}, {2, 2}, {1, 2}, {3}, {}};
  EXPECT_EQ(krippendorff_agreement(units, 1, 10)->units, 3U);
}

}  // namespace
}  // namespace understudy
