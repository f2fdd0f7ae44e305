#include "cli/behaviors.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/study_session.hpp"
#include "engine/grader_comparison.hpp"
#include "engine/judge_grading.hpp"
#include "engine/probe.hpp"
#include "grading/behavior.hpp"
#include "grading/behavior_text.hpp"

namespace understudy {
namespace {

int usage_error(const Error& error) {
  fmt::print(stderr, "understudy behaviors: {}\n", error.describe());
  return 2;
}

void print(bool json, const Json& document, const std::string& text) {
  const std::string out = json ? write_json(document, JsonStyle::kPretty) : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
}

int show(const std::string& name, bool json) {
  const Result<Behavior> behavior = find_behavior(name, "");
  if (!behavior) return usage_error(behavior.error());
  print(json, behavior_show_json(*behavior), behavior_show_text(*behavior));
  return 0;
}

int compare(const StudyFlags& flags, const std::string& name) {
  constexpr std::size_t kFlipsShown = 20;
  return with_study(flags, StudyStore::Mode::kWrite, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const Json found, compare_graders(study, name));
    print(flags.json, found, comparison_text(found, kFlipsShown));
    return 0;
  });
}

int probe(const StudyFlags& flags, const ProbeOptions& options) {
  return with_study(flags, StudyStore::Mode::kWrite, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const Json found, probe_judge(study, options));
    print(flags.json, found, probe_text(found));
    return 0;
  });
}

// The examples of what is no rule, put to the models that are named and to programs.
Result<void> test_by_models(std::span<const Behavior> behaviors, const ModelFlags& flags,
                            BehaviorTest& test) {
  for (const Behavior& behavior : behaviors) {
    for (const std::string role : {"command", "moderation", "judge"}) {
      const bool by_role =
          role == "judge" ? behavior.judge.has_value() : screening_role(behavior) == role;
      if (!by_role) continue;
      UNDERSTUDY_TRY(const auto run, test_by_model(behavior, role, flags));
      if (!run) continue;
      test.outcomes.insert(test.outcomes.end(), run->begin(), run->end());
      if (screening_role(behavior) == role) --test.without_rule;
    }
  }
  return {};
}

int test(const std::vector<std::string>& names, const ModelFlags& models, bool json) {
  std::vector<Behavior> behaviors;
  if (names.empty()) behaviors = built_in_behaviors();
  for (const std::string& name : names) {
    Result<Behavior> behavior = find_behavior(name, "");
    if (!behavior) return usage_error(behavior.error());
    behaviors.push_back(std::move(*behavior));
  }
  Result<BehaviorTest> outcome = test_behaviors(behaviors);
  if (!outcome) return usage_error(outcome.error());
  const Result<void> asked = test_by_models(behaviors, models, *outcome);
  if (!asked) return usage_error(asked.error());
  print(json, behavior_test_json(*outcome), behavior_test_text(*outcome));
  return outcome->failed() == 0 ? 0 : 1;
}

}  // namespace

int run_behaviors(const std::vector<std::string>& arguments) {
  CLI::App app(
      "The behaviors that answers are graded for.\n\n"
      "  understudy behaviors list\n"
      "  understudy behaviors show refusal\n"
      "  understudy behaviors test behaviors/ours.toml\n"
      "  understudy behaviors test --model-role judge=openai/gpt-5.1 hate\n"
      "  understudy behaviors compare my-study refusal    what a changed file changes\n"
      "  understudy behaviors probe my-study              how steady its judge is",
      "understudy behaviors");
  bool json = false;
  app.add_flag("--json", json, "One JSON document on stdout");
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_subcommand("list", "All built-in behaviors (default)");
  CLI::App* const show_app = app.add_subcommand("show", "One behavior, laid out for reading");
  std::string name;
  show_app->add_option("NAME", name, "Name of a built-in behavior, or path of a .toml file")
      ->required();
  CLI::App* const test_app =
      app.add_subcommand("test", "Run the examples of files through their own graders");
  std::vector<std::string> names;
  test_app->add_option("FILE", names, "Paths or names (default: all built-in behaviors)");
  ModelFlags models;
  test_app->add_option("--model-role", models.roles,
                       "ROLE=PROVIDER/NAME: a judge or moderation endpoint for what is no rule");
  test_app->add_option("--model-base-url", models.base_url, "Where they are");
  test_app->add_option("--egress-allow", models.egress_allow,
                       "Hosts off loopback that the examples may be sent to");
  CLI::App* const compare_app = app.add_subcommand(
      "compare", "Two versions of a grader on the same stored answers: which verdicts changed");
  StudyFlags study;
  compare_app->add_option("DIR", study.directory, "A study that has been graded with both")
      ->required();
  compare_app->add_option("NAME", name, "A behavior that it grades")->required();
  CLI::App* const probe_app = app.add_subcommand(
      "probe",
      "Put answers to the judge again: the same, with examples in another order, in another "
      "format, and all behaviors in one call; prints how many verdicts flip");
  StudyFlags probed;
  ProbeOptions options;
  add_study_flags(*probe_app, probed);
  probe_app->add_option("--answers", options.answers, "Answers of each behavior, half flagged")
      ->check(CLI::Range(1, 100'000));
  probe_app->add_option("--repeats", options.repeats, "Of the same question")
      ->check(CLI::Range(1, 100));
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (show_app->parsed()) return show(name, json);
  if (test_app->parsed()) return test(names, models, json);
  if (probe_app->parsed()) {
    probed.json = probed.json || json;
    return probe(probed, options);
  }
  study.json = json;
  if (compare_app->parsed()) return compare(study, name);
  const std::vector<Behavior>& behaviors = built_in_behaviors();
  print(json, behaviors_list_json(behaviors), behaviors_list_text(behaviors));
  return 0;
}

}  // namespace understudy
