#include "grading/labels.hpp"

#include <gtest/gtest.h>

namespace understudy {
namespace {

Label label(std::uint64_t answer, std::string annotator, Target target, std::uint32_t round = 1) {
  return {.answer = answer,
          .behavior = "refusal",
          .annotator = std::move(annotator),
          .round = round,
          .target = target};
}

TEST(AnswerId, HangsOnWhatIsGradedAndOnNothingElse) {
  std::vector<Message> prefix(1);
  prefix[0].content = "A question";
  std::vector<ToolCall> calls = {{.id = "call_1", .name = "search", .arguments = "{}"}};
  AnswerView answer{.prefix = prefix, .tools = {}, .content = "An answer", .tool_calls = calls};
  const std::uint64_t id = answer_id(answer);
  EXPECT_EQ(answer_id(answer), id);

  AnswerView same = answer;
  same.finish = FinishReason::kLength;
  same.cut_by_window = true;
  std::vector<ToolCall> renamed = calls;
  renamed[0].id = "call_2";
  same.tool_calls = renamed;
  EXPECT_EQ(answer_id(same), id) << "how it ended and the ids of calls are not text";

  AnswerView other = answer;
  other.content = "An answe";
  EXPECT_NE(answer_id(other), id);
  other = answer;
  other.tool_calls = {};
  EXPECT_NE(answer_id(other), id);
  std::vector<Message> another = prefix;
  another[0].content = "A question?";
  other = answer;
  other.prefix = another;
  EXPECT_NE(answer_id(other), id);
}

TEST(AnswerId, IsReadAsItIsWritten) {
  EXPECT_EQ(answer_id_text(0x1f), "000000000000001f");
  EXPECT_EQ(parse_answer_id("000000000000001f"), 0x1fU);
  EXPECT_FALSE(parse_answer_id("1f").has_value());
  EXPECT_FALSE(parse_answer_id("000000000000001g").has_value());
  EXPECT_FALSE(parse_answer_id("-00000000000001f").has_value());
  EXPECT_FALSE(parse_answer_id("").has_value());
}

TEST(Labels, RoundsAndTargetsAreNamed) {
  EXPECT_EQ(parse_round("3"), 3U);
  EXPECT_EQ(parse_round("adjudication"), kAdjudication);
  EXPECT_EQ(round_name(kAdjudication), "adjudication");
  for (const char* bad : {"0", "-1", "1.5", "4294967295", "first", ""}) {
    EXPECT_FALSE(parse_round(bad).has_value()) << bad;
  }
  EXPECT_EQ(parse_target("1"), Target::kPresent);
  EXPECT_EQ(parse_target("absent"), Target::kAbsent);
  EXPECT_EQ(parse_target("unsure"), Target::kUnsure);
  for (const char* bad : {"2", "yes", " 1", ""}) {
    EXPECT_FALSE(parse_target(bad).has_value()) << bad;
  }
}

TEST(Labels, AreFoundByBehaviorAndAnswer) {
  Label other = label(2, "ann", Target::kPresent);
  other.behavior = "hate";
  const Labels labels({label(2, "bob", Target::kAbsent), label(1, "ann", Target::kPresent), other,
                       label(2, "ann", Target::kAbsent)});
  EXPECT_EQ(labels.of("refusal").size(), 3U);
  EXPECT_EQ(labels.of("refusal", 2).size(), 2U);
  EXPECT_EQ(labels.of("hate", 2).size(), 1U);
  EXPECT_TRUE(labels.of("refusal", 3).empty());
  EXPECT_TRUE(labels.of("hat").empty());
  ASSERT_NE(labels.find(label(1, "ann", Target::kAbsent)), nullptr);
  EXPECT_EQ(labels.find(label(1, "ann", Target::kAbsent))->target, Target::kPresent);
  EXPECT_EQ(labels.find(label(1, "ann", Target::kAbsent, 2)), nullptr);
}

TEST(Decide, TheLastRoundByMajority) {
  using enum Target;
  EXPECT_EQ(decide({}), Decision::kNone);
  const auto decision = [](const std::vector<Label>& labels) { return decide(labels); };
  EXPECT_EQ(decision({label(1, "a", kPresent)}), Decision::kPresent);
  EXPECT_EQ(decision({label(1, "a", kPresent), label(1, "b", kAbsent)}), Decision::kTie);
  EXPECT_EQ(decision({label(1, "a", kPresent), label(1, "b", kAbsent), label(1, "c", kAbsent)}),
            Decision::kAbsent);
  EXPECT_EQ(decision({label(1, "a", kPresent), label(1, "b", kUnsure)}), Decision::kPresent);
  EXPECT_EQ(decision({label(1, "a", kUnsure)}), Decision::kUnsure);
  EXPECT_EQ(decision({label(1, "a", kPresent, 1), label(1, "a", kAbsent, 2)}), Decision::kAbsent);
  EXPECT_EQ(decision({label(1, "a", kAbsent, 1), label(1, "b", kAbsent, 2),
                      label(1, "c", kPresent, kAdjudication)}),
            Decision::kPresent);
}

TEST(LabelAgreement, IsThatOfPeopleWhoHaveNotSeenEachOther) {
  using enum Target;
  std::vector<Label> labels;
  // Cohen's textbook table: 20 and 15 alike, 5 and 10 not; kappa .4.
  const auto both = [&](std::uint64_t first, std::uint64_t count, Target a, Target b) {
    for (std::uint64_t i = first; i < first + count; ++i) {
      labels.push_back(label(i, "ann", a));
      labels.push_back(label(i, "bob", b));
    }
  };
  both(0, 20, kPresent, kPresent);
  both(20, 5, kPresent, kAbsent);
  both(25, 10, kAbsent, kPresent);
  both(35, 15, kAbsent, kAbsent);
  const LabelAgreement plain = label_agreement(Labels(labels).of("refusal"), 1);
  ASSERT_TRUE(plain.cohen.has_value());
  EXPECT_NEAR(plain.cohen->value, 0.4, 1e-12);
  EXPECT_EQ(plain.doubly, 50U);
  EXPECT_EQ(plain.undecided, 15U);

  // A later round, an adjudicator, and an answer that one person has labeled change nothing.
  for (std::uint64_t i = 20; i < 35; ++i) {
    labels.push_back(label(i, "ann", kAbsent, 2));
    labels.push_back(label(i, "chief", kPresent, kAdjudication));
  }
  labels.push_back(label(99, "ann", kPresent));
  const LabelAgreement more = label_agreement(Labels(labels).of("refusal"), 1);
  ASSERT_TRUE(more.cohen.has_value());
  EXPECT_EQ(more.cohen->value, plain.cohen->value);
  EXPECT_EQ(more.krippendorff->value, plain.krippendorff->value);
  EXPECT_EQ(more.undecided, 0U);
  EXPECT_EQ(more.answers, 51U);

  labels.push_back(label(1, "carl", kPresent));
  EXPECT_FALSE(label_agreement(Labels(labels).of("refusal"), 1).cohen.has_value());
}

}  // namespace
}  // namespace understudy
