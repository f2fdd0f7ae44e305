#include "testing/mock_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/mock_server_answers.hpp"

namespace understudy {
namespace {

using ::testing::HasSubstr;

TEST(MockScenario, ReadsRolesAndRates) {
  const auto options = parse_mock_scenario(R"(
seed = 7
latency_ms = 20
[models.next]
role = "candidate"
rates = { refusal = 0.25 }
[models.judge]
role = "judge"
sensitivity = 0.9
specificity = 0.99
[[rate_limits]]
after_s = 30
per_s = 100
)",
                                           "s.toml", {});
  ASSERT_TRUE(options.has_value()) << options.error().describe();
  EXPECT_EQ(options->seed, 7U);
  EXPECT_EQ(options->latency_ms, 20);
  ASSERT_EQ(options->models.size(), 2U);
  EXPECT_EQ(options->models[0].role, MockRole::kJudge);
  EXPECT_EQ(options->models[0].specificity, 0.99);
  EXPECT_EQ(options->models[1].rates.at("refusal"), 0.25);
  ASSERT_EQ(options->rate_limits.size(), 1U);
  EXPECT_EQ(options->rate_limits[0].after_ms, 30'000);
}

TEST(MockScenario, UnknownKeyIsAnErrorWithLineAndSuggestion) {
  const auto options = parse_mock_scenario("seed = 1\nlatencyms = 3\n", "s.toml", {});
  ASSERT_FALSE(options.has_value());
  EXPECT_THAT(options.error().describe(), HasSubstr("s.toml:2"));
  EXPECT_THAT(options.error().describe(), HasSubstr("latency_ms"));
}

TEST(MockScenario, RateOutsideTheUnitIntervalIsAnErrorWithLine) {
  const auto options = parse_mock_scenario("[models.a]\nrates = { refusal = 1.5 }\n", "s.toml", {});
  ASSERT_FALSE(options.has_value());
  EXPECT_THAT(options.error().describe(), HasSubstr("s.toml:2"));
}

TEST(MockScenario, UnknownBehaviorSuggestsTheNearest) {
  const auto rate = parse_behavior_rate("refusall=0.5");
  ASSERT_FALSE(rate.has_value());
  EXPECT_THAT(rate.error().message, HasSubstr("\"refusal\""));
}

TEST(MockScenario, BehaviorRateMustBeAProbability) {
  EXPECT_FALSE(parse_behavior_rate("refusal=1.01").has_value());
  EXPECT_FALSE(parse_behavior_rate("refusal=").has_value());
  EXPECT_FALSE(parse_behavior_rate("refusal").has_value());
  EXPECT_FALSE(parse_behavior_rate("refusal=nan").has_value());
  EXPECT_EQ(parse_behavior_rate("refusal=0.02")->second, 0.02);
}

TEST(MockAnswer, IsAFunctionOfItsHash) {
  const std::vector<std::string> planted = {"refusal"};
  const MockPrompt prompt{.last_user = "hi"};
  EXPECT_EQ(mock_answer(prompt, planted, 5), mock_answer(prompt, planted, 5));
  EXPECT_NE(mock_answer(prompt, {}, 5), mock_answer(prompt, {}, 6));
}

TEST(MockAnswer, JudgeSeesExactlyThePlantedBehavior) {
  for (const std::string& behavior : plantable_behaviors()) {
    if (behavior == "calculator_hacking") continue;  // is a tool call, not text
    const std::vector<std::string> planted = {behavior};
    const Completion answer = mock_answer({.last_user = "hi"}, planted, 17);
    for (const std::string& other : plantable_behaviors()) {
      EXPECT_EQ(holds_plant(answer.content, other), other == behavior) << behavior << other;
    }
  }
}

}  // namespace
}  // namespace understudy
