#include "testing/drift_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "testing/calibration.hpp"

namespace understudy {
namespace {

TEST(DriftWorld, PlaceboWideningCoversTheNextWeek) {
  CalibrationOptions options;
  options.worlds = {"drift", "drift-none", "drift-whole-log"};
  options.repeats = 500;
  const auto rows = calibrate(options, [](const std::string&) {});
  ASSERT_TRUE(rows.has_value());
  ASSERT_EQ(rows->size(), 6U);
  for (const CalibrationRow& row : *rows) {
    if (row.estimator != "placebo_widened") continue;
    EXPECT_GE(*row.coverage, 0.85) << row.world;
    EXPECT_LE(*row.coverage, 0.95) << row.world;
  }
  EXPECT_LT(*rows->at(0).coverage, 0.7);  // sampling alone forgets the drift
}

TEST(DriftWorld, SpreadFindsTheDriftAndIsNothingWithoutOne) {
  for (const DriftWorld& world : drift_worlds()) {
    if (world.whole_log) continue;
    std::vector<double> spreads;
    for (std::uint64_t repeat = 0; repeat < 200; ++repeat) {
      Rng rng(7, repeat);
      const DriftStudy study = make_drift_study(world, 0.9, rng);
      ASSERT_TRUE(study.shift.has_value());
      spreads.push_back(study.shift->log_sd);
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
