#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "records/conversation.hpp"
#include "records/draw.hpp"
#include "records/verdict.hpp"

namespace understudy {
namespace {

Message message(Role role, std::string text) {
  Message made;
  made.role = role;
  made.content = std::move(text);
  return made;
}

TEST(Messages, DecodeWhatWasEncoded) {
  rc::check([](const std::vector<std::string>& texts, bool flag) {
    std::vector<Message> messages;
    for (const std::string& text : texts) {
      Message made = message(static_cast<Role>(messages.size() % 5), text);
      if (flag) made.reasoning = text + "r";
      if (!text.empty()) made.tool_calls = {{text, "name", "{}"}, {"", "", ""}};
      made.tool_call_id = text;
      made.has_other_parts = !flag;
      messages.push_back(made);
    }
    const auto decoded = decode_messages(encode_messages(messages));
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(*decoded == messages);
  });
}

TEST(Messages, DamageIsAnErrorNeverACrash) {
  const std::string good =
      encode_messages({message(Role::kUser, "hello"), message(Role::kTool, "x")});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_messages(std::string_view(good).substr(0, size)));
  }
  rc::check([](const std::string& noise) { (void)decode_messages(noise).has_value(); });
}

TEST(Outcome, DecodesWhatWasEncoded) {
  Completion completion{.content = "hi",
                        .reasoning = "because",
                        .tool_calls = {{"1", "f", "{}"}},
                        .finish = FinishReason::kToolCalls,
                        .usage = {3, 300}};
  EXPECT_EQ(*decode_outcome(encode_outcome(completion)), DrawOutcome(completion));
  completion.logprobs = {0, rounded_logprob(-0.12345), rounded_logprob(-9999)};
  EXPECT_EQ(completion.logprobs[1], -0.123);
  const std::string bytes = encode_outcome(completion);
  EXPECT_EQ(*decode_outcome(bytes), DrawOutcome(completion));
  EXPECT_FALSE(decode_outcome(std::string_view(bytes).substr(0, bytes.size() - 1)));
  const Failure failure{FailureReason::kTimeout, "after 60 s"};
  EXPECT_EQ(*decode_outcome(encode_outcome(failure)), DrawOutcome(failure));
  EXPECT_FALSE(decode_outcome("\x07"));
}

TEST(Turns, AreCutAfterTheLastOfARunOfQuestions) {
  const std::vector<Message> messages = {
      message(Role::kSystem, "s"),    message(Role::kUser, "a"), message(Role::kUser, "b"),
      message(Role::kAssistant, "c"), message(Role::kTool, "d"), message(Role::kAssistant, "e"),
      message(Role::kUser, "f")};
  const std::vector<Turn> turns = turns_of(messages);
  ASSERT_EQ(turns.size(), 3U);
  EXPECT_EQ(turns[0].cut, 3U);
  EXPECT_EQ(turns[1].cut, 5U);
  EXPECT_TRUE(turns[1].answered);
  EXPECT_EQ(turns[2].cut, 7U);
  EXPECT_FALSE(turns[2].answered);
}

TEST(Identity, DependsOnSourceIdAndCutNotOnText) {
  EXPECT_NE(prefix_identity("logs", "a", 1), prefix_identity("logs", "b", 1));
  EXPECT_NE(prefix_identity("logs", "a", 1), prefix_identity("logs", "a", 2));
  EXPECT_NE(draw_seed("1", "replay", Arm::kCandidate, 5, 0),
            draw_seed("1", "replay", Arm::kCandidate, 5, 1));
}

TEST(Verdicts, UnpackWhatWasPacked) {
  rc::check([](const std::vector<std::uint16_t>& gaps) {
    std::vector<SparseVerdict> verdicts;
    std::uint64_t position = 0;
    for (const std::uint16_t gap : gaps) {
      position += gap;
      verdicts.push_back({position++, gap % 2 ? Verdict::kPresent : Verdict::kUngradableLanguage});
    }
    bool ok = false;
    RC_ASSERT(unpack_verdicts(pack_verdicts(verdicts), ok) == verdicts);
    RC_ASSERT(ok);
  });
}

}  // namespace
}  // namespace understudy
