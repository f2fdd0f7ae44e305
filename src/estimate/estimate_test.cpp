#include "estimate/estimate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.hpp"

namespace understudy {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// An arm of `n` independent draws with `present` flags, all equal weights.
ArmSummary plain_arm(std::uint64_t n, std::uint64_t present, Oracle oracle = Oracle::kUnknown,
                     std::uint64_t false_flags = 0) {
  ClusterSizes draws;
  draws.add_singletons(1, n);
  draws.finish();
  ArmVerdicts verdicts(draws);
  if (present > 0) {
    verdicts.add(
        {.singleton = true, .screen = Screened::kPresent, .oracle = oracle, .count = present});
  }
  if (false_flags > 0) {
    verdicts.add({.singleton = true,
                  .screen = Screened::kPresent,
                  .oracle = Oracle::kAbsent,
                  .count = false_flags});
  }
  return summarize(std::move(verdicts));
}

BehaviorEstimate estimate_one(BehaviorInput input, EstimateOptions options = {}) {
  return estimate_behaviors(std::vector<BehaviorInput>{std::move(input)}, options).front();
}

BehaviorEstimate estimate_arm(ArmSummary candidate) {
  BehaviorInput input;
  input.name = "x";
  input.arm(Arm::kCandidate) = std::move(candidate);
  return estimate_one(std::move(input));
}

TEST(Estimate, ScreenOfPlainDrawsIsClopperPearson) {
  const BehaviorEstimate estimate = estimate_arm(plain_arm(5000, 100));
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  const Interval exact = clopper_pearson(100, 5000, 0.95);
  EXPECT_NEAR(*arm.screen.per_100k, 2000, 1e-9);
  EXPECT_NEAR(*arm.screen.lo, 1e5 * exact.lo, 1e-5);
  EXPECT_NEAR(*arm.screen.hi, 1e5 * exact.hi, 1e-4);
  EXPECT_EQ(arm.screen.method, "clopper_pearson");
  EXPECT_EQ(arm.verdicts.present, 100);
  EXPECT_EQ(arm.verdicts.absent, 4900);
  EXPECT_FALSE(arm.verified.per_100k.has_value());
  EXPECT_EQ(arm.corrected.method, "screen_relative: clopper_pearson");
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kScreenRelative));
}

TEST(Estimate, NothingSeenStillHasAnUpperBound) {
  const ArmEstimate arm = *estimate_arm(plain_arm(150, 0)).arm(Arm::kCandidate);
  EXPECT_EQ(*arm.screen.per_100k, 0);
  EXPECT_EQ(*arm.screen.lo, 0);
  EXPECT_NEAR(*arm.screen.hi, 1e5 * clopper_pearson(0, 150, 0.95).hi, 1e-5);
}

TEST(Estimate, EverythingSeenStillHasALowerBound) {
  const ArmEstimate arm = *estimate_arm(plain_arm(150, 150)).arm(Arm::kCandidate);
  EXPECT_EQ(*arm.screen.per_100k, 1e5);
  EXPECT_NEAR(*arm.screen.lo, 1e5 * clopper_pearson(150, 150, 0.95).lo, 1e-3);
  EXPECT_EQ(*arm.screen.hi, 1e5);
}

TEST(Estimate, DividesVerifiedFlagsByRecall) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(100'000, 8, Oracle::kPresent, 100);
  input.recall = {{"users", 200, 170, false}};
  const BehaviorEstimate estimate = estimate_one(input);
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  EXPECT_NEAR(*arm.screen.per_100k, 108, 1e-9);
  EXPECT_NEAR(*arm.verified.per_100k, 8, 1e-9);
  EXPECT_NEAR(*arm.corrected.per_100k, 8 * 201 / 170.5, 1e-9);
  const Interval melded = melded_quotient({8e-5, 8e-10, 1e-5}, 170, 200, 0.95);
  EXPECT_NEAR(*arm.corrected.lo, 1e5 * melded.lo, 1e-2);
  EXPECT_NEAR(*arm.corrected.hi, 1e5 * melded.hi, 1e-2);
  EXPECT_EQ(arm.corrected.method, "verified_over_recall");
  EXPECT_THAT(estimate.alarms, Not(Contains(Alarm::kScreenRelative)));
}

