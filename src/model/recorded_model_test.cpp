#include "model/recorded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy {
namespace {

using ::testing::HasSubstr;

Completion some_completion() {
  Completion completion;
  completion.content = "caf\u00e9 \"quoted\"\n";
  completion.reasoning = "because";
  completion.tool_calls = {{.id = "c1", .name = "find", .arguments = "{\"q\":1}"}};
  completion.finish = FinishReason::kToolCalls;
  completion.usage = {.prompt_tokens = 11, .completion_tokens = 22};
  completion.logprobs = {-0.125, -1.5};
  return completion;
}

TEST(Recorded, LinesReadBackAsWritten) {
  const DrawOutcome answered = some_completion();
  const DrawOutcome failed = Failure{FailureReason::kTimeout, "after 600 s"};
  const std::uint64_t large = 0xFFFF'FFFF'FFFF'FFFFULL;  // beyond what a double can hold
  const auto draws = parse_recorded(
      recorded_line(large, 0, answered) + recorded_line(large, 1, failed), "r.jsonl");
  ASSERT_TRUE(draws.has_value()) << draws.error().describe();
  EXPECT_EQ(draws->at({large, 0}), answered);
  EXPECT_EQ(draws->at({large, 1}), failed);
}

TEST(Recorded, EveryFinishAndFailureHasAName) {
  std::string text;
  std::uint32_t draw = 0;
  for (const FinishReason finish :
       {FinishReason::kStop, FinishReason::kLength, FinishReason::kToolCalls,
        FinishReason::kContentFilter, FinishReason::kUnknown}) {
    Completion completion;
    completion.finish = finish;
    text += recorded_line(1, draw++, completion);
  }
  for (std::uint8_t i = 0; i < kFailureReasonCount; ++i) {
    text += recorded_line(1, draw++, Failure{static_cast<FailureReason>(i), ""});
  }
  const auto draws = parse_recorded(text, "r.jsonl");
  ASSERT_TRUE(draws.has_value()) << draws.error().describe();
  std::string again;
  for (const auto& [key, outcome] : *draws) again += recorded_line(key.first, key.second, outcome);
  EXPECT_EQ(again, text);
}

TEST(Recorded, DamagedLinesAreErrorsWithTheirNumber) {
  const std::string good = recorded_line(1, 0, some_completion());
  for (const char* bad :
       {"{", "[]", "{\"prefix\":1,\"draw\":0,\"failure\":{\"reason\":\"timeout\"}}",
        "{\"prefix\":\"2\",\"draw\":-1,\"failure\":{\"reason\":\"timeout\"}}",
        "{\"prefix\":\"2\",\"draw\":0}",
        "{\"prefix\":\"2\",\"draw\":0,\"failure\":{\"reason\":\"bored\"}}",
        "{\"prefix\":\"2\",\"draw\":0,\"complete\":{}}"}) {
    const auto draws = parse_recorded(good + bad + "\n", "r.jsonl");
    ASSERT_FALSE(draws.has_value()) << bad;
    EXPECT_THAT(draws.error().describe(), HasSubstr("r.jsonl:2")) << bad;
  }
}

TEST(Recorded, SecondRecordOfADrawIsAnError) {
  const std::string line = recorded_line(1, 0, some_completion());
  EXPECT_FALSE(parse_recorded(line + line, "r.jsonl").has_value());
}

TEST(Recorded, AnswersByPrefixAndDrawAndNamesWhatIsMissing) {
  const auto model = make_recorded_model(
      "recorded/x",
      [](std::uint64_t prefix, std::uint32_t draw, std::uint32_t) -> std::optional<DrawOutcome> {
        if (prefix == 7 && draw == 1) return some_completion();
        return std::nullopt;
      });
  ChatRequest known;
  known.id = 1;
  known.prefix_identity = 7;
  known.draw_index = 1;
  ChatRequest other = known;
  other.id = 2;
  other.draw_index = 0;
  model->submit(known);
  model->submit(other);
  const auto ended = model->poll(0);
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_EQ(ended[0].outcome, DrawOutcome(some_completion()));
  EXPECT_EQ(std::get<Failure>(ended[1].outcome).reason, FailureReason::kNotRecorded);
  EXPECT_EQ(model->status().completion_tokens, 22U);
}

}  // namespace
}  // namespace understudy
