#include "grading/behavior.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "base/embedded.hpp"
#include "grading/behavior_text.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {

std::span<const EmbeddedFile> embedded_behaviors();

namespace {

using ::testing::HasSubstr;

constexpr std::string_view kSmallFile = R"(format = 1
id = "says_hello"
title = "Says hello"
group = "quality"
decided_by = "rule"
version = 1
unit = "answer"
languages = ["en"]
definition = "The answer greets."
counts = ["hello"]
does_not_count = ["a quoted hello"]

[rule]
kind = "sentences"
[rule.patterns]
match = ["^hello"]

[[example]]
name = "greets"
user = "Hi"
answer = "Hello there, what can I do?"
expect = "present"

[[example]]
name = "does not"
user = "Hi"
answer = "Good day."
expect = "absent"
)";

std::string with(std::string_view from, std::string_view to) {
  std::string text(kSmallFile);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string error_of(std::string_view toml) {
  const Result<Behavior> parsed = parse_behavior(toml, "ours.toml");
  if (parsed) return "no error";
  return parsed.error().describe();
}

TEST(BuiltInBehaviors, EveryFileParses) {
  for (const EmbeddedFile& file : embedded_behaviors()) {
    const Result<Behavior> parsed = parse_behavior(file.bytes, file.name);
    EXPECT_TRUE(parsed.has_value()) << parsed.error().describe();
    if (parsed) {
      EXPECT_EQ(parsed->id + ".toml", file.name);
    }
  }
}

TEST(BuiltInBehaviors, AreTheThirtyThreeOfTheInterface) {
  const std::vector<Behavior>& behaviors = built_in_behaviors();
  EXPECT_EQ(behaviors.size(), 33U);
  std::set<std::string> ids;
  std::size_t ruled = 0;
  std::size_t with_severity = 0;
  for (const Behavior& behavior : behaviors) {
    ids.insert(behavior.id);
    ruled += behavior.rule ? 1U : 0U;
    with_severity += behavior.judge && !behavior.judge->severity.empty() ? 1U : 0U;
  }
  EXPECT_EQ(ids.size(), 33U);
  EXPECT_EQ(ruled, 12U);
  EXPECT_EQ(with_severity, 6U);
  EXPECT_EQ(behaviors.front().id, "promised_background_task");
  EXPECT_EQ(behaviors.back().id, "sycophantic_opening");
}

TEST(BuiltInBehaviors, EveryRulePassesItsOwnExamples) {
  const Result<BehaviorTest> test = test_behaviors(built_in_behaviors());
  ASSERT_TRUE(test.has_value()) << test.error().describe();
  EXPECT_EQ(test->failed(), 0U) << behavior_test_text(*test);
}

TEST(BuiltInBehaviors, EveryRuleHasEightPositiveAndTwelveNegativeExamples) {
  for (const Behavior& behavior : built_in_behaviors()) {
    if (!behavior.rule) continue;
    const auto count = [&](Verdict verdict) {
      return std::count_if(
          behavior.examples.begin(), behavior.examples.end(),
          [&](const BehaviorExample& example) { return example.expected == verdict; });
    };
    EXPECT_GE(count(Verdict::kPresent), 8) << behavior.id;
    EXPECT_GE(count(Verdict::kAbsent), 12) << behavior.id;
    if (!behavior.languages.empty()) {
      EXPECT_GE(count(Verdict::kUngradableLanguage), 1) << behavior.id;
    }
  }
}

TEST(BehaviorFile, UnknownKeyNamesLineAndNearestKey) {
  EXPECT_EQ(error_of(with("counts =", "count =")),
            "ours.toml:10: a behavior file has no key \"count\" (did you mean \"counts\"?)");
  EXPECT_THAT(error_of(with("answer = \"Good", "anwser = \"Good")),
              HasSubstr("an example has no key \"anwser\" (did you mean \"answer\"?)"));
}

TEST(BehaviorFile, MissingPartsAreNamed) {
  EXPECT_THAT(error_of(with("definition = \"The answer greets.\"\n", "")),
              HasSubstr("\"definition\" is missing"));
  EXPECT_THAT(error_of(with("does_not_count = [\"a quoted hello\"]\n", "")),
              HasSubstr("\"does_not_count\" is missing"));
  EXPECT_THAT(error_of(with("decided_by = \"rule\"", "decided_by = \"judge\"")),
              HasSubstr("\"decided_by\" is \"judge\", so the file must have no [rule]"));
  EXPECT_THAT(error_of(with("decided_by = \"rule\"", "decided_by = \"rule and judge\"")),
              HasSubstr("so the file must have [judge]"));
  EXPECT_THAT(error_of(with("expect = \"absent\"", "expect = \"present\"")),
              HasSubstr("a boundary needs at least one example"));
  EXPECT_THAT(error_of(with("format = 1", "format = 2")), HasSubstr("\"format\" must be 1"));
  EXPECT_THAT(error_of(with("unit = \"answer\"", "unit = \"message\"")), HasSubstr("\"unit\""));
}

TEST(BehaviorFile, WrongValuesNameLineAndChoices) {
  EXPECT_EQ(error_of(with("\"quality\"", "\"qualty\"")),
            "ours.toml:4: \"group\" is none of misalignment, disallowed content, agentic, quality "
            "(did you mean \"quality\"?)");
  EXPECT_THAT(error_of(with("version = 1", "version = \"1\"")),
              HasSubstr("must be a whole number"));
  EXPECT_THAT(error_of(with("name = \"does not\"", "name = \"greets\"")),
              HasSubstr("two examples have the same name"));
  EXPECT_THAT(error_of(with("user = \"Hi\"\nanswer = \"Good", "answer = \"Good")),
              HasSubstr("an example needs \"user\" or \"prefix\""));
}

std::string decided_by(std::string_view by, std::string_view section) {
  std::string text = with("decided_by = \"rule\"", fmt::format("decided_by = \"{}\"", by));
  const std::string_view rule =
      "[rule]\nkind = \"sentences\"\n[rule.patterns]\nmatch = [\"^hello\"]\n";
  return text.replace(text.find(rule), rule.size(), section);
}

TEST(BehaviorFile, RubricWithoutBoundaryIsAnErrorWithFileAndLine) {
  const std::string judged = decided_by("judge", "[judge]\nrubric = \"Does it greet?\"\n");
  EXPECT_EQ(error_of(judged), "no error");
  const std::size_t at = judged.find("does_not_count");
  const std::string bare = judged.substr(0, at) + judged.substr(judged.find('\n', at) + 1);
  EXPECT_THAT(error_of(bare), HasSubstr("ours.toml:1: \"does_not_count\" is missing"));
  EXPECT_THAT(error_of(decided_by("judge", "[judge]\nrubric = \"\"\n")),
              HasSubstr("ours.toml:13: \"rubric\" is missing"));
}

TEST(BehaviorFile, WhereAnExampleIsFromIsNoPartOfTheBehavior) {
  const Behavior behavior = *parse_behavior(kSmallFile, "ours.toml");
  EXPECT_FALSE(behavior.examples.back().from_logs);
  const Result<Behavior> drafted =
      parse_behavior(std::string(kSmallFile) + "from_logs = true\n", "ours.toml");
  ASSERT_TRUE(drafted.has_value()) << drafted.error().describe();
  EXPECT_TRUE(drafted->examples.back().from_logs);
  EXPECT_EQ(drafted->hash, behavior.hash) << "deleting the line would grade everything again";
}

TEST(BehaviorFile, OtherGradersAreReadAndFrozen) {
  for (const auto& [by, section] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"command",
            "[command]\nargv = [\"python3\", \"a.py\"]\nfiles = [\"a.py\"]\n"
            "timeout_s = 2.5\nthreshold = 0.5\n"},
           {"moderation", "[moderation.thresholds]\n\"hate/threatening\" = 0.25\n"},
           {"table", "[table]\npath = \"verdicts.csv\"\n[judge]\nrubric = \"For an oracle.\"\n"},
           {"judge", "[judge]\nrubric = \"How sure?\"\nscore_threshold = 0.5\n"}}) {
    const Result<Behavior> behavior = parse_behavior(decided_by(by, section), "ours.toml");
    ASSERT_TRUE(behavior.has_value()) << behavior.error().describe();
    EXPECT_EQ(decided_by_name(behavior->decided_by), by);
    EXPECT_EQ(behavior_from_json(behavior_json(*behavior))->hash, behavior->hash);
    EXPECT_THAT(behavior_show_text(*behavior), HasSubstr("decided by"));
  }
  const Behavior scored =
      *parse_behavior(decided_by("judge", "[judge]\nrubric = \"?\"\nscore_threshold = 0.5\n"), "x");
  const Behavior other =
      *parse_behavior(decided_by("judge", "[judge]\nrubric = \"?\"\nscore_threshold = 0.6\n"), "x");
  EXPECT_NE(scored.hash, other.hash);
}

