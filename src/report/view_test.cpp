#include "report/view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "report/testdata.hpp"
#include "report/words.hpp"

namespace understudy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ReportView fixture() {
  return *report_view(testdata::report());
}

RateView rate(double value, double lo, double hi, double k = 5) {
  return {.per_100k = value, .lo = lo, .hi = hi, .n = 1000, .k = k, .method = {}};
}

// A document with one behavior, for what the fixture does not hold.
Json report_with(const Json& behavior) {
  return {{"schema", "understudy.report/1"}, {"behaviors", Json::array({behavior})}};
}

Json json_rate(double value, Json k) {
  return {{"per_100k", value}, {"lo", value / 2},   {"hi", value * 2}, {"level", 0.95},
          {"n", 100},          {"k", std::move(k)}, {"method", "m"}};
}

TEST(ReportView, OrdersWorstFirstThenUndecidedThenUnseenThenUnmeasured) {
  std::vector<std::string> names;
  for (const BehaviorView& behavior : fixture().behaviors) names.push_back(behavior.name);
  EXPECT_THAT(names, ElementsAre("repetition_loop", "empty_or_cut_off", "sycophantic_opening",
                                 "wrong_language", "claimed_human_experience", "refusal",
                                 "unsupported_link", "lied_about_tools", "personal_data_introduced",
                                 "promised_background_task", "template_leak", "calculator_hacking",
                                 "concealed_uncertainty", "fabricated_facts"));
}

TEST(ReportView, OtherDocumentsAreRefused) {
  for (const Json& document :
       {Json(), Json::array(),
        Json{{"schema", "understudy.report/2"}, {"behaviors", Json::array()}},
        Json{{"schema", "understudy.report/1"}}, Json{{"schema", 1}}}) {
    const auto view = report_view(document);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code, ErrorCode::kMismatch);
  }
}

TEST(ReportView, AbsentAndNullAndMistypedMembersAreUnknown) {
  Json everything_null = testdata::report();
  for (auto& [key, value] : everything_null.items()) {
    if (key != "schema" && key != "behaviors") value = nullptr;
  }
  for (Json& behavior : everything_null["behaviors"]) {
    for (auto& [key, value] : behavior.items()) {
      if (key != "name") value = Json();
    }
  }
  for (const Json& document :
       {everything_null, report_with(Json::object()), report_with("text"),
        report_with({{"candidate", 7}, {"verdicts", {{"candidate", "?"}}}})}) {
    const auto view = report_view(document);
    ASSERT_TRUE(view);
    for (const BehaviorView& behavior : view->behaviors) {
      EXPECT_EQ(behavior.finding, Finding::kNotMeasured);
      EXPECT_FALSE(behavior.next);
    }
  }
}

TEST(ReportView, ComparesRatesOfTheSameLayer) {
  Json behavior = {{"name", "b"},
                   {"deployed", {{"screen", json_rate(10, 1)}}},
                   {"candidate", {{"screen", json_rate(50, 5)}, {"corrected", json_rate(40, 4)}}}};
  auto view = *report_view(report_with(behavior));
  EXPECT_EQ(view.behaviors[0].layer, "screen");
  EXPECT_EQ(view.behaviors[0].next->per_100k, 50);
  behavior["deployed"]["corrected"] = json_rate(8, 1);
  view = *report_view(report_with(behavior));
  EXPECT_EQ(view.behaviors[0].layer, "corrected");
  EXPECT_EQ(view.behaviors[0].now->per_100k, 8);
  behavior["forecast"] = json_rate(30, nullptr);
  view = *report_view(report_with(behavior));
  EXPECT_EQ(view.behaviors[0].next->per_100k, 30);
  EXPECT_EQ(view.behaviors[0].unshrunk->per_100k, 40);
}

TEST(ReportView, ACandidateAloneIsShownWithoutChange) {
  const auto view =
      *report_view(report_with({{"name", "b"}, {"candidate", {{"screen", json_rate(50, 5)}}}}));
  EXPECT_EQ(view.behaviors[0].finding, Finding::kUndecided);
  EXPECT_FALSE(view.behaviors[0].now);
  EXPECT_EQ(change_text(view.behaviors[0], view, {}), "no present rate to compare with");
}