TEST(Estimate, UngradableDrawsAreBoundsNotDeletions) {
  ClusterSizes draws;
  draws.add_singletons(1, 1000);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.singleton = true, .screen = Screened::kPresent, .count = 20});
  verdicts.add({.singleton = true, .screen = Screened::kMissing, .count = 100}, "unparsable");
  const BehaviorEstimate estimate = estimate_arm(summarize(std::move(verdicts)));
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  EXPECT_NEAR(*arm.screen.per_100k, 1e5 * 20 / 900, 1e-6);
  EXPECT_LT(*arm.screen.lo, 1e5 * 20.0 / 1000);
  EXPECT_GT(*arm.screen.hi, 1e5 * 120.0 / 1000);
  EXPECT_EQ(arm.verdicts.ungradable.at("unparsable"), 100);
  EXPECT_EQ(arm.verdicts.absent, 880);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kMissingVerdicts));
}

TEST(Estimate, AllUngradableIsEverythingAndAnAlarm) {
  ClusterSizes draws;
  draws.add_singletons(1, 50);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.singleton = true, .screen = Screened::kMissing, .count = 50}, "unparsable");
  const BehaviorEstimate estimate = estimate_arm(summarize(std::move(verdicts)));
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  EXPECT_FALSE(arm.corrected.per_100k.has_value());
  EXPECT_EQ(*arm.corrected.lo, 0);
  EXPECT_EQ(*arm.corrected.hi, 1e5);
  EXPECT_THAT(estimate.alarms, testing::ElementsAre(Alarm::kAllUngradable));
}

// Alike verdicts that stand together take one row; nothing else may follow from that.
TEST(Estimate, VerdictsOneByOneAreThoseInTheirOrder) {
  ClusterSizes draws;
  for (const std::uint64_t cluster : {1U, 2U, 3U}) draws.add(cluster, 1, 100);
  draws.finish();
  const auto present = [](std::uint64_t cluster, Oracle oracle) {
    return VerdictRow{.cluster = cluster, .screen = Screened::kPresent, .oracle = oracle};
  };
  ArmVerdicts together(draws);
  for (int i = 0; i < 3; ++i) together.add(present(1, Oracle::kUnknown));
  for (int i = 0; i < 2; ++i) together.add(present(1, Oracle::kPresent));
  for (int i = 0; i < 2; ++i) together.add(present(2, Oracle::kUnknown));
  ArmVerdicts mixed(draws);
  for (int i = 0; i < 2; ++i) {
    mixed.add(present(1, Oracle::kUnknown));
    mixed.add(present(2, Oracle::kUnknown));
    mixed.add(present(1, Oracle::kPresent));
  }
  mixed.add(present(1, Oracle::kUnknown));
  const ArmSummary a = summarize(std::move(together)), b = summarize(std::move(mixed));
  EXPECT_EQ(a.verdicts.present, 7);
  EXPECT_EQ(a.verdicts.verified, 2);
  EXPECT_EQ(a.screen.k, 7);
  EXPECT_EQ(a.flagged.n, 2);
  EXPECT_EQ(a.positive_clusters, 1);  // two labels, both in one cluster
  EXPECT_EQ(a.screen.y, b.screen.y);
  EXPECT_EQ(a.screen.v, b.screen.v);
  EXPECT_EQ(a.flagged.y, b.flagged.y);
  EXPECT_EQ(a.verified.v, b.verified.v);
}

TEST(Estimate, FailedDrawsWidenTheInterval) {
  ClusterSizes draws;
  draws.add_singletons(1, 900);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.singleton = true, .screen = Screened::kPresent, .count = 9});
  verdicts.add_failed(100);
  const ArmEstimate arm = *estimate_arm(summarize(std::move(verdicts))).arm(Arm::kCandidate);
  EXPECT_NEAR(*arm.screen.per_100k, 1000, 1e-9);
  EXPECT_GT(*arm.screen.hi, 1e5 * 109 / 1000.0);
  EXPECT_EQ(arm.verdicts.absent + arm.verdicts.present, 900);
}

