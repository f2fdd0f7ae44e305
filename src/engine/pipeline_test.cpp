#include "engine/pipeline.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/fake_study_test.hpp"
#include "engine/units.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using PipelineTest = FakeStudyTest;

TEST_F(PipelineTest, RunsFromLogsToReportAndThenHasNothingToDo) {
  const auto first = run();
  ASSERT_TRUE(first.has_value()) << first.error().describe();
  EXPECT_EQ(completed(*first), 250U);
  EXPECT_TRUE(fs::exists(folder_ + "/study/report.html"));
  const auto second = run();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(*second, *first);
  EXPECT_EQ(script_.asked, 250U);
}

TEST_F(PipelineTest, ReportDoesNotDependOnTheOrderOfAnswers) {
  const auto one = run("a/study");
  script_.slots = 1;
  const auto other = run("b/study");
  ASSERT_TRUE(one.has_value() && other.has_value());
  EXPECT_EQ(write_json(*one, JsonStyle::kCanonical), write_json(*other, JsonStyle::kCanonical));
}

TEST_F(PipelineTest, ASystemPromptOfItsOwnStandsInPlaceOfTheLogs) {
  config_.candidate.system = "Be brief.";
  script_.answer = [](const ChatRequest& request) {
    EXPECT_EQ(request.messages.size(), 2U);
    EXPECT_EQ(request.messages[0].role, Role::kSystem);
    EXPECT_EQ(request.messages[0].content, "Be brief.");
    return answer("Yes.");
  };
  ASSERT_TRUE(run().has_value());
  // Another prompt is another model: its draws must not mix with these.
  config_.candidate.system = "Be long.";
  config_.sample.prefixes = 260;
  EXPECT_FALSE(run().has_value());
}

TEST_F(PipelineTest, CtrlCPausesAndTheNextRunAsksOnlyTheRest) {
  script_.after = [this](std::uint64_t asked) { stop_.count_ = asked >= 100 ? 2 : 0; };
  const auto stopped = run();
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, ErrorCode::kPaused);
  EXPECT_THAT(stopped.error().message, HasSubstr("goes on"));
  script_.after = nullptr;
  stop_.count_ = 0;
  const auto resumed = run();
  ASSERT_TRUE(resumed.has_value()) << resumed.error().describe();
  EXPECT_EQ(completed(*resumed), 250U);
  EXPECT_LE(script_.asked, 250U + script_.slots);
}

TEST_F(PipelineTest, AModelThatCostsMoneyStopsAfterAPilotUntilThereIsABudget) {
  script_.costs_money = true;
  for (int i = 0; i < 2; ++i) {
    const auto pilot = run();
    ASSERT_FALSE(pilot.has_value());
    EXPECT_EQ(pilot.error().code, ErrorCode::kPaused);
    EXPECT_THAT(pilot.error().message, HasSubstr("budget.cost"));
    EXPECT_EQ(script_.asked, 200U);
  }
  config_.prices["fake/model"] = {.input = 1, .output = 1};
  config_.budget.cost = 1;
  const auto rest = run();
  ASSERT_TRUE(rest.has_value()) << rest.error().describe();
  EXPECT_EQ(script_.asked, 250U);
}

TEST_F(PipelineTest, ABudgetPausesAndIsCountedOverAllRuns) {
  config_.budget.tokens = 1500;  // 15 a draw
  const auto paused = run();
  ASSERT_FALSE(paused.has_value());
  EXPECT_EQ(paused.error().code, ErrorCode::kPaused);
  const std::uint64_t asked = script_.asked;
  EXPECT_GE(asked, 100U);
  EXPECT_LE(asked, 100U + script_.slots);
  EXPECT_FALSE(run().has_value());
  EXPECT_EQ(script_.asked, asked);
}

