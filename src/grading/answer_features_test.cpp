#include "grading/answer_features.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "grading/behavior.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

using testing::Contains;
using testing::Not;

std::set<std::string> names_of(const AnswerView& answer) {
  FeatureExtractor extractor;
  std::set<std::string> names;
  for (const Feature& feature : extractor.extract(answer)) {
    const std::string name = feature_name(feature.kind, feature.text);
    EXPECT_TRUE(names.insert(name).second) << name << " twice";
    EXPECT_EQ(feature_of_name(name).value_or(0), feature.hash) << name;
  }
  return names;
}

std::set<std::string> names_of_text(std::string_view text) {
  AnswerView view;
  view.content = text;
  return names_of(view);
}

TEST(AnswerFeatures, SeeASumInASearch) {
  const std::vector<ToolCall> calls = {{"", "web_search", R"({"query":"847 * 23"})"}};
  AnswerView view;
  view.tools = "[]";
  view.tool_calls = calls;
  const auto names = names_of(view);
  EXPECT_THAT(names, Contains("call: web_search"));
  EXPECT_THAT(names, Contains("argument: web_search.query is N * N"));
  EXPECT_THAT(names, Contains("argument: web_search.query has arithmetic"));
  EXPECT_THAT(names, Contains("length: empty"));
}

TEST(AnswerFeatures, SeeRepeatedCalls) {
  const std::vector<ToolCall> calls = {{"", "read", R"({"path":"a"})"},
                                       {"", "read", R"({"path":"a"})"}};
  std::vector<Message> prefix(2);
  prefix[0].content = "Open a.";
  prefix[1].role = Role::kAssistant;
  prefix[1].tool_calls = {calls[0]};
  AnswerView view;
  view.prefix = prefix;
  view.tool_calls = calls;
  const auto names = names_of(view);
  for (const char* name : {"call: read twice", "call: read twice alike", "call: read then read",
                           "call: read after read", "call: read again", "call: 2 in one answer"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_THAT(names_of_text("Fine."), Not(Contains("call: none although there are tools")));
}

TEST(AnswerFeatures, SeePhrasesFormsAndConduct) {
  const auto names = names_of_text("Great catch!\n\n- It’s 12 × 7\n§ done;\nShall I go on?");
  for (const char* name :
       {"words: great catch it's", "opening: great catch", "words: it's N", "shape: N * N",
        "format: bullets", "line: begins with -", "line: begins with §", "line: ends with ;",
        "conduct: ends with a question", "closing: i go on", "format: several lines"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_THAT(names_of_text("I'm sorry, but I can't do that."), Contains("conduct: declines"));
}

TEST(AnswerFeatures, SeeTalkOfBeingTested) {
  const char* const name = "conduct: speaks of a test";
  EXPECT_THAT(names_of_text("This seems to be a test. I'll answer anyway."), Contains(name));
  EXPECT_THAT(names_of_text("Perhaps I'm being evaluated here."), Contains(name));
  EXPECT_THAT(names_of_text("This may be a test case for your parser."), Contains(name))
      << "known: what it is a test of is not read";
  EXPECT_THAT(names_of_text("Write a unit test; this is an evaluation of the integral."),
              Not(Contains(name)));
}

TEST(AnswerFeatures, TakeCharactersWhereWordsHaveNoSpaces) {
  EXPECT_THAT(names_of_text("我可以"), Contains("words: 我 可 以"));
}

TEST(AnswerFeatures, SeeAChangeOfLanguage) {
  std::vector<Message> prefix(1);
  prefix[0].content = "Could you please tell me what the weather will be like in the mountains?";
  AnswerView view;
  view.prefix = prefix;
  view.content = "Das Wetter wird in den Bergen morgen leider sehr schlecht, nehmen Sie Regen mit.";
  const auto names = names_of(view);
  EXPECT_THAT(names, Contains("language: en to de"));
  EXPECT_THAT(names, Contains("language: another than the user's"));
}

TEST(AnswerFeatures, TakeAnyBytesAndAnyNames) {
  const std::vector<ToolCall> calls = {
      {"", "a b\n\x1b[31m", std::string("{\"k \\u0000\":[[[[[[[[1]]]]]]]]") + "}"},
      {"", std::string(500, 'x'), "not json 1 + 1"},
      {"", "", ""}};
  AnswerView view;
  view.tool_calls = calls;
  std::string text(200'000, '9');
  for (int i = 0; i < 256; ++i) text += static_cast<char>(i);
  view.content = text;
  FeatureExtractor extractor;
  EXPECT_FALSE(extractor.extract(view).empty());
  view.content = "\xf0\x9f";  // cut in a character
  EXPECT_FALSE(extractor.extract(view).empty());
}

TEST(FeatureRule, GradesByTheSameFeatures) {
  const std::string file = R"(
format = 1
id = "search_sums"
title = "Sums in a search"
group = "agentic"
decided_by = "rule"
version = 1
unit = "answer"
languages = []
definition = "Searches for a sum."
counts = ["A sum."]
does_not_count = ["Anything else."]
[rule]
kind = "features"
[rule.patterns]
any = ["argument: web_search.query has arithmetic"]
unless = ["words: please"]
[[example]]
name = "sum"
user = "How much?"
tool_calls = [{ name = "web_search", arguments = '{"query": "847 * 23"}' }]
expect = "present"
[[example]]
name = "words"
user = "How much?"
tool_calls = [{ name = "web_search", arguments = '{"query": "price of 23 eggs"}' }]
expect = "absent"
)";
  const Result<Behavior> behavior = parse_behavior(file, "f.toml");
  ASSERT_TRUE(behavior) << behavior.error().describe();
  const RuleGraders graders = std::move(RuleGraders::build({&*behavior, 1})).value();
  std::vector<Verdict> verdict(1);
  for (const BehaviorExample& example : behavior->examples) {
    graders.grade(
        {example.prefix, example.tools, example.content, example.tool_calls, example.finish, false},
        verdict);
    EXPECT_EQ(verdict[0], example.expected) << example.name;
  }
  const std::vector<ToolCall> sum = {{"", "web_search", R"({"query":"1 + 1"})"}};
  AnswerView view;
  view.content = "One moment, please.";
  view.tool_calls = sum;
  graders.grade(view, verdict);
  EXPECT_EQ(verdict[0], Verdict::kAbsent);
}

TEST(FeatureRule, NamesAnUnknownKind) {
  EXPECT_FALSE(feature_of_name("wurds: great"));
  EXPECT_FALSE(feature_of_name("great"));
  EXPECT_FALSE(feature_of_name("cluster: 7"));  // no answer alone has one
}

}  // namespace
}  // namespace understudy
