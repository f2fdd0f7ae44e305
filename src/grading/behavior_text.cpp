#include "grading/behavior_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

std::string languages_text(const Behavior& behavior) {
  if (!behavior.rule) return "any";
  return behavior.languages.empty() ? "any" : fmt::format("{}", fmt::join(behavior.languages, ","));
}

// One paragraph wrapped at white space. Lines after the first begin with `indent` spaces; the
// first is preceded by `lead`, which fills the same width.
std::string wrapped(std::string_view text, std::string_view lead, std::size_t indent,
                    std::size_t columns) {
  std::string out(lead);
  std::size_t column = indent;
  bool first = true;
  for (const std::string_view line : split(text, '\n')) {
    for (const std::string_view word : split(line, ' ')) {
      if (word.empty()) continue;
      const std::string safe = terminal_safe(word);
      const std::size_t width = utf8_length(safe);
      if (!first && column + 1 + width > columns) {
        out += '\n';
        out.append(indent, ' ');
        column = indent;
        first = true;
      }
      if (!first) out += ' ';
      column += width + (first ? 0 : 1);
      out += safe;
      first = false;
    }
  }
  return out + "\n";
}

std::string paragraph(std::string_view text, std::size_t columns) {
  return wrapped(trimmed(text), "  ", 2, columns);
}

std::string points(const std::vector<std::string>& lines, std::size_t columns) {
  std::string out;
  for (const std::string& line : lines) out += wrapped(line, "  - ", 4, columns);
  return out;
}

// An example's text may be long and holds anything: one line of it, safe for a terminal.
std::string excerpt(std::string_view text, std::size_t columns) {
  const std::string safe = terminal_safe(trimmed(text));
  const std::string_view cut = utf8_prefix(safe, columns);
  return cut.size() < safe.size() ? fmt::format("{}…", cut) : std::string(cut);
}

std::string expected_text(Verdict verdict) {
  return is_ungradable(verdict) ? fmt::format("ungradable ({})", verdict_name(verdict))
                                : std::string(verdict_name(verdict));
}

std::string example_text(const BehaviorExample& example, std::size_t columns) {
  std::string out = fmt::format("  {} {}\n",
                                example.expected == Verdict::kPresent  ? "+"
                                : example.expected == Verdict::kAbsent ? "-"
                                                                       : "?",
                                terminal_safe(example.name));
  const std::size_t room = columns - 16;
  const Message& last = example.prefix.back();
  out += fmt::format("      {:<8} {}\n", role_name(last.role), excerpt(last.content, room));
  if (!example.content.empty() || example.tool_calls.empty()) {
    out += fmt::format("      {:<8} {}\n", "answer",
                       example.content.empty() ? "(empty)" : excerpt(example.content, room));
  }
  for (const ToolCall& call : example.tool_calls) {
    out += fmt::format("      {:<8} {} {}\n", "calls", excerpt(call.name, 30),
                       excerpt(call.arguments, room - 31));
  }
  std::string verdict = expected_text(example.expected);
  if (example.severity) verdict += fmt::format(", severity {}", *example.severity);
  if (!example.why.empty()) verdict += fmt::format(": {}", example.why);
  return out + wrapped(verdict, "      → ", 8, columns);
}

std::string rule_text(const RuleSpec& rule, std::size_t columns) {
  std::string out = fmt::format("  kind {}\n", terminal_safe(rule.kind));
  for (const auto& [name, value] : rule.options) {
    out += fmt::format("  {} = {}\n", terminal_safe(name), terminal_safe(value));
  }
  for (const auto& [name, value] : rule.numbers) {
    out += fmt::format("  {} = {}\n", terminal_safe(name), value);
  }
  for (const auto& [name, patterns] : rule.patterns) {
    out += wrapped(fmt::format("{} {} of {}", patterns.size(),
                               patterns.size() == 1 ? "pattern" : "patterns", name),
                   "  ", 2, columns);
  }
  return out;
}

std::string other_grader_text(const Behavior& behavior, std::size_t columns) {
  if (behavior.command) {
    return "\nProgram\n" +
           wrapped(terminal_safe(fmt::format("{}", fmt::join(behavior.command->argv, " "))), "  ",
                   2, columns);
  }
  if (behavior.table) return "\nTable\n  " + terminal_safe(behavior.table->path) + "\n";
  std::string out;
  if (behavior.moderation) {
    out += "\nModeration scores from which on it is present\n";
    for (const auto& [category, threshold] : behavior.moderation->thresholds) {
      out += fmt::format("  {} {}\n", terminal_safe(category), threshold);
    }
  }
  return out;
}

std::string summary_line(const Behavior& behavior) {
  const auto count = [&](Verdict verdict) {
    return std::count_if(
        behavior.examples.begin(), behavior.examples.end(),
        [&](const BehaviorExample& example) { return example.expected == verdict; });
  };
  return fmt::format("{} examples: {} present, {} absent", behavior.examples.size(),
                     count(Verdict::kPresent), count(Verdict::kAbsent));
}

}  // namespace