TEST(ReportView, AllUngradableIsNotMeasuredWhateverTheInterval) {
  const auto view = *report_view(report_with(
      {{"name", "b"},
       {"verdicts",
        {{"candidate", {{"present", 0}, {"absent", 0}, {"ungradable", {{"language", 9}}}}}}},
       {"candidate", {{"screen", json_rate(50000, 0)}}}}));
  EXPECT_EQ(view.behaviors[0].finding, Finding::kNotMeasured);
  EXPECT_EQ(change_text(view.behaviors[0], view, {}), "not measured: ungradable, language");
}

TEST(NeededPrefixes, MatchesTheFormulaByHand) {
  const RateView now = rate(1000, 800, 1250);
  const RateView next = rate(2000, 500, 8000);
  // h_x = ln(16) / 2, h_y = ln(1.5625) / 2, δ = ln 2.
  const double h_x = std::log(16.0) / 2;
  const double h_y = std::log(1.5625) / 2;
  const double target = std::log(2.0) / 1.43;
  const double more = 200 * h_x * h_x / (target * target - h_y * h_y) - 200;
  const auto needed = needed_prefixes(now, next, 200, 1e6);
  ASSERT_TRUE(needed);
  EXPECT_GE(static_cast<double>(needed->prefixes), more);
  EXPECT_LE(static_cast<double>(needed->prefixes), 1.1 * more);
  EXPECT_FALSE(needed->frame_is_too_small);
  EXPECT_TRUE(needed_prefixes(now, next, 200, more / 2)->frame_is_too_small);
}

TEST(NeededPrefixes, AFewHitsNeedOneMoreEventHoweverFarTheRatesAre) {
  const auto needed = needed_prefixes(rate(10, 9, 11), rate(1000, 100, 4000, 1), 100, 1e6);
  ASSERT_TRUE(needed);
  EXPECT_EQ(needed->prefixes, 160U);
}

TEST(NeededPrefixes, SaysWhenTheDeployedRateIsTheObstacle) {
  const auto needed = needed_prefixes(rate(10, 1, 100), rate(12, 6, 24), 100, 1e6);
  ASSERT_TRUE(needed);
  EXPECT_TRUE(needed->deployed_too_uncertain);
  EXPECT_FALSE(needed_prefixes(rate(0, 0, 100), rate(12, 6, 24), 100, 1e6)) << "no lower bound";
}

TEST(CountContradictions, TheFixtureAddsUp) {
  EXPECT_THAT(count_contradictions(fixture()), IsEmpty());
}

TEST(CountContradictions, EveryIdentityIsChecked) {
  using Pointer = Json::json_pointer;
  for (const char* place :
       {"/counts/conversations/eligible", "/counts/conversations/excluded/empty",
        "/counts/prefixes/frame", "/counts/draws/candidate/completed",
        "/counts/draws/deployed/requested", "/counts/draws/deployed_replay/failed/timeout",
        "/behaviors/0/verdicts/candidate/absent", "/behaviors/9/verdicts/deployed/present"}) {
    Json report = testdata::report();
    Json& count = report.at(Pointer(place));
    count = count.get<std::uint64_t>() + 3;
    EXPECT_FALSE(count_contradictions(*report_view(report)).empty()) << place;
  }
}

TEST(AlarmText, EveryAlarmOfTheSchemaHasWords) {
  const Json schema = *parse_json(testdata::read("docs/formats/report.schema.json"));
  for (const Json& alarm : schema.at("$defs").at("alarm").at("enum")) {
    const auto code = alarm.get<std::string>();
    EXPECT_NE(alarm_text(code), reason_text(code)) << code;
  }
  EXPECT_EQ(alarm_text("some_later_alarm"), "some later alarm");
}

TEST(SharedAlarms, OnlyWhatMostBehaviorsCarry) {
  EXPECT_THAT(shared_alarms(fixture()), ElementsAre("screen_relative"));
}

TEST(SharedAlarms, WhatIsNotMeasuredDoesNotDecideForTheRest) {
  Json report = testdata::report();
  for (int i = 0; i < 40; ++i) {
    report["behaviors"].push_back({{"name", "judged"}, {"alarms", {"all_ungradable"}}});
  }
  EXPECT_THAT(shared_alarms(*report_view(report)), ElementsAre("screen_relative"));
}

TEST(LimitsInWords, StartWithWhatReplayCanNeverSee) {
  const std::vector<std::string> limits = limits_in_words(fixture());
  ASSERT_EQ(limits.size(), 6U);
  EXPECT_EQ(limits[0], "uses that no log holds");
  EXPECT_THAT(limits[1], HasSubstr("1 in 49"));
}

}  // namespace
}  // namespace understudy