TEST(Estimate, OutOfScopeDrawsLeaveTheRateToTheRest) {
  ClusterSizes draws;
  draws.add_singletons(1, 1000);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add(Verdict::kPresent, {.singleton = true, .count = 6});
  verdicts.add(Verdict::kUngradableLanguage, {.singleton = true, .count = 400});
  const BehaviorEstimate estimate = estimate_arm(summarize(std::move(verdicts)));
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  EXPECT_NEAR(*arm.screen.per_100k, 1000, 1e-9);
  EXPECT_NEAR(*arm.screen.hi, 1e5 * clopper_pearson(6, 600, 0.95).hi, 1e-3);
  EXPECT_EQ(arm.verdicts.ungradable.at("language"), 400);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kPartialScope));
}

// Clusters of ten, two users who do it every time: two events, not twenty.
TEST(Estimate, ABadUsersHitsCountAsOneEvent) {
  ClusterSizes draws;
  for (std::uint64_t user = 0; user < 1000; ++user) draws.add(user, 1, 10);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.cluster = 3, .count = 10});
  verdicts.add({.cluster = 77, .count = 10});
  const BehaviorEstimate estimate = estimate_arm(summarize(std::move(verdicts)));
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  const Interval users = clopper_pearson(2, 1000, 0.95);
  EXPECT_NEAR(*arm.screen.lo, 1e5 * users.lo, 1e5 * users.lo * 0.02);
  EXPECT_GE(*arm.screen.hi, 1e5 * users.hi * 0.98);
  EXPECT_LT(*arm.screen.hi, 1e5 * users.hi * 1.6);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kFewPositiveClusters));
  EXPECT_EQ(arm.screen.method, "clustered_clopper_pearson");
}

TEST(Estimate, NoHitsInClustersAreAsManyObservationsAsClusters) {
  ClusterSizes draws;
  for (std::uint64_t user = 0; user < 1000; ++user) draws.add(user, 1, 10);
  draws.finish();
  const ArmEstimate arm = *estimate_arm(summarize(ArmVerdicts(draws))).arm(Arm::kCandidate);
  EXPECT_NEAR(*arm.screen.hi, 1e5 * clopper_pearson(0, 1000, 0.95).hi, 1);
}

