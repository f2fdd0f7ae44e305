#include "records/trajectory.hpp"

#include <gtest/gtest.h>

namespace understudy {
namespace {

TrajectoryStep some_step() {
  TrajectoryStep step;
  step.answer.content = "Let me look.";
  step.answer.finish = FinishReason::kToolCalls;
  step.answer.usage = {.prompt_tokens = 7, .completion_tokens = 300};
  step.answer.tool_calls = {{.id = "a", .name = "lookup", .arguments = "{}"},
                            {.id = "b", .name = "add", .arguments = ""}};
  step.events = {
      {.level = "keyed", .trouble = "", .result = "5", .repeated = true, .contradictions = 2},
      {.level = "none", .trouble = "server_died", .result = "", .repeated = false}};
  step.attempts = 3;
  return step;
}

TEST(Trajectory, StepsAndEndsComeBackAsTheyWere) {
  const TrajectoryStep step = some_step();
  EXPECT_EQ(decode_step(encode_step(step)).value(), step);
  TrajectoryStep open = step;
  open.events.clear();
  EXPECT_EQ(decode_step(encode_step(open)).value(), open);
  for (std::uint8_t i = 0; i < kTerminationCount; ++i) {
    const Trajectory end{.last_events = step.events, .end = static_cast<Termination>(i)};
    EXPECT_EQ(decode_end(encode_end(end)).value(), end);
    EXPECT_FALSE(termination_name(end.end).empty());
  }
}

TEST(Trajectory, DamageIsAnError) {
  const std::string bytes = encode_step(some_step());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_step(std::string_view(bytes).substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(decode_end("\xFF").has_value());
}

TEST(Trajectory, AStepIsTheAnswerAndAResultForEachCall) {
  std::vector<Message> messages(1);
  append_messages(some_step(), messages);
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[1].role, Role::kAssistant);
  EXPECT_EQ(messages[1].tool_calls.size(), 2U);
  EXPECT_EQ(messages[2].tool_call_id, "a");
  EXPECT_EQ(messages[2].name, "lookup");
  EXPECT_EQ(messages[2].content, "5");
  EXPECT_EQ(messages[3].tool_call_id, "b");
}

Message of(Role role, int calls = 0) {
  Message message;
  message.role = role;
  message.tool_calls.resize(static_cast<std::size_t>(calls));
  return message;
}

TEST(Trajectory, LoggedOnesEndWhereTheModelAnswersOrIsCutOff) {
  const std::vector<Message> messages = {of(Role::kUser),         of(Role::kAssistant, 1),
                                         of(Role::kTool),         of(Role::kAssistant, 2),
                                         of(Role::kTool),         of(Role::kTool),
                                         of(Role::kAssistant),    of(Role::kUser),
                                         of(Role::kAssistant, 1), of(Role::kTool)};
  EXPECT_EQ(logged_end(messages, 1, 1), 1U);
  EXPECT_EQ(logged_end(messages, 1, 2), 3U);
  EXPECT_EQ(logged_end(messages, 1, 30), 6U);
  EXPECT_EQ(logged_end(messages, 3, 30), 6U);
  EXPECT_EQ(logged_end(messages, 6, 30), 6U);
  EXPECT_EQ(logged_end(messages, 8, 30), 8U);  // the log ends in the middle
  EXPECT_EQ(turns_of(messages).size(), 5U);
  EXPECT_EQ(turns_of(messages, true).size(), 2U);
}

}  // namespace
}  // namespace understudy
