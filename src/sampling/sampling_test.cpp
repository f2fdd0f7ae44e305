#include <gtest/gtest.h>

#include <set>

#include "sampling/frame.hpp"
#include "sampling/prefix_selection.hpp"

namespace understudy {
namespace {

std::vector<Message> dialogue(std::initializer_list<std::string> texts) {
  std::vector<Message> messages;
  for (const std::string& text : texts) {
    Message message;
    message.role = messages.size() % 2 == 0 ? Role::kUser : Role::kAssistant;
    message.content = text;
    messages.push_back(message);
  }
  return messages;
}

const EstimatedTokenizer kTokenizer;

TEST(Frame, CountsEveryTurnThatIsLeftOut) {
  const auto messages =
      dialogue({"hi", "hello", std::string(4000, 'x'), "long", "more", "end", "unanswered"});
  const FrameRules rules{.unit = Unit::kTurn, .prefix_tokens_max = 100, .window_tokens = {}};
  const ConversationFrame frame = frame_of(messages, rules, kTokenizer);
  ASSERT_EQ(frame.turns.size(), 1U);
  EXPECT_EQ(frame.turns[0].cut, 1U);
  EXPECT_EQ(frame.excluded[static_cast<std::size_t>(TurnExclusion::kPrefixTooLong)], 2U);
  EXPECT_EQ(frame.excluded[static_cast<std::size_t>(TurnExclusion::kNoLoggedAnswer)], 1U);
  EXPECT_EQ(frame.turns.size() + frame.excluded[0] + frame.excluded[1], turns_of(messages).size());
}

TEST(Frame, TheFinalTurnIsOneUnitAConversation) {
  const auto messages = dialogue({"a", "b", "c", "d"});
  const ConversationFrame frame =
      frame_of(messages, {.unit = Unit::kFinalTurn, .prefix_tokens_max = {}, .window_tokens = {}},
               kTokenizer);
  ASSERT_EQ(frame.turns.size(), 1U);
  EXPECT_EQ(frame.turns[0].cut, 3U);
}

TEST(Frame, TheWindowCutsOnlyLongerAnswersAndNeverACodePoint) {
  const auto messages = dialogue({"a", "short", "b", "\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC"});
  const FrameRules rules{.unit = Unit::kTurn, .prefix_tokens_max = {}, .window_tokens = 3};
  const ConversationFrame frame = frame_of(messages, rules, kTokenizer);
  EXPECT_EQ(frame.turns[0].window_bytes, std::nullopt);
  EXPECT_EQ(frame.turns[1].window_bytes, 8U);
}

std::set<std::pair<std::int64_t, std::uint32_t>> select(std::uint64_t n, const std::string& seed,
                                                        bool reversed) {
  PrefixSelection selection(seed, n);
  for (int i = 0; i < 1000; ++i) {
    const int conversation = reversed ? 999 - i : i;
    for (std::uint32_t cut = 1; cut < 4; ++cut) {
      selection.offer("logs", conversation, std::to_string(conversation), cut);
    }
  }
  EXPECT_EQ(selection.frame_size(), 3000U);
  EXPECT_DOUBLE_EQ(selection.inclusion_probability(), static_cast<double>(n) / 3000);
  std::set<std::pair<std::int64_t, std::uint32_t>> chosen;
  std::uint64_t last_order = 0;
  for (const SelectedPrefix& prefix : selection.take()) {
    EXPECT_GE(prefix.work_order, last_order);
    last_order = prefix.work_order;
    chosen.emplace(prefix.conversation, prefix.cut);
  }
  EXPECT_EQ(chosen.size(), n);
  return chosen;
}

TEST(Selection, IsAFunctionOfSeedAndIdentityAlone) {
  EXPECT_EQ(select(200, "1", false), select(200, "1", true));
  EXPECT_NE(select(200, "1", false), select(200, "2", false));
}

TEST(Selection, ALargerOneKeepsTheSmaller) {
  const auto small = select(100, "1", false);
  const auto large = select(400, "1", false);
  for (const auto& prefix : small) EXPECT_TRUE(large.contains(prefix));
}

TEST(Selection, TakesEveryTurnEquallyOften) {
  // 400 seeds, 10 of 40 turns each: every turn is expected 100 times, standard deviation 8.7.
  std::vector<int> taken(40);
  for (int seed = 0; seed < 400; ++seed) {
    PrefixSelection selection(std::to_string(seed), 10);
    for (int i = 0; i < 40; ++i)
      selection.offer("logs", i / 4, std::to_string(i / 4), static_cast<std::uint32_t>(i % 4));
    for (const SelectedPrefix& prefix : selection.take()) {
      ++taken[static_cast<std::size_t>(prefix.conversation * 4 + prefix.cut)];
    }
  }
  for (const int count : taken) EXPECT_NEAR(count, 100, 39);
}

}  // namespace
}  // namespace understudy