TEST(Estimate, OneClusterSaysAlmostNothing) {
  ClusterSizes draws;
  draws.add(1, 1, 500);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.cluster = 1, .count = 50});
  const BehaviorEstimate estimate = estimate_arm(summarize(std::move(verdicts)));
  EXPECT_GT(*estimate.arm(Arm::kCandidate)->screen.hi, 90'000);
  EXPECT_LT(*estimate.arm(Arm::kCandidate)->screen.lo, 1'000);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kOneCluster));
}

TEST(Estimate, RegressionSwitchesShrinkageOff) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(100'000, 600, Oracle::kPresent);
  input.recall = {{"users", 1000, 1000, false}};
  input.previous = PreviousRate{100, {}, {}};
  const BehaviorEstimate far = estimate_one(input);
  EXPECT_THAT(far.alarms, Contains(Alarm::kRegression));
  EXPECT_EQ(far.forecast.per_100k, far.arm(Arm::kCandidate)->corrected.per_100k);
  input.previous = PreviousRate{500, {}, {}};
  const BehaviorEstimate near = estimate_one(input);
  EXPECT_THAT(near.alarms, Not(Contains(Alarm::kRegression)));
  EXPECT_LT(*near.forecast.per_100k, *near.arm(Arm::kCandidate)->corrected.per_100k);
  EXPECT_GT(*near.forecast.per_100k, 500);
}

TEST(Estimate, AnEndPastTheGuardIsTakenAtATwentiethOfTheError) {
  BehaviorInput input;
  input.name = "x";
  input.arm(Arm::kCandidate) = plain_arm(100'000, 2, Oracle::kPresent);
  input.recall = {{"known", 200, 170, false}};
  input.previous = PreviousRate{1.7, {}, {}};
  // Two events may be a rate of 1e-4, six times the old one: no alarm, so no miss either.
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_THAT(estimate.alarms, Not(Contains(Alarm::kRegression)));
  EXPECT_LT(*estimate.arm(Arm::kCandidate)->corrected.hi, 10);
  EXPECT_GT(*estimate.forecast.hi, 10);
  // Where the interval stays within the guard's bounds it is what the draws say.
  input.previous = PreviousRate{7, {}, {}};
  const BehaviorEstimate inside = estimate_one(input);
  EXPECT_EQ(*inside.forecast.hi, *inside.arm(Arm::kCandidate)->corrected.hi);
}

TEST(Estimate, ForecastOfNothingSeenLeansOnTheDeployedRateAndKeepsTheFloor) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(150, 0);
  input.arm(Arm::kDeployed) = plain_arm(31'204, 2);
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_GT(*estimate.forecast.per_100k, 1);
  EXPECT_LT(*estimate.forecast.per_100k, 20);
  EXPECT_NEAR(*estimate.forecast.hi, 1e5 * clopper_pearson(0, 150, 0.95).hi, 1e-3);
  EXPECT_EQ(estimate.change.direction, Direction::kUndecided);
}

TEST(Estimate, ChangeAgainstTheDeployedArm) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(150, 9);
  input.arm(Arm::kDeployed) = plain_arm(31'204, 4);
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_NEAR(*estimate.change.ratio, 9.0 / 150 / (4.0 / 31204), 1e-6);
  EXPECT_NEAR(*estimate.change.lo, 130.63465573, 1e-3);
  EXPECT_LT(*estimate.change.p_value, 1e-12);
  EXPECT_EQ(estimate.change.direction, Direction::kUp);
  EXPECT_FALSE(estimate.change.paired);
}

TEST(Estimate, SamePrefixesInBothArmsArePaired) {
  const auto arm = [](std::uint64_t first_present, std::uint64_t last_present) {
    ClusterSizes draws;
    draws.add_singletons(1, 100);
    draws.finish();
    ArmVerdicts verdicts(draws);
    std::uint64_t fingerprint = 0;
    for (std::uint64_t prefix = 1; prefix <= 100; ++prefix) fingerprint += prefix_mix(prefix);
    verdicts.set_prefix_fingerprint(fingerprint);
    for (std::uint64_t prefix = first_present; prefix <= last_present; ++prefix) {
      verdicts.add({.singleton = true, .prefix = prefix});
    }
    return summarize(std::move(verdicts));
  };
  BehaviorInput input;
  input.arm(Arm::kCandidate) = arm(1, 40);
  input.arm(Arm::kDeployed) = arm(38, 47);  // 37 only in one, 7 only in the other
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_TRUE(estimate.change.paired);
  EXPECT_LT(*estimate.change.p_value, 1e-5);
}

TEST(Estimate, AuditBoundsWhatTheScreenMissed) {
  ClusterSizes draws;
  draws.add_singletons(1, 100'000);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.singleton = true, .oracle = Oracle::kPresent, .count = 50});
  verdicts.add({.singleton = true,
                .screen = Screened::kAbsent,
                .oracle = Oracle::kAbsent,
                .pi_oracle = 300.0 / 99'950,
                .count = 300});
  const BehaviorEstimate estimate = estimate_arm(summarize(std::move(verdicts)));
  EXPECT_NEAR(*estimate.miss_bound_per_100k, 1e5 * 0.9995 * zero_event_upper(300, 0.95), 1e-3);
  // It bounds some twenty times what was found: of the rate itself it says nothing.
  EXPECT_THAT(estimate.arm(Arm::kCandidate)->corrected.method, HasSubstr("screen_relative"));
  EXPECT_LT(*estimate.arm(Arm::kCandidate)->corrected.hi, 70);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kScreenRelative));
}

TEST(Estimate, AnAuditThatTellsIsPartOfTheInterval) {
  const auto audited = [](std::uint64_t flags, std::uint64_t missed, std::uint64_t audit) {
    ClusterSizes draws;
    draws.add_singletons(1, 50'000);
    draws.finish();
    ArmVerdicts verdicts(draws);
    verdicts.add({.singleton = true, .oracle = Oracle::kPresent, .count = flags});
    const double pi = static_cast<double>(audit) / (50'000 - static_cast<double>(flags));
    const auto rest = [&](Oracle oracle, std::uint64_t count) {
      if (count == 0) return;
      verdicts.add({.singleton = true,
                    .screen = Screened::kAbsent,
                    .oracle = oracle,
                    .pi_oracle = pi,
                    .count = count});
    };
    rest(Oracle::kPresent, missed);
    rest(Oracle::kAbsent, audit - missed);
    return estimate_arm(summarize(std::move(verdicts)));
  };
  const BehaviorEstimate frequent = audited(425, 0, 500);
  EXPECT_THAT(frequent.arm(Arm::kCandidate)->corrected.method, Not(HasSubstr("screen_relative")));
  EXPECT_GT(*frequent.arm(Arm::kCandidate)->corrected.hi, 1000) << "the truth at recall 0.85";
  EXPECT_THAT(frequent.alarms, Not(Contains(Alarm::kScreenRelative)));
  // A miss that was found is never left out, however little is known.
  const BehaviorEstimate missed = audited(4, 1, 300);
  EXPECT_EQ(missed.arm(Arm::kCandidate)->corrected.method, "verified_plus_audit");
  const BehaviorEstimate rare = audited(4, 0, 300);
  EXPECT_THAT(rare.arm(Arm::kCandidate)->corrected.method, HasSubstr("screen_relative"));
  EXPECT_GT(*rare.miss_bound_per_100k, 900);
}

TEST(Estimate, ExamplesAreShownAndNeverDividedBy) {
  BehaviorInput input;
  ClusterSizes draws;
  draws.add_singletons(1, 10'000);
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.add({.singleton = true, .oracle = Oracle::kPresent, .count = 20});
  input.arm(Arm::kCandidate) = summarize(std::move(verdicts));
  input.recall = {{.channel = std::string(kExamplesChannel), .positives = 3, .flagged = 1}};
  const BehaviorEstimate shown = estimate_one(input);
  EXPECT_THAT(shown.arm(Arm::kCandidate)->corrected.method, HasSubstr("screen_relative"));
  ASSERT_EQ(shown.recall.size(), 1U);
  EXPECT_NEAR(*shown.recall[0].hi, 0.906, 1e-3);
  EXPECT_THAT(shown.alarms, Not(Contains(Alarm::kNoRecallLabels)));

  input.recall.push_back({.channel = "found", .positives = 100, .flagged = 80, .stale = true});
  const BehaviorEstimate divided = estimate_one(input);
  EXPECT_EQ(divided.arm(Arm::kCandidate)->corrected.method, "verified_over_recall");
  EXPECT_NEAR(*divided.arm(Arm::kCandidate)->corrected.per_100k, 200 / (80.5 / 101), 1e-6);
  EXPECT_THAT(divided.alarms, Contains(Alarm::kStaleRecall));
}

TEST(Estimate, NeverWiderThanTheLabelsAlone) {
  // 150 uniform labels on 450 answers, a judge that is nearly a coin.
  ClusterSizes draws;
  draws.add_singletons(1, 450);
  draws.finish();
  ArmVerdicts verdicts(draws);
  const double pi = 1.0 / 3;
  const auto add = [&](Screened screen, Oracle oracle, std::uint64_t count) {
    verdicts.add(
        {.singleton = true, .screen = screen, .oracle = oracle, .pi_oracle = pi, .count = count});
  };
  add(Screened::kPresent, Oracle::kPresent, 30);
  add(Screened::kPresent, Oracle::kAbsent, 40);
  add(Screened::kAbsent, Oracle::kPresent, 30);
  add(Screened::kAbsent, Oracle::kAbsent, 50);
  add(Screened::kPresent, Oracle::kUnknown, 140);
  const ArmSummary arm = summarize(std::move(verdicts));
  const Rate corrected = estimate_arm(arm).arm(Arm::kCandidate)->corrected;
  const Interval alone = share_interval(arm.labels, 0.95);
  EXPECT_LE(*corrected.hi - *corrected.lo, 1e5 * (alone.hi - alone.lo) * (1 + 1e-9));
  EXPECT_LT(*corrected.lo, 40'000);
  EXPECT_GT(*corrected.hi, 40'000);
}

TEST(Estimate, RecallFromElsewhereIsMarkedAndTested) {
  BehaviorInput input;
  ClusterSizes draws;
  draws.add_singletons(1, 450);
  draws.finish();
  ArmVerdicts verdicts(draws);
  const auto add = [&](Screened screen, Oracle oracle, std::uint64_t count) {
    verdicts.add({.singleton = true,
                  .screen = screen,
                  .oracle = oracle,
                  .pi_oracle = 1.0 / 3,
                  .count = count});
  };
  add(Screened::kPresent, Oracle::kPresent, 20);
  add(Screened::kAbsent, Oracle::kPresent, 40);
  add(Screened::kAbsent, Oracle::kAbsent, 90);
  input.arm(Arm::kCandidate) = summarize(std::move(verdicts));
  input.recall = {{"other model", 100, 95, true}};
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kTransferredCalibration));
  EXPECT_LT(*estimate.transfer_p_value, 1e-6);
  EXPECT_GT(*estimate.transfer_power, 0.8);
}

TEST(Estimate, ChannelsThatDisagreeSpanTheInterval) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(100'000, 80, Oracle::kPresent);
  input.recall = {{"users", 100, 95, false}, {"auditor", 100, 40, false}};
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kRecallChannelsDiffer));
  EXPECT_LT(*estimate.arm(Arm::kCandidate)->corrected.lo, 80);
  EXPECT_GT(*estimate.arm(Arm::kCandidate)->corrected.hi, 200);
}

TEST(Estimate, RecallChannelWithoutPositivesIsAnAlarm) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(100'000, 80, Oracle::kPresent);
  input.recall = {{"users", 0, 0, false}};
  const BehaviorEstimate estimate = estimate_one(input);
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kNoRecallLabels));
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kScreenRelative));
}

