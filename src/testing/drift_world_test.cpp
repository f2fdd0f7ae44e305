#include "testing/drift_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "testing/calibration.hpp"

namespace understudy {
namespace {

TEST(DriftWorld, PlaceboWideningCoversTheNextWeek) {
  CalibrationOptions options;
  options.worlds = {"drift", "drift-none"};
  options.repeats = 500;
  const auto rows = calibrate(options, [](const std::string&) {});
  ASSERT_TRUE(rows.has_value());
  ASSERT_EQ(rows->size(), 4U);
  for (const CalibrationRow& row : *rows) {
    if (row.estimator != "placebo_widened") continue;
    EXPECT_GE(*row.coverage, 0.85) << row.world;
    EXPECT_LE(*row.coverage, 0.95) << row.world;
  }
  EXPECT_LT(*rows->at(0).coverage, 0.7);  // sampling alone forgets the drift
}

TEST(DriftWorld, SpreadFindsTheDriftAndIsNothingWithoutOne) {
  for (const DriftWorld& world : drift_worlds()) {
    std::vector<double> spreads;
    for (std::uint64_t repeat = 0; repeat < 200; ++repeat) {
      Rng rng(7, repeat);
      const DriftStudy study = make_drift_study(world, rng);
      const auto spread = conformal_shift(study.errors, 0.9);
      ASSERT_TRUE(spread.has_value());
      spreads.push_back(spread->log_sd);
    }
    std::sort(spreads.begin(), spreads.end());
    EXPECT_NEAR(spreads[100], world.weekly_log_sd, 0.03) << world.name;
    if (world.weekly_log_sd == 0) {
      EXPECT_EQ(spreads[50], 0);
    }
  }
}

}  // namespace
}  // namespace understudy
