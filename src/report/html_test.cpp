#include "report/html.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"
#include "report/html_forecast.hpp"
#include "report/html_text.hpp"
#include "report/numbers.hpp"
#include "report/plot.hpp"
#include "report/testdata.hpp"

namespace understudy {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string page(const Json& report, const HtmlOptions& options = {}) {
  return *html_report(report, options);
}

HtmlOptions with_example(const std::string& text) {
  ExampleTranscript example;
  example.id = text;
  example.arm = "candidate";
  example.verdict = text;
  example.prefix_shortened = true;
  example.prefix_tail = {{"user", text, {}}, {text, text, {{0, 3}}}};
  example.answer = {"assistant", text, {{1, 4}, {2, 900}}};
  HtmlOptions options;
  options.study_name = text;
  options.examples["refusal"] = {example};
  options.notes = {text};
  return options;
}

// The page's markup: every tag with its attributes, in order; the style sheet is taken out.
std::vector<std::string> tags_of(std::string html) {
  const std::size_t style = html.find("<style>") + 7;
  html.erase(style, html.find("</style>") - style);
  std::vector<std::string> tags;
  for (std::size_t at = 0; (at = html.find('<', at)) != std::string::npos;) {
    const std::size_t end = html.find('>', at);
    tags.push_back(html.substr(at, end - at + 1));
    at = end;
  }
  return tags;
}

// What text may change: where a name can be broken, where evidence is marked, and ids from names.
std::vector<std::string> structure_of(const std::string& html) {
  std::vector<std::string> out;
  for (const std::string& tag : tags_of(html)) {
    if (tag == "<wbr>" || tag == "<mark>" || tag == "</mark>") continue;
    const std::size_t id = std::min(tag.find("\"b-"), tag.find("\"#b-"));
    if (id == std::string::npos) {
      out.push_back(tag);
    } else {
      const std::string name = tag.substr(id + 1, tag.find('"', id + 1) - id - 1);
      EXPECT_EQ(name.find_first_not_of(
                    "#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"),
                std::string::npos);
      out.push_back(tag.substr(0, id + 1) + tag.substr(tag.find('"', id + 1)));
    }
  }
  return out;
}

// Every place in a report where a stranger could write.
Json with_text_everywhere(const std::string& text) {
  Json report = testdata::report();
  report["manifest_hash"] = text;
  report["understudy_version"] = text;
  for (const char* key : {"name", "seed", "design", "cluster", "source"})
    report["study"][key] = text;
  for (Json& arm : report["study"]["arms"]) arm["model"] = text;
  report["counts"]["draws"]["candidate"]["failed"] = {{text, 2}};
  report["counts"]["conversations"]["excluded"] = {{text, 6885}};
  report["counts"]["conversations"]["rejected"] = {{text, 1}};
  for (Json& limit : report["limits"]) limit["text"] = text;
  for (Json& behavior : report["behaviors"]) {
    for (const char* key : {"title", "definition", "group", "decided_by", "version", "hash"}) {
      behavior[key] = text;
    }
    behavior["alarms"] = {text};
    behavior["recall"] = {{{"channel", text},
                           {"judge", text},
                           {"source_model", text},
                           {"positives", 20},
                           {"flagged", 17},
                           {"lo", 0.62},
                           {"hi", 0.97},
                           {"transferred", false},
                           {"stale", true}}};
    behavior["candidate"]["screen"]["method"] = text;
    if (behavior["name"] == "refusal") continue;  // its examples are found by name
    behavior["name"] = behavior["name"].get<std::string>().substr(0, 3) + text;
  }
  return report;
}

TEST(HtmlReport, RecallStandsByChannelScreenAndModel) {
  const std::string html = page(with_text_everywhere("Some words"));
  EXPECT_THAT(html, HasSubstr("17 of 20 (62%–97%)"));
  EXPECT_THAT(html, HasSubstr("older grader"));
}

constexpr std::array<const char*, 22> kHostile = {
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=\"alert(1)",
    "<!-- ",
    "--><b>",
    "]]><![CDATA[<x>",
    "<details open ontoggle=alert(1)>",
    "</details></li></ol></article><h1>owned</h1>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "javascript:alert(1)",
    "<a href=\"javascript:alert(1)\">click</a>",
    "<meta http-equiv=refresh content=0;url=//example.com>",
    "<base href=//example.com>",
    "<\xC0\xBCscript>",
    "\xFF\xFE<\x00script>",
    "\u202e<tpircs>\u2066",
    "\x1b[31m<style>*{display:none}</style>",
    "<iframe srcdoc=\"<script>alert(1)</script>\">"};

TEST(HtmlReport, NoTextBecomesMarkup) {
  const std::vector<std::string> expected =
      structure_of(page(with_text_everywhere("plain text"), with_example("plain text")));
  for (const std::string text : kHostile) {
    const std::string html = page(with_text_everywhere(text), with_example(text));
    EXPECT_EQ(structure_of(html), expected) << text;
    EXPECT_TRUE(is_valid_utf8(html));
    EXPECT_THAT(html, Not(HasSubstr("\u202e")));
    for (const char c : html) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  }
}

TEST(HtmlReport, RandomBytesNeverBecomeMarkup) {
  const std::vector<std::string> expected =
      structure_of(page(testdata::report(), with_example("plain text")));
  rc::check([&](const std::string& text, std::vector<std::pair<unsigned char, unsigned char>> at) {
    HtmlOptions options = with_example("pre<" + text + ">\"'&" + text);
    auto& evidence = options.examples["refusal"][0].answer.evidence;
    for (const auto& [begin, end] : at) evidence.push_back({begin, end});
    const std::string html = page(testdata::report(), options);
    RC_ASSERT(structure_of(html) == expected);
    RC_ASSERT(is_valid_utf8(html));
  });
}

TEST(HtmlReport, EveryElementIsClosedInOrder) {
  const std::set<std::string> kVoid = {"meta", "br", "wbr"};
  std::vector<std::string> open;
  for (const std::string& tag : tags_of(page(testdata::report(), with_example("x")))) {
    if (tag.starts_with("<!") || tag.ends_with("/>")) continue;
    const std::size_t begin = tag[1] == '/' ? 2 : 1;
    const std::string name = tag.substr(begin, tag.find_first_of(" >", begin) - begin);
    if (kVoid.contains(name)) continue;
    if (begin == 1) {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    ASSERT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_THAT(open, IsEmpty());
}

TEST(HtmlReport, NeedsNothingFromElsewhere) {
  const std::string html = page(testdata::report(), with_example("x"));
  for (const char* forbidden : {"<script", "<link", "<img", "<iframe", "http://", "https://",
                                "url(", "@import", "src=", " style=", " on"}) {
    for (const std::string& tag : tags_of(html)) EXPECT_THAT(tag, Not(HasSubstr(forbidden)));
  }
  const std::string style = html.substr(html.find("<style>"), html.find("</style>"));
  EXPECT_THAT(style, Not(HasSubstr("url(")));
  EXPECT_THAT(style, Not(HasSubstr("@import")));
}

TEST(HtmlReport, ThePolicyLetsInItsOwnStyleOnly) {
  const std::string html = page(testdata::report());
  EXPECT_THAT(html, HasSubstr("default-src 'none'; style-src 'sha256-"));
  // The policy stands before the first thing that it governs.
  EXPECT_LT(html.find("Content-Security-Policy"), html.find("<style>"));
  EXPECT_THAT(html, Not(HasSubstr("unsafe-inline")));
}

TEST(HtmlReport, SameInputSameBytes) {
  EXPECT_EQ(page(testdata::report(), with_example("x")),
            page(testdata::report(), with_example("x")));
}

TEST(HtmlReport, LinksLeadSomewhereAndIdsAreUnique) {
  std::multiset<std::string> ids;
  std::set<std::string> targets;
  for (const std::string& tag : tags_of(page(testdata::report()))) {
    for (const auto& [attribute, into_targets] :
         {std::pair(" id=\"", false), std::pair(" href=\"#", true)}) {
      const std::size_t at = tag.find(attribute);
      if (at == std::string::npos) continue;
      const std::size_t begin = at + std::string(attribute).size();
      const std::string value = tag.substr(begin, tag.find('"', begin) - begin);
      into_targets ? (void)targets.insert(value) : (void)ids.insert(value);
    }
  }
  for (const std::string& id : ids) EXPECT_EQ(ids.count(id), 1U) << id;
  for (const std::string& target : targets) EXPECT_TRUE(ids.contains(target)) << target;
}

TEST(HtmlReport, ShowsTheNumbersOfTheViewModel) {
  const std::string html = page(testdata::report());
  const ReportView view = *report_view(testdata::report());
  for (const BehaviorView& behavior : view.behaviors) {
    for (const auto& rate : {behavior.now, behavior.now_replay, behavior.next}) {
      if (rate && behavior.finding != Finding::kNotMeasured) {
        EXPECT_THAT(html, HasSubstr(html_line(rate_text(*rate, {}))));
      }
    }
  }
  for (const char* number : {"17,671", "10,786", "31,204", "12,004", "9,460"}) {
    EXPECT_THAT(html, HasSubstr(number));
  }
}

TEST(HtmlReport, EveryRateOfAnArmHasItsCountsAndMethod) {
  EXPECT_THAT(page(testdata::report()),
              HasSubstr("<tr><th scope=\"row\">Candidate</th><td data-label=\"Rate\">screen</td>"
                        "<td data-label=\"Per 100,000\">6,000 (3,000–11,000)</td>"
                        "<td data-label=\"Found\">9</td><td data-label=\"Of\">148</td>"
                        "<td data-label=\"Method\">jeffreys, clustered</td></tr>"));
}

TEST(HtmlReport, EveryRowHasAsManyCellsAsItsTableHasColumns) {
  std::size_t columns = 0;  // of the table so far; 0: its first row is still open
  std::size_t cells = 0;
  std::size_t rows = 0;
  for (const std::string& tag : tags_of(page(testdata::report(), with_example("x")))) {
    if (tag.starts_with("<table")) columns = 0;
    if (tag == "<tr>" || tag.starts_with("<tr ")) cells = 0;
    if (tag.starts_with("<td") || tag.starts_with("<th ") || tag == "<th>") {
      const std::size_t span = tag.find("colspan=\"");
      cells += span == std::string::npos ? 1 : std::stoul(tag.substr(span + 9));
    }
    if (tag != "</tr>") continue;
    ++rows;
    if (columns == 0) columns = cells;
    EXPECT_EQ(cells, columns) << "row " << rows;
  }
  EXPECT_GT(rows, 100U);
}

TEST(HtmlReport, EveryPlotHasATitleAndADescription) {
  const std::string html = page(testdata::report());
  const auto count = [&](std::string_view text) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = html.find(text, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  EXPECT_EQ(count("role=\"img\""), 11U) << "one for each measured behavior";
  EXPECT_EQ(count("<desc>"), count("role=\"img\""));
  EXPECT_EQ(count("<svg"),
            count("role=\"img\"") + count("aria-hidden=\"true\"") + count("<svg x="));
}

TEST(HtmlReport, ContradictingCountsAreShown) {
  Json report = testdata::report();
  report["counts"]["prefixes"]["frame"] = 1;
  EXPECT_THAT(page(report), HasSubstr("These counts do not add up"));
  EXPECT_THAT(page(testdata::report()), Not(HasSubstr("These counts do not add up")));
}

TEST(HtmlReport, AnEmptyReportIsAPage) {
  const Json report = {{"schema", "understudy.report/1"}, {"behaviors", Json::array()}};
  EXPECT_THAT(page(report), HasSubstr("0 behaviors"));
  EXPECT_FALSE(html_report(Json::object(), {}));
}

TEST(HtmlReport, ALongMessageIsShownAroundItsEvidence) {
  HtmlOptions options = with_example("x");
  ExampleMessage& answer = options.examples["refusal"][0].answer;
  answer.text = std::string(200'000, 'a') + "here" + std::string(200'000, 'b');
  answer.evidence = {{200'000, 200'004}};
  const std::string html = page(testdata::report(), options);
  EXPECT_THAT(html, HasSubstr("<mark>here</mark>"));
  EXPECT_THAT(html, HasSubstr("198,500 bytes left out"));
  EXPECT_LT(html.size(), 200'000U);
}

TEST(HtmlMarked, RangesAreCutMovedAndMerged) {
  EXPECT_EQ(html_marked("abcdef", {{1, 3}, {2, 4}}), "a<mark>bcd</mark>ef");
  EXPECT_EQ(html_marked("abc", {{2, 900}, {0, 0}}), "ab<mark>c</mark>");
  EXPECT_EQ(html_marked("äö", {{1, 3}}), "<mark>äö</mark>") << "whole code points";
  EXPECT_EQ(html_marked("a<b", {{1, 2}}), "a<mark>&lt;</mark>b");
  EXPECT_EQ(html_marked("one\r\ntwo", {{0, 3}}), "<mark>one</mark>\ntwo");
}

TEST(LogAxis, PositionsFollowTheLogarithmAndStayInside) {
  const LogAxis axis{.first = 0, .last = 4};
  EXPECT_DOUBLE_EQ(axis.position(1), 3);
  EXPECT_DOUBLE_EQ(axis.position(100), 50);
  EXPECT_DOUBLE_EQ(axis.position(1e4), 97);
  EXPECT_DOUBLE_EQ(axis.position(0), 3);
  EXPECT_DOUBLE_EQ(axis.position(1e5), 97);
}

TEST(AxisFor, HoldsEveryRateAndHasTwoDecades) {
  const LogAxis axis = axis_for(*report_view(testdata::report()));
  EXPECT_EQ(axis.first, 0);
  EXPECT_EQ(axis.last, 5);
  const LogAxis empty = axis_for(ReportView());
  EXPECT_GE(empty.last - empty.first, 2);
}

TEST(IntervalSvg, AnUnseenRateHasAnArrowAndNoMark) {
  BehaviorView behavior;
  behavior.name = "b";
  behavior.finding = Finding::kUnseen;
  behavior.next = RateView{.per_100k = 0, .lo = 0, .hi = 1980, .n = 148, .k = 0, .method = {}};
  const std::string svg = interval_svg(behavior, {});
  EXPECT_THAT(svg, HasSubstr("<path"));
  EXPECT_THAT(svg, Not(HasSubstr("<circle")));
  EXPECT_THAT(svg, HasSubstr("candidate 0 (0–2,000)"));
}

// --- Forecast and verification

Json frozen(const char* name) {
  return *parse_json(testdata::read(std::string("tests/cases/report/") + name + ".json"));
}

TEST(HtmlForecast, ShowsRateIntervalBaselineAndCall) {
  const Json forecast = frozen("forecast");
  const std::string html = html_forecast(forecast);
  EXPECT_EQ(html, html_forecast(forecast));
  for (const Json& one : forecast["estimates"]["behaviors"]) {
    EXPECT_THAT(html, HasSubstr(html_name(one["behavior"].get<std::string>())));
  }
  EXPECT_THAT(html, HasSubstr(forecast["commitment"].get<std::string>()));
  EXPECT_THAT(html, HasSubstr("▲ more often"));
  EXPECT_THAT(html, HasSubstr("data-label=\"Old rate\""));
  EXPECT_THAT(html, HasSubstr("data-label=\"Replayed\""));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
}

TEST(HtmlVerification, ShowsOutcomeAndWaterfall) {
  const Json verification = frozen("verification");
  const std::string html = html_verification(verification);
  for (const char* step : {"The rest", "Prefix shift", "Environment", "Shrinkage", "Sampling"}) {
    EXPECT_THAT(html, HasSubstr(step));
  }
  const Json& environment = verification["error_split"]["pooled"]["environment"];
  EXPECT_THAT(html, HasSubstr(factor_text(environment, "mean_log")));
  EXPECT_THAT(html, HasSubstr("class=\"bar\""));
  EXPECT_THAT(html, HasSubstr("median error of the old rate"));
  // Without a part the step is there, and says so; without any pooled part so does the section.
  Json changed = verification;
  changed["error_split"]["pooled"]["prefix_shift"] = nullptr;
  EXPECT_THAT(html_verification(changed), HasSubstr("not measured"));
  changed["error_split"]["pooled"]["total"] = nullptr;
  EXPECT_THAT(html_verification(changed), HasSubstr("none can be pooled"));
}

TEST(HtmlVerification, TextOfOthersStaysText) {
  const std::string text = "<script>alert(1)</script>\"'&";
  Json forecast = frozen("forecast");
  forecast["models"]["candidate"]["model"] = text;
  forecast["estimates"]["behaviors"][0]["behavior"] = text;
  forecast["commitment"] = text;
  EXPECT_THAT(html_forecast(forecast), Not(HasSubstr("<script")));
  Json verification = frozen("verification");
  verification["release"] = text;
  verification["rows"][0]["behavior"] = text;
  verification["rows"][1]["skipped"] = text;
  verification["rows"][1]["covered"] = nullptr;
  verification["error_split"]["rows"][0]["behavior"] = text;
  verification["notes"].push_back({{"code", text}, {"text", text}});
  EXPECT_THAT(html_verification(verification), Not(HasSubstr("<script")));
}

}  // namespace
}  // namespace understudy