TEST(Estimate, WithoutDrawsThereIsAnAlarmAndNoNumber) {
  const BehaviorEstimate estimate = estimate_one(BehaviorInput{});
  EXPECT_THAT(estimate.alarms, Contains(Alarm::kNoDraws));
  EXPECT_FALSE(estimate.forecast.per_100k.has_value());
  EXPECT_NE(to_json(estimate).dump().find("null"), std::string::npos);
}

TEST(Estimate, AnytimeIntervalsAreWiderAndHoldTheRate) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = plain_arm(100'000, 10);
  const Rate planned = estimate_one(input).arm(Arm::kCandidate)->screen;
  const Rate any = estimate_one(input, {.anytime = true}).arm(Arm::kCandidate)->screen;
  EXPECT_LT(*any.lo, *planned.lo);
  EXPECT_GT(*any.hi, *planned.hi);
  EXPECT_NEAR(*any.lo, 3.16781166, 1e-6);  // the golden value of the sequence
}

// A random table of rows, for invariance.
struct Table {
  std::vector<VerdictRow> rows;  // every draw, absent ones too
};

Table random_table(std::uint64_t seed, bool weighted) {
  Rng rng(seed);
  Table table;
  for (int i = 0; i < 400; ++i) {
    VerdictRow row;
    row.cluster = rng.below(60);
    row.singleton = rng.below(3) == 0;
    row.weight = weighted ? 1 / (0.05 + 0.9 * rng.uniform()) : 1;
    const std::uint64_t kind = rng.below(20);
    row.screen = kind < 3 ? Screened::kPresent : kind == 3 ? Screened::kMissing : Screened::kAbsent;
    if (row.screen == Screened::kPresent || kind == 5) {
      row.oracle = rng.below(3) == 0 ? Oracle::kAbsent : Oracle::kPresent;
      row.pi_oracle = row.screen == Screened::kPresent ? 1 : 0.1;
    }
    row.count = 1 + rng.below(4);
    table.rows.push_back(row);
  }
  return table;
}