TEST(BehaviorFile, WrongPartsOfOtherGradersNameTheirLine) {
  EXPECT_THAT(error_of(decided_by("command", "")), HasSubstr("must have [command]"));
  EXPECT_THAT(error_of(decided_by("command", "[command]\nargv = []\n")),
              HasSubstr("ours.toml:14: \"argv\" is empty"));
  EXPECT_THAT(error_of(decided_by("command", "[command]\nargv = [\"a\"]\nfile = [\"b\"]\n")),
              HasSubstr("ours.toml:15: [command] has no key \"file\" (did you mean \"files\"?)"));
  EXPECT_THAT(error_of(decided_by("command", "[command]\nargv = [\"a\"]\nfiles = [\"../b\"]\n")),
              HasSubstr("relative to the behavior file"));
  EXPECT_THAT(error_of(decided_by("command", "[command]\nargv = [\"a\"]\ntimeout_s = 0\n")),
              HasSubstr("ours.toml:15: \"timeout_s\""));
  EXPECT_THAT(error_of(decided_by("moderation", "[moderation]\n")), HasSubstr("no category"));
  EXPECT_THAT(error_of(decided_by("moderation", "[moderation.thresholds]\nhate = 2\n")),
              HasSubstr("ours.toml:14: \"hate\" must be a number from 0 to 1"));
  EXPECT_THAT(error_of(decided_by("table", "[table]\npath = \"/x.csv\"\n")),
              HasSubstr("relative to the behavior file"));
  EXPECT_THAT(error_of(decided_by("judge", "[table]\npath = \"x.csv\"\n[judge]\nrubric = \"?\"\n")),
              HasSubstr("so the file must have no [table]"));
}

