// Golden verdicts: every rule on every example of every behavior file. What this file pins is what
// kRuleEngineVersion and the versions of the behavior files promise: when a verdict here changes,
// one of them must change too, because a frozen forecast was made with the old one.
//
// UNDERSTUDY_UPDATE=1 rewrites the expected file.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "case_file.hpp"
#include "grading/behavior.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

constexpr const char* kGoldenFile = UNDERSTUDY_CASES "/golden_verdicts.txt";

char letter(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAbsent:
      return '.';
    case Verdict::kPresent:
      return 'P';
    case Verdict::kUngradableLanguage:
      return 'l';
    default:
      return '?';
  }
}

std::string current_verdicts() {
  const std::vector<Behavior> ruled = *select_behaviors({}, "");
  const RuleGraders graders = std::move(RuleGraders::build(ruled)).value();
  std::string out = fmt::format("engine {}\n", kRuleEngineVersion);
  for (const Behavior& behavior : ruled) {
    out += fmt::format("rule {} version {}\n", behavior.id, behavior.version);
  }
  std::vector<Verdict> verdicts(ruled.size());
  for (const Behavior& behavior : built_in_behaviors()) {
    for (const BehaviorExample& example : behavior.examples) {
      graders.grade({example.prefix, example.tools, example.content, example.tool_calls,
                     example.finish, example.cut_by_window},
                    verdicts);
      for (const Verdict verdict : verdicts) out += letter(verdict);
      out += fmt::format("  {}: {}\n", behavior.id, example.name);
    }
  }
  return out;
}

TEST(GoldenVerdicts, AreThoseOfThisEngineVersion) {
  const std::string current = current_verdicts();
  if (cases::updating()) {
    std::ofstream(kGoldenFile, std::ios::binary) << current;
    GTEST_SKIP() << "rewrote " << kGoldenFile;
  }
  std::ifstream in(kGoldenFile, std::ios::binary);
  const std::string expected(std::istreambuf_iterator<char>(in), {});
  EXPECT_EQ(current, expected)
      << "verdicts changed: raise kRuleEngineVersion (code) or the behavior's version (file), "
         "then rewrite the file with UNDERSTUDY_UPDATE=1";
}

}  // namespace
}  // namespace understudy
