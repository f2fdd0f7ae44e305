#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

#include "sampling/frame.hpp"
#include "sampling/prefix_selection.hpp"
#include "sampling/risk_score.hpp"

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

TEST(Poisson, TakesEveryTurnAsOftenAsItsProbabilitySays) {
  // 2,000 seeds: a share of 0.1 has standard deviation 0.0067, one of 0.5 has 0.011.
  std::array<int, 2> taken{};
  for (int seed = 0; seed < 2000; ++seed) {
    PoissonSelection selection(std::to_string(seed));
    selection.offer("logs", 1, "a", 1, 0.1);
    selection.offer("logs", 1, "a", 3, 0.5);
    for (const SelectedPrefix& prefix : selection.take()) {
      EXPECT_EQ(prefix.pi, prefix.cut == 1 ? 0.1 : 0.5);
      ++taken.at(prefix.cut / 2);
    }
  }
  EXPECT_NEAR(taken[0] / 2000.0, 0.1, 0.03);
  EXPECT_NEAR(taken[1] / 2000.0, 0.5, 0.05);
}

TEST(Poisson, ALargerSelectionKeepsTheSmaller) {
  PoissonSelection small("1"), large("1");
  for (int i = 0; i < 1000; ++i) {
    small.offer("logs", i, std::to_string(i), 1, 0.1);
    large.offer("logs", i, std::to_string(i), 1, 0.3);
  }
  std::set<std::int64_t> kept;
  for (const SelectedPrefix& prefix : large.take()) kept.insert(prefix.conversation);
  for (const SelectedPrefix& prefix : small.take()) {
    EXPECT_TRUE(kept.contains(prefix.conversation));
  }
}

TEST(RiskDesign, ProbabilitiesSumToWhatIsWantedAndHaveAFloor) {
  std::vector<float> sizes(1000, 1.0F);
  for (std::size_t i = 0; i < 20; ++i) sizes[i] = 200;  // certain to be drawn
  for (const std::uint64_t wanted : std::array<std::uint64_t, 4>{10, 100, 300, 900}) {
    const RiskDesign design(sizes, wanted);
    double sum = 0;
    for (const float size : sizes) sum += design.pi(static_cast<double>(size));
    EXPECT_NEAR(sum, static_cast<double>(wanted), 1e-6);
    EXPECT_GE(design.pi(1), 0.3 * static_cast<double>(wanted) / 1000);
    EXPECT_GE(design.pi(200), design.pi(1));
    EXPECT_LE(design.pi(200), 1);
  }
  EXPECT_EQ(RiskDesign(sizes, 300).pi(200), 1);
}

TEST(RiskDesign, AllAreDrawnWhereAsManyAreWanted) {
  const std::vector<float> sizes = {1, 2, 3};
  EXPECT_EQ(RiskDesign(sizes, 3).pi(1), 1);
}

// Half of the texts ask about one thing, a tenth of those are flagged, others hardly ever.
std::vector<RiskExample> examples_about(const std::string& risky, int count) {
  std::vector<RiskExample> examples;
  for (int i = 0; i < count; ++i) {
    const bool about = i % 2 == 0;
    const auto messages =
        dialogue({"number " + std::to_string(i % 97) + " please " + (about ? risky : "garden")});
    examples.push_back({text_features(messages, ""), about && i % 20 == 0 ? 1U : 0U});
  }
  return examples;
}

TEST(RiskScore, LearnsWhatFlagsFollow) {
  const auto examples = examples_about("calculator", 4000);
  const std::vector<RiskTarget> targets = {{.bit = 0, .rate = 0.05}};
  const RiskModel model(examples, targets);
  const double risky = model.draw_size(text_features(dialogue({"use the calculator"}), ""));
  const double other = model.draw_size(text_features(dialogue({"water the garden"}), ""));
  EXPECT_GT(risky, 3 * other);
  EXPECT_GT(other, 0);
}

TEST(RiskScore, WithoutFlagsEveryTextIsAlike) {
  const auto examples = examples_about("calculator", 100);
  const std::vector<RiskTarget> targets = {{.bit = 5, .rate = 0.1}};
  const RiskModel model(examples, targets);
  EXPECT_EQ(model.draw_size(text_features(dialogue({"one"}), "")),
            model.draw_size(text_features(dialogue({"two"}), "[]")));
}

TEST(RiskScore, FeaturesAreSortedDistinctAndInRange) {
  const auto features = text_features(dialogue({"The cat and the CAT and the cat"}), "[{}]");
  for (std::size_t i = 0; i < features.size(); ++i) {
    EXPECT_GE(features[i].index, 1);
    EXPECT_LE(features[i].index, kTextFeatures);
    if (i > 0) {
      EXPECT_GT(features[i].index, features[i - 1].index);
    }
  }
  EXPECT_NE(features, text_features(dialogue({"The cat and the dog"}), "[{}]"));
}

}  // namespace
}  // namespace understudy
