#include "cli/behaviors.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/study_session.hpp"
#include "engine/grader_comparison.hpp"
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

int test(const std::vector<std::string>& names, bool json) {
  std::vector<Behavior> behaviors;
  if (names.empty()) behaviors = built_in_behaviors();
  for (const std::string& name : names) {
    Result<Behavior> behavior = find_behavior(name, "");
    if (!behavior) return usage_error(behavior.error());
    behaviors.push_back(std::move(*behavior));
  }
  const Result<BehaviorTest> outcome = test_behaviors(behaviors);
  if (!outcome) return usage_error(outcome.error());
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
      "  understudy behaviors compare my-study refusal    what a changed file changes",
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
      app.add_subcommand("test", "Run the examples of files through their own rules");
  std::vector<std::string> names;
  test_app->add_option("FILE", names, "Paths or names (default: all built-in behaviors)");
  CLI::App* const compare_app = app.add_subcommand(
      "compare", "Two versions of a grader on the same stored answers: which verdicts changed");
  StudyFlags study;
  compare_app->add_option("DIR", study.directory, "A study that has been graded with both")
      ->required();
  compare_app->add_option("NAME", name, "A behavior that it grades")->required();
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (show_app->parsed()) return show(name, json);
  if (test_app->parsed()) return test(names, json);
  study.json = json;
  if (compare_app->parsed()) return compare(study, name);
  const std::vector<Behavior>& behaviors = built_in_behaviors();
  print(json, behaviors_list_json(behaviors), behaviors_list_text(behaviors));
  return 0;
}

}  // namespace understudy