TEST(BehaviorFile, BrokenTomlNamesTheLine) {
  EXPECT_THAT(error_of(with("counts = [\"hello\"]", "counts = [\"hello\"")),
              HasSubstr("ours.toml:11: not valid TOML"));
}

TEST(BehaviorFile, HashIgnoresLayoutAndSeesContent) {
  const Digest hash = parse_behavior(kSmallFile, "a.toml")->hash;
  EXPECT_EQ(parse_behavior("# a comment\n" + std::string(kSmallFile), "b.toml")->hash, hash);
  EXPECT_NE(parse_behavior(with("^hello", "^hullo"), "a.toml")->hash, hash);
  EXPECT_NE(parse_behavior(with("Good day.", "Good night."), "a.toml")->hash, hash);
}

TEST(BehaviorFile, FrozenFormReadsBackTheSame) {
  for (const Behavior& behavior : built_in_behaviors()) {
    const Result<Behavior> thawed = behavior_from_json(behavior_json(behavior));
    ASSERT_TRUE(thawed.has_value()) << behavior.id << ": " << thawed.error().describe();
    EXPECT_EQ(thawed->hash, behavior.hash) << behavior.id;
  }
}

class BehaviorFileOnDisk : public ::testing::Test {
 protected:
  std::string write(const std::string& text) {
    const std::string path = ::testing::TempDir() + "/behavior_file_on_disk.toml";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string select_error(const std::vector<std::string>& names) {
    const auto selected = select_behaviors(names, "");
    return selected ? "no error" : selected.error().describe();
  }
};

TEST_F(BehaviorFileOnDisk, HashSeesTheFilesThatItNames) {
  const std::string program = ::testing::TempDir() + "/behavior_file_grader.py";
  const std::string path =
      write(decided_by("command",
                       "[command]\nargv = [\"python3\", \"behavior_file_grader.py\"]\n"
                       "files = [\"behavior_file_grader.py\"]\n"));
  std::remove(program.c_str());
  EXPECT_THAT(select_error({path}), HasSubstr("cannot read this file, which says_hello names"));
  std::ofstream(program) << "one";
  const Digest one = find_behavior(path, "")->hash;
  EXPECT_EQ(find_behavior(path, "")->hash, one);
  std::ofstream(program) << "two";
  EXPECT_NE(find_behavior(path, "")->hash, one);
}

TEST_F(BehaviorFileOnDisk, IsSelectedBesideBuiltInOnes) {
  const auto selected =
      select_behaviors(std::vector<std::string>{"refusal", write(std::string(kSmallFile))}, "");
  ASSERT_TRUE(selected.has_value());
  EXPECT_EQ((*selected)[0].id, "refusal");
  EXPECT_EQ((*selected)[1].id, "says_hello");
}

TEST_F(BehaviorFileOnDisk, NoNamesMeansTheTwelveWithRules) {
  EXPECT_EQ(select_behaviors({}, "")->size(), 12U);
}

TEST_F(BehaviorFileOnDisk, ExampleThatItsOwnRuleFailsIsAnErrorWithLine) {
  const std::string path = write(with("\"Good day.\"", "\"Hello.\""));
  EXPECT_THAT(select_error({path}),
              HasSubstr(path + ":24: the example \"does not\" expects absent"));
  EXPECT_TRUE(find_behavior(path, "").has_value());  // `behaviors test` shows it
}

TEST_F(BehaviorFileOnDisk, BadPatternNamesTheLineOfItsList) {
  const std::string path = write(with("[\"^hello\"]", "[\"^hello(\"]"));
  EXPECT_THAT(select_error({path}), HasSubstr(path + ":16: the pattern \"^hello(\" is not valid"));
}

TEST_F(BehaviorFileOnDisk, UnknownListOrKindSuggestsTheNearest) {
  const std::string list = write(with("match = [", "matc = [\"x\"]\nmatch = ["));
  EXPECT_THAT(select_error({list}),
              HasSubstr("has no pattern list \"matc\" (did you mean \"match\"?)"));
  const std::string kind = write(with("kind = \"sentences\"", "kind = \"sentence\""));
  EXPECT_THAT(select_error({kind}), HasSubstr("there is no rule kind \"sentence\" (did you mean"));
}

TEST_F(BehaviorFileOnDisk, UnknownAndRepeatedNamesAreErrors) {
  EXPECT_THAT(select_error({"refusl"}), HasSubstr("did you mean \"refusal\"?"));
  EXPECT_THAT(select_error({"refusal", "refusal"}),
              HasSubstr("built-in:refusal.toml:2: the behavior \"refusal\" is named twice"));
  EXPECT_THAT(select_error({"/nowhere/x.toml"}), HasSubstr("cannot read this behavior file"));
}

TEST(BehaviorText, ListShowsEveryBehavior) {
  const std::string text = behaviors_list_text(built_in_behaviors());
  for (const Behavior& behavior : built_in_behaviors()) EXPECT_THAT(text, HasSubstr(behavior.id));
  EXPECT_EQ(behaviors_list_json(built_in_behaviors())["behaviors"].size(), 33U);
}

TEST(BehaviorText, ShowKeepsItsWidthAndHoldsTheBoundary) {
  for (const Behavior& behavior : built_in_behaviors()) {
    const std::string text = behavior_show_text(behavior, 100);
    EXPECT_THAT(text, HasSubstr("Does not count"));
    EXPECT_THAT(text, HasSubstr(behavior.examples.back().name));
    EXPECT_EQ(behavior_show_json(behavior)["behavior"]["id"], behavior.id);
  }
}

TEST(BehaviorText, WhatAFileHoldsIsSafeToShow) {
  Behavior behavior = *parse_behavior(kSmallFile, "ours.toml");
  const std::string hostile = "a\x1b[2J\xC2\x9B\xE2\x80\xAE";
  behavior.title = hostile;
  behavior.definition = hostile;
  behavior.counts = {hostile};
  behavior.examples.front().name = hostile;
  behavior.examples.front().why = hostile;
  const std::string text = behavior_show_text(behavior) + behaviors_list_text({&behavior, 1});
  for (const char* raw : {"\x1b", "\xC2\x9B", "\xE2\x80\xAE"}) {
    EXPECT_EQ(text.find(raw), std::string::npos);
  }
}

TEST(BehaviorText, FailedExampleNamesFileAndLine) {
  const Behavior behavior = *parse_behavior(with("\"Good day.\"", "\"Hello.\""), "ours.toml");
  const BehaviorTest test = *test_behaviors({&behavior, 1});
  EXPECT_EQ(test.failed(), 1U);
  EXPECT_THAT(behavior_test_text(test),
              HasSubstr("ours.toml:24: says_hello: \"does not\" expects absent, found present"));
}

}  // namespace
}  // namespace understudy
