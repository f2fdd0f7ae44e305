#include "testing/mock_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grading/judge.hpp"
#include "grading/rule_graders.hpp"
#include "testing/mock_server_answers.hpp"

namespace understudy {
namespace {

using ::testing::HasSubstr;

TEST(MockEmbedding, IsABagOfWordsOfLengthOne) {
  const std::vector<double> vector = mock_embedding("The river, the RIVER.");
  double squares = 0;
  for (const double value : vector) squares += value * value;
  EXPECT_NEAR(squares, 1, 1e-12);
  EXPECT_EQ(vector, mock_embedding("river the river the"));
  EXPECT_NE(vector, mock_embedding("the garden"));
  EXPECT_EQ(mock_embedding("")[0], 1);

  const SystemClock clock;
  MockResponder server({}, clock);
  const auto answer = server.respond({.method = "POST",
                                      .target = "/v1/embeddings",
                                      .body = R"({"model":"m","input":"river the river the"})"});
  EXPECT_EQ(Json::parse(answer.body)["data"][0]["embedding"].get<std::vector<double>>(), vector);
  EXPECT_EQ(server.stats()["by_model"]["m"], 1);
}

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

const std::vector<std::string>& user_messages() {
  static const std::vector<std::string> kMessages = {
      "How do I sort a list by two keys at once?",
      "Tell me what I should think about before I move to another city next spring.",
      "¿Cómo puedo aprender a cocinar mejor si tengo muy poco tiempo entre semana?",
      "Wie kann ich am besten meine Wohnung für den Winter vorbereiten, ohne viel Geld auszugeben?",
      "Comment est-ce que je peux mieux organiser ma journée quand je travaille à la maison ?",
      "Как мне лучше подготовиться к длинной поездке на поезде через всю страну зимой?",
      "我应该怎样准备下个月的考试，才能在工作的同时把所有内容都复习一遍？",
      "来月の引っ越しの前に、何から準備を始めればよいか教えてください。",
      "ok"};
  return kMessages;
}

std::vector<Verdict> grade(const RuleGraders& graders, const std::string& user,
                           const Completion& answer) {
  std::vector<Message> prefix(1);
  prefix[0].content = user;
  std::vector<Verdict> verdicts(graders.size());
  graders.grade({.prefix = prefix,
                 .tools = {},
                 .content = answer.content,
                 .tool_calls = answer.tool_calls,
                 .finish = answer.finish,
                 .cut_by_window = false},
                verdicts);
  return verdicts;
}

TEST(MockAnswer, NoRuleFlagsABenignAnswer) {
  const auto graders = RuleGraders::build(built_in_behaviors());
  ASSERT_TRUE(graders.has_value()) << graders.error().describe();
  for (const std::string& user : user_messages()) {
    for (std::uint64_t hash = 0; hash < 200; ++hash) {
      const Completion answer = mock_answer({.last_user = user}, {}, hash * 0x9E3779B97F4A7C15ULL);
      const std::vector<Verdict> verdicts = grade(*graders, user, answer);
      for (std::size_t i = 0; i < verdicts.size(); ++i) {
        ASSERT_NE(verdicts[i], Verdict::kPresent)
            << built_in_behaviors()[i].id << " in: " << answer.content;
      }
    }
  }
}

TEST(MockAnswer, ExactlyThePlantedRuleBehaviorIsFlagged) {
  const auto graders = RuleGraders::build(built_in_behaviors());
  ASSERT_TRUE(graders.has_value()) << graders.error().describe();
  const std::string& user = user_messages()[1];
  for (std::size_t planted = 0; planted < graders->size(); ++planted) {
    if (!graders->has_rule(planted)) continue;
    const std::vector<std::string> names = {built_in_behaviors()[planted].id};
    for (std::uint64_t hash = 0; hash < 50; ++hash) {
      const Completion answer = mock_answer({.last_user = user}, names, hash * 0x9E3779B97F4A7C15U);
      const std::vector<Verdict> verdicts = grade(*graders, user, answer);
      for (std::size_t i = 0; i < verdicts.size(); ++i) {
        ASSERT_EQ(verdicts[i] == Verdict::kPresent, i == planted)
            << built_in_behaviors()[i].id << " for " << names[0] << " in: " << answer.content;
      }
    }
  }
}

TEST(MockJudge, UnderstandsTheJudgesPrompt) {
  for (const Behavior& behavior : built_in_behaviors()) {
    if (!behavior.judge || behavior.id == "calculator_hacking") continue;
    for (const bool present : {true, false}) {
      const std::string& user = user_messages()[1];
      const std::vector<std::string> planted(present ? 1 : 0, behavior.id);
      const Completion answer = mock_answer({.last_user = user}, planted, 99);
      std::vector<Message> prefix(1);
      prefix[0].content = user;
      const JudgeRequest request = judge_request(behavior,
                                                 {.prefix = prefix,
                                                  .tools = {},
                                                  .content = answer.content,
                                                  .tool_calls = {},
                                                  .finish = answer.finish,
                                                  .cut_by_window = false},
                                                 "secret");
      const JudgeQuestion question = read_judge_prompt(request.messages.back().content);
      EXPECT_EQ(question.message, 2U);
      EXPECT_EQ(question.behaviors, std::vector<std::string>{behavior.id});
      EXPECT_EQ(holds_plant(question.answer, behavior.id), present) << behavior.id;
    }
  }
}

}  // namespace
}  // namespace understudy
