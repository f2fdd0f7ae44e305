#include "report/terminal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "base/text.hpp"
#include "report/testdata.hpp"

namespace understudy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TerminalOptions options(std::size_t width) {
  TerminalOptions out;
  out.width = width;
  out.color = false;
  out.run_note = "4 min 51 s · no cost";
  out.html_path = "demo/report.html";
  out.next_steps = {"look closer  understudy view demo", "freeze it  understudy forecast demo"};
  return out;
}

std::string table(const Json& report, const TerminalOptions& with) {
  return *terminal_table(report, with);
}

TEST(TerminalTable, Golden120Columns) {
  testdata::expect_golden("terminal_120.txt", table(testdata::report(), options(120)));
}

TEST(TerminalTable, Golden80Columns) {
  testdata::expect_golden("terminal_80.txt", table(testdata::report(), options(80)));
}

TEST(TerminalTable, GoldenPlain) {
  TerminalOptions plain = options(100);
  plain.unicode = false;
  const std::string text = table(testdata::report(), plain);
  testdata::expect_golden("terminal_plain.txt", text);
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7F));
}

TEST(TerminalTable, ColorsAddNothingButEscapes) {
  TerminalOptions colored = options(120);
  colored.color = true;
  std::string text = table(testdata::report(), colored);
  EXPECT_THAT(text, HasSubstr("\x1b["));
  for (std::size_t at; (at = text.find('\x1b')) != std::string::npos;) {
    text.erase(at, text.find('m', at) - at + 1);
  }
  // Padding before an escape is not trimmed at the end of a line.
  std::string trimmed_lines;
  for (const std::string_view line : split(text, '\n')) {
    trimmed_lines.append(line.substr(0, line.find_last_not_of(' ') + 1)).append("\n");
  }
  trimmed_lines.pop_back();
  EXPECT_EQ(trimmed_lines, table(testdata::report(), options(120)));
}

TEST(TerminalTable, NoLineIsWiderThanTheTerminal) {
  Json report = testdata::report();
  report["behaviors"][1]["name"] = std::string(70, 'x');
  report["behaviors"][2]["name"] = "a_very_long_name_of_a_behavior_that_someone_wrote_themselves";
  report["study"]["arms"]["candidate"]["model"] = "vllm/" + std::string(90, 'm');
  report["study"]["arms"]["deployed"]["model"] =
      "模型名称很长很长很长很长很长很长很长很长很长很长很长";
  report["behaviors"][3]["candidate"]["screen"]["hi"] = 99999.9;
  for (const std::size_t width : {60UL, 72UL, 80UL, 100UL, 120UL, 200UL}) {
    for (const bool unicode : {true, false}) {
      TerminalOptions with = options(width);
      with.unicode = unicode;
      const std::string text = table(report, with);
      for (const std::string_view line : split(text, '\n')) {
        EXPECT_LE(display_width(line), width) << line;
      }
    }
  }
}

TEST(TerminalTable, EveryRateHasItsInterval) {
  for (const std::string& text : {table(testdata::report(), options(120))}) {
    for (const std::string_view line : split(text, '\n')) {
      if (!line.starts_with("▲") && !line.starts_with("▼")) continue;
      EXPECT_GE(std::count(line.begin(), line.end(), '('), 3) << line;
    }
  }
}

TEST(TerminalTable, TheMissBoundStandsBesideARateRelativeToTheScreen) {
  Json report = testdata::report();
  Json& behaviors = report["behaviors"];
  Json& refusal = *std::find_if(behaviors.begin(), behaviors.end(),
                                [](const Json& behavior) { return behavior["name"] == "refusal"; });
  refusal["alarms"] = {"screen_relative"};
  refusal["miss_bound_per_100k"] = 1010.4;
  EXPECT_THAT(table(report, options(120)), HasSubstr("the grader misses at most"));
  refusal["alarms"] = Json::array();
  EXPECT_THAT(table(report, options(120)), Not(HasSubstr("the grader misses at most")));
}

TEST(TerminalTable, AnEmptyReportSaysNothingFalse) {
  const Json report = {{"schema", "understudy.report/1"}, {"behaviors", Json::array()}};
  const std::string text = table(report, options(80));
  EXPECT_THAT(text, HasSubstr("per 100,000 turns"));
  EXPECT_THAT(text, HasSubstr("uses that no log holds"));
  EXPECT_THAT(text, Not(HasSubstr("conversations")));
}

TEST(TerminalTable, ContradictingCountsAreShown) {
  Json report = testdata::report();
  report["counts"]["draws"]["candidate"]["completed"] = 149;
  EXPECT_THAT(table(report, options(120)), HasSubstr("! the counts do not add up: candidate"));
}

TEST(TerminalTable, LogTextCanNotDriveTheTerminal) {
  const std::string hostile =
      "x\x1b]0;owned\x07\x1b[2J\r\n\x9b"
      "31m\u202e\u009b";
  Json report = testdata::report();
  for (Json& behavior : report["behaviors"]) {
    behavior["name"] = behavior["name"].get<std::string>() + hostile;
  }
  report["study"]["name"] = hostile;
  report["study"]["arms"]["candidate"]["model"] = hostile;
  report["counts"]["draws"]["candidate"]["failed"] = {{hostile, 2}};
  report["limits"][0]["text"] = hostile;
  const std::string text = table(report, options(100));
  EXPECT_EQ(text, replace_invalid_utf8(text));
  EXPECT_THAT(text, Not(HasSubstr("\u202e")));
  EXPECT_THAT(text, Not(HasSubstr("\u009b")));
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST(Wrapped, BreaksAtSpacesThenAfterSeparators) {
  EXPECT_THAT(wrapped("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(wrapped("promised_background_task", 15), ElementsAre("promised_", "background_task"));
  EXPECT_THAT(wrapped("abcdefgh", 3), ElementsAre("abc", "def", "gh"));
  EXPECT_THAT(wrapped("", 5), ElementsAre(""));
  EXPECT_THAT(wrapped("模型名称", 4), ElementsAre("模型", "名称"));
}

TEST(Wrapped, LosesNothingAndKeepsTheWidth) {
  rc::check([](const std::string& bytes, unsigned char size) {
    const std::string text = terminal_safe(bytes);
    const std::size_t width = 2 + size % 40;
    std::string joined;
    for (const std::string& line : wrapped(text, width)) {
      RC_ASSERT(display_width(line) <= width);
      joined += line;
    }
    std::string without_spaces = text;
    std::erase(without_spaces, ' ');
    std::erase(joined, ' ');
    RC_ASSERT(joined == without_spaces);
  });
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width("×19 (7–46)"), 10U);
  EXPECT_EQ(display_width("模型"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
  EXPECT_EQ(display_width("🙂"), 2U);
}

}  // namespace
}  // namespace understudy