std::string estimate_table(const Table& table) {
  ClusterSizes draws;
  for (const VerdictRow& row : table.rows) {
    if (row.singleton) {
      draws.add_singletons(row.weight, row.count);
    } else {
      draws.add(row.cluster, row.weight, row.count);
    }
  }
  draws.finish();
  ArmVerdicts verdicts(draws);
  for (const VerdictRow& row : table.rows) {
    verdicts.add(row, row.screen == Screened::kMissing ? "unparsable" : "");
  }
  BehaviorInput input;
  input.name = "x";
  input.arm(Arm::kCandidate) = summarize(std::move(verdicts));
  input.recall = {{"a", 50, 40, false}};
  input.previous = PreviousRate{5000, 4000, 6000};
  // Unrounded: the invariance must not depend on the rounding of documents.
  const BehaviorEstimate estimate = estimate_one(input);
  const ArmEstimate& arm = *estimate.arm(Arm::kCandidate);
  std::string text;
  for (const Rate* rate : {&arm.screen, &arm.verified, &arm.corrected, &estimate.forecast}) {
    for (const auto& value : {rate->per_100k, rate->lo, rate->hi}) {
      text += std::to_string(*value) + (value ? " " : "-");
      text += std::to_string(std::hash<double>()(*value)) + " ";
    }
  }
  return text;
}