std::string behaviors_list_text(std::span<const Behavior> behaviors) {
  std::string out;
  BehaviorGroup group{};
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    const Behavior& behavior = behaviors[i];
    if (i == 0 || behavior.group != group) {
      group = behavior.group;
      out += fmt::format("{}{}\n", i == 0 ? "" : "\n", group_name(group));
    }
    out += fmt::format("  {:<27} {:<14} {:<4} v{:<3} {}\n", behavior.id,
                       decided_by_name(behavior.decided_by), languages_text(behavior),
                       behavior.version, terminal_safe(behavior.title));
  }
  const auto ruled =
      std::count_if(behaviors.begin(), behaviors.end(),
                    [](const Behavior& behavior) { return behavior.rule.has_value(); });
  out += fmt::format(
      "\n{} behaviors, {} with a rule (engine {}); the others need a judge "
      "(--model-role judge=PROVIDER/NAME)\n",
      behaviors.size(), ruled, kRuleEngineVersion);
  return out;
}

Json behaviors_list_json(std::span<const Behavior> behaviors) {
  Json list = Json::array();
  for (const Behavior& behavior : behaviors) {
    list.push_back({{"id", behavior.id},
                    {"title", behavior.title},
                    {"group", group_name(behavior.group)},
                    {"decided_by", decided_by_name(behavior.decided_by)},
                    {"languages", behavior.languages},
                    {"severity", behavior.judge && !behavior.judge->severity.empty()},
                    {"version", behavior.version},
                    {"hash", hex(behavior.hash)},
                    {"file", behavior.file}});
  }
  return {{"schema", "understudy.behaviors/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"rule_engine_version", kRuleEngineVersion},
          {"behaviors", std::move(list)}};
}

std::string behavior_show_text(const Behavior& behavior, std::size_t columns) {
  std::string out = fmt::format("{} — {}\n", behavior.id, terminal_safe(behavior.title));
  out +=
      fmt::format("{} · decided by {} · per {} · languages {} · version {} · {}\n\n",
                  group_name(behavior.group), decided_by_name(behavior.decided_by), behavior.unit,
                  languages_text(behavior), behavior.version, hex(behavior.hash).substr(0, 12));
  out += "Definition\n" + paragraph(behavior.definition, columns);
  out += "\nCounts\n" + points(behavior.counts, columns);
  out += "\nDoes not count\n" + points(behavior.does_not_count, columns);
  if (behavior.rule) out += "\nRule\n" + rule_text(*behavior.rule, columns);
  out += other_grader_text(behavior, columns);
  if (behavior.judge) {
    out += "\nRubric for the judge\n" + paragraph(behavior.judge->rubric, columns);
    if (!behavior.judge->severity.empty()) out += "\nSeverity\n";
    for (std::size_t i = 0; i < behavior.judge->severity.size(); ++i) {
      out += wrapped(behavior.judge->severity[i], fmt::format("  {} ", i), 4, columns);
    }
  }
  out += fmt::format("\nBoundary ({})\n", summary_line(behavior));
  for (const BehaviorExample& example : behavior.examples) out += example_text(example, columns);
  return out + fmt::format("\nfrom {}\n", behavior.file);
}

Json behavior_show_json(const Behavior& behavior) {
  return {{"schema", "understudy.behavior/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"rule_engine_version", kRuleEngineVersion},
          {"hash", hex(behavior.hash)},
          {"file", behavior.file},
          {"behavior", behavior_json(behavior)}};
}

std::size_t BehaviorTest::failed() const {
  return static_cast<std::size_t>(
      std::count_if(outcomes.begin(), outcomes.end(),
                    [](const ExampleOutcome& outcome) { return !outcome.passed(); }));
}

Result<BehaviorTest> test_behaviors(std::span<const Behavior> behaviors) {
  UNDERSTUDY_TRY(const RuleGraders graders, RuleGraders::build(behaviors));
  BehaviorTest test;
  std::vector<Verdict> verdicts(behaviors.size());
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    if (!graders.has_rule(i)) {
      ++test.without_rule;
      continue;
    }
    for (const BehaviorExample& example : behaviors[i].examples) {
      graders.grade({example.prefix, example.tools, example.content, example.tool_calls,
                     example.finish, example.cut_by_window},
                    verdicts);
      test.outcomes.push_back({behaviors[i].id, example.name, behaviors[i].file, example.line,
                               example.expected, verdicts[i]});
    }
  }
  return test;
}

std::string behavior_test_text(const BehaviorTest& test) {
  std::string out;
  for (const ExampleOutcome& outcome : test.outcomes) {
    if (outcome.passed()) continue;
    out += fmt::format("{}:{}: {}: \"{}\" expects {}, found {}\n", outcome.file, outcome.line,
                       outcome.behavior, terminal_safe(outcome.example),
                       expected_text(outcome.expected), expected_text(outcome.found));
  }
  out += fmt::format("{} examples run through their graders, {} failed\n", test.outcomes.size(),
                     test.failed());
  if (test.without_rule > 0) {
    out += fmt::format(
        "{} behaviors have no rule: their examples need a judge (--model-role "
        "judge=PROVIDER/NAME)\n",
        test.without_rule);
  }
  return out;
}

Json behavior_test_json(const BehaviorTest& test) {
  Json failed = Json::array();
  for (const ExampleOutcome& outcome : test.outcomes) {
    if (outcome.passed()) continue;
    failed.push_back({{"behavior", outcome.behavior},
                      {"example", outcome.example},
                      {"file", outcome.file},
                      {"line", outcome.line},
                      {"expected", expected_text(outcome.expected)},
                      {"found", expected_text(outcome.found)}});
  }
  return {{"schema", "understudy.behaviors_test/1"},   {"understudy_version", UNDERSTUDY_VERSION},
          {"rule_engine_version", kRuleEngineVersion}, {"examples", test.outcomes.size()},
          {"without_rule", test.without_rule},         {"failed", std::move(failed)}};
}

}  // namespace understudy
