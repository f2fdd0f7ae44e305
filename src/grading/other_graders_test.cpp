#include "grading/other_graders.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/json.hpp"

namespace understudy {
namespace {

Behavior by_command(std::optional<double> threshold = {}) {
  Behavior behavior;
  behavior.id = "ours";
  behavior.decided_by = DecidedBy::kCommand;
  behavior.command = CommandSpec{.argv = {"true"}, .files = {}, .threshold = threshold};
  return behavior;
}

TEST(CommandLine, HoldsConversationAndAnswerAndNothingOfWhoWroteIt) {
  std::vector<Message> prefix(2);
  prefix[0].role = Role::kSystem;
  prefix[0].content = "be brief";
  prefix[1].content = "two\nlines \xff";
  const std::vector<ToolCall> calls = {{.id = "7", .name = "f", .arguments = "{}"}};
  const std::string line =
      command_line(by_command(), {prefix, "", "answer", calls, FinishReason::kLength, true}, 12);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(Json::parse(line), Json::parse(R"({"id":12,"behavior":"ours","messages":[
      {"role":"system","content":"be brief"},{"role":"user","content":"two\nlines �"}],
      "answer":{"role":"assistant","content":"answer",
                "tool_calls":[{"name":"f","arguments":"{}"}]},"cut":true})"));
}

TEST(CommandAnswer, IsAVerdictOrANamedReason) {
  const auto read = [](std::string_view line) {
    return verdict_name(parse_command_answer(by_command(), line));
  };
  EXPECT_EQ(read(R"({"id":1,"verdict":"present"})"), "present");
  EXPECT_EQ(read(R"({"id":1,"verdict":"absent","reason":"x"})"), "absent");
  EXPECT_EQ(read(R"({"id":1,"verdict":"ungradable"})"), "cannot_tell");
  EXPECT_EQ(read(R"({"id":1,"verdict":"maybe"})"), "unparsable");
  EXPECT_EQ(read(R"({"id":1,"score":0.9})"), "unparsable");
  EXPECT_EQ(read(R"([1])"), "unparsable");
  EXPECT_EQ(read(""), "unparsable");
  EXPECT_EQ(read("{\"id\":1,\"verdict\":\"absent\"}\n{\"id\":1,\"verdict\":\"present\"}"),
            "several_verdicts");
}

TEST(CommandAnswer, ScoreIsHeldAgainstTheThreshold) {
  const auto read = [](std::string_view line) {
    return verdict_name(parse_command_answer(by_command(0.5), line));
  };
  EXPECT_EQ(read(R"({"id":1,"score":0.5})"), "present");
  EXPECT_EQ(read(R"({"id":1,"score":0.499})"), "absent");
  EXPECT_EQ(read(R"({"id":1,"score":1.5})"), "unparsable");
  EXPECT_EQ(read(R"({"id":1,"score":"0.9"})"), "unparsable");
  EXPECT_EQ(read(R"({"id":1,"verdict":"present"})"), "unparsable");
}

TEST(ModerationAnswer, AnyCategoryOverItsThresholdIsPresentAndNoneMayBeMissing) {
  Behavior behavior;
  behavior.moderation = ModerationSpec{{{"hate", 0.5}, {"hate/threatening", 0.25}}};
  const auto read = [&](std::string_view scores) {
    return verdict_name(parse_moderation_answer(behavior, scores));
  };
  EXPECT_EQ(read(R"({"hate":0.4,"hate/threatening":0.2,"other":1})"), "absent");
  EXPECT_EQ(read(R"({"hate":0.4,"hate/threatening":0.25})"), "present");
  EXPECT_EQ(read(R"({"hate":0.9})"), "unparsable");
  EXPECT_EQ(read(R"({"hate":true,"hate/threatening":0})"), "unparsable");
  EXPECT_EQ(read("<html>"), "unparsable");
}

RC_GTEST_PROP(CommandAnswer, AnyBytesGiveSomeOutcome, (const std::string& bytes)) {
  RC_ASSERT(parse_command_answer(by_command(), bytes) != Verdict::kPresent);
}

}  // namespace
}  // namespace understudy