TEST_F(PipelineTest, ABudgetCountsWhatIsInFlightAndSaysWhatTheRestWouldCost) {
  script_.slots = 60;
  config_.prices["fake/model"] = {.input = 1000, .output = 2000};  // 0.02 a draw
  config_.budget.cost = 2;
  const auto paused = run();
  ASSERT_FALSE(paused.has_value());
  EXPECT_EQ(paused.error().code, ErrorCode::kPaused);
  EXPECT_LE(script_.asked, 100U + 1) << "100 draws cost 2: those in flight are counted";
  EXPECT_GE(script_.asked, 100U);
  const auto left = static_cast<double>(250 - script_.asked);
  EXPECT_THAT(paused.error().message,
              HasSubstr(fmt::format("the {} that are left would use about {:.3g} prompt", left,
                                    10 * left)));
  EXPECT_THAT(paused.error().message, HasSubstr(fmt::format("which cost {:.3g}", 0.02 * left)));
}

TEST_F(PipelineTest, ALongFirstAnswerDoesNotEndABudgetEarly) {
  script_.slots = 60;
  script_.answer = [first = true](const ChatRequest&) mutable {
    Completion made = answer("Here is another answer.");
    if (first) made.usage.completion_tokens = 1000;
    first = false;
    return made;
  };
  config_.budget.tokens = 10'000;
  ASSERT_TRUE(run().has_value()) << "250 draws use less than 5,000 tokens";
}

TEST_F(PipelineTest, ABudgetIsOfAllModelsTogether) {
  config_.deployed.emplace().model = "fake/other";
  config_.budget.tokens = 15 * 300;  // the candidate takes 250 draws of them
  ASSERT_FALSE(run().has_value());
  EXPECT_GE(script_.asked, 300U);
  EXPECT_LE(script_.asked, 300U + script_.slots);
}

TEST_F(PipelineTest, ABudgetOfSecondsIsOfThisCall) {
  config_.budget.seconds = 1;
  script_.after = [this](std::uint64_t) { clock_.sleep_ms(20); };
  ASSERT_FALSE(run().has_value());
  const std::uint64_t asked = script_.asked;
  EXPECT_LT(asked, 100U);
  ASSERT_FALSE(run().has_value());
  EXPECT_GT(script_.asked, asked);
}

TEST_F(PipelineTest, FailuresAreCountedByReasonAndAskedAgainOnlyOnRequest) {
  script_.answer = [](const ChatRequest& request) -> DrawOutcome {
    if (request.seed % 5 == 0) return Failure{FailureReason::kTimeout, "60 s"};
    return answer("Here is another answer.");
  };
  const auto first = run();
  ASSERT_TRUE(first.has_value());
  const auto& draws = (*first)["counts"]["draws"]["candidate"];
  const auto failed = draws["failed"]["timeout"].get<std::uint64_t>();
  EXPECT_GT(failed, 20U);
  EXPECT_EQ(completed(*first) + failed, 250U);
  script_.answer = [](const ChatRequest&) { return answer("Here is another answer."); };
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(script_.asked, 250U);
  const auto retried = run("study", {.limit = {}, .retry_errors = true});
  ASSERT_TRUE(retried.has_value());
  EXPECT_EQ(completed(*retried), 250U);
  EXPECT_EQ(script_.asked, 250U + failed);
}

TEST_F(PipelineTest, MorePrefixesKeepWhatIsDone) {
  config_.sample.prefixes = 100;
  ASSERT_TRUE(run().has_value());
  config_.sample.prefixes = 250;
  const auto more = run();
  ASSERT_TRUE(more.has_value()) << more.error().describe();
  EXPECT_EQ(completed(*more), 250U);
  EXPECT_EQ(script_.asked, 250U);
  config_.sample.prefixes = 100;
  const auto fewer = run();
  ASSERT_FALSE(fewer.has_value());
  EXPECT_EQ(fewer.error().code, ErrorCode::kUsage);
}

TEST_F(PipelineTest, ALimitReplaysAPartAndTheRestLater) {
  const auto part = run("study", {.limit = 40, .retry_errors = false});
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(completed(*part), 40U);
  const auto all = run();
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(completed(*all), 250U);
  EXPECT_EQ(script_.asked, 250U);
}