TEST(Estimate, SameBytesForAnyOrderOfRows) {
  for (const bool weighted : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      Table table = random_table(seed, weighted);
      const std::string expected = estimate_table(table);
      Rng rng(seed + 100);
      for (std::size_t i = table.rows.size(); i > 1; --i) {
        std::swap(table.rows[i - 1], table.rows[rng.below(i)]);
      }
      EXPECT_EQ(estimate_table(table), expected) << "seed " << seed;
    }
  }
}

TEST(Estimate, SameBytesForCountedRowsAndRowsWrittenOut) {
  for (const bool weighted : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const Table table = random_table(seed, weighted);
      Table written;
      for (VerdictRow row : table.rows) {
        const std::uint64_t count = row.count;
        row.count = 1;
        written.rows.insert(written.rows.end(), count, row);
      }
      EXPECT_EQ(estimate_table(written), estimate_table(table)) << "seed " << seed;
    }
  }
}

TEST(Estimate, HorvitzThompsonIsUnbiased) {
  // A frame of 200 prefixes, 20 of them present, taken with unequal chances: the mean of the
  // estimates over all designs is the truth. 4,000 designs, five standard errors.
  Rng rng(9);
  const int frame = 200;
  std::vector<double> pi(frame);
  for (double& p : pi) p = 0.1 + 0.8 * rng.uniform();
  double sum = 0, squares = 0;
  const int designs = 4000;
  for (int design = 0; design < designs; ++design) {
    ClusterSizes draws;
    std::vector<VerdictRow> rows;
    for (std::uint64_t i = 0; i < frame; ++i) {
      const double weight = 1 / pi[i];
      if (rng.uniform() >= pi[i]) continue;
      draws.add_singletons(weight, 1);
      if (i < 20) rows.push_back({.singleton = true, .weight = weight});
    }
    draws.finish();
    ArmVerdicts verdicts(draws);
    verdicts.set_frame(frame);
    for (const VerdictRow& row : rows) verdicts.add(row);
    const double rate = summarize(std::move(verdicts)).screen.y;
    sum += rate;
    squares += rate * rate;
  }
  const double mean = sum / designs;
  const double error = std::sqrt((squares / designs - mean * mean) / designs);
  EXPECT_NEAR(mean, 0.1, 5 * error);
}

TEST(Estimate, MonotoneInTheNumberPresent) {
  double last_lo = -1, last_hi = -1, last_forecast = -1;
  for (std::uint64_t present = 0; present <= 60; ++present) {
    BehaviorInput input;
    input.arm(Arm::kCandidate) = plain_arm(10'000, present, Oracle::kPresent);
    input.recall = {{"a", 100, 80, false}};
    input.previous = PreviousRate{300, {}, {}};
    const BehaviorEstimate estimate = estimate_one(input);
    const Rate& rate = estimate.arm(Arm::kCandidate)->corrected;
    EXPECT_GE(*rate.lo, last_lo);
    EXPECT_GT(*rate.hi, last_hi);
    EXPECT_GT(*estimate.forecast.per_100k, last_forecast * 0.98);
    last_lo = *rate.lo;
    last_hi = *rate.hi;
    last_forecast = *estimate.forecast.per_100k;
  }
}

}  // namespace
}  // namespace understudy