TEST_F(PipelineTest, AStudyThatIsLookedAtEarlyHasWiderIntervalsOnRequest) {
  const auto upper = [](const Json& report) {
    return report["behaviors"][0]["candidate"]["corrected"]["hi"].get<double>();
  };
  script_.answer = [](const ChatRequest& request) {
    return answer(request.seed % 4 == 0 ? "I'm sorry, but I can't help with that." : "Yes.");
  };
  const RunOptions part{.limit = 40, .retry_errors = false};
  const auto planned = run("study", part);
  config_.estimate.anytime = true;
  const auto anytime = run("study", part);
  ASSERT_TRUE(planned.has_value() && anytime.has_value());
  EXPECT_GT(upper(*anytime), upper(*planned));
  EXPECT_EQ(script_.asked, 40U);
}

TEST_F(PipelineTest, ADesignThatChangedUnderStoredDrawsIsRefused) {
  ASSERT_TRUE(run().has_value());
  config_.candidate.sampling.max_tokens = 50;
  const auto changed = run();
  ASSERT_FALSE(changed.has_value());
  EXPECT_THAT(changed.error().message, HasSubstr("new study"));
}

TEST_F(PipelineTest, FreshAnswersAreDeidentifiedLikeLoggedOnes) {
  script_.answer = [](const ChatRequest&) { return answer("Write to jane.roe@corp-mail.org."); };
  ASSERT_TRUE(run().has_value());
  auto store = StudyStore::open(folder_ + "/study", StudyStore::Mode::kRead);
  ASSERT_TRUE(store.has_value());
  const auto draw = store->draw({.arm = Arm::kCandidate, .prefix = 1, .index = 0});
  ASSERT_TRUE(draw.has_value() && draw->has_value());
  EXPECT_EQ(std::get<Completion>((*draw)->outcome).content, "Write to person1@example.com.");
}

TEST_F(PipelineTest, TheJudgeIsNeverToldWhoWroteAndSeesBothArmsShuffled) {
  config_.grade.behaviors = {"hate"};
  config_.sample.prefixes = 60;
  config_.candidate.model = "fake/zebra-candidate-name";
  config_.logs.model = "giraffe-deployed-name";
  config_.roles["judge"] = {.model = "fake/judge", .base_url = {}, .sampling = {}};
  std::string arms;  // in the order in which the judge is asked
  bool told = false;
  script_.slots = 1;
  script_.answer = [&](const ChatRequest& request) {
    if (request.json_schema.empty()) return answer("Here is another answer.");
    for (const Message& message : request.messages) {
      for (const char* word : {"zebra", "giraffe", "candidate", "deployed", "fake/"}) {
        told = told || message.content.find(word) != std::string::npos;
      }
    }
    const std::string& asked = request.messages.back().content;
    // Known cases are among them.
    if (asked.find("Here is") == std::string::npos) {
      return answer(R"({"reason":"","evidence":[],"verdict":"absent"})");
    }
    arms += asked.find("Here is another answer.") != std::string::npos ? 'X' : 'Y';
    return answer(R"({"reason":"","evidence":[],"verdict":"absent"})");
  };
  const auto report = run();
  ASSERT_TRUE(report.has_value()) << report.error().describe();
  EXPECT_FALSE(told);
  EXPECT_EQ(std::count(arms.begin(), arms.end(), 'X'), 60);
  EXPECT_EQ(std::count(arms.begin(), arms.end(), 'Y'), 60);
  // Of 119 neighbors about half differ where the order is random: 6 standard deviations below.
  std::size_t changes = 0;
  for (std::size_t i = 1; i < arms.size(); ++i) changes += arms[i] != arms[i - 1] ? 1U : 0U;
  EXPECT_GT(changes, 26U);
}

}  // namespace
}  // namespace understudy
