#include "cli/plan.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/plan.hpp"
#include "engine/progress.hpp"

namespace understudy {
namespace {

std::string number(const Json& value, const char* format = "{:.3g}") {
  if (value.is_null()) return "?";
  const double amount = value.get<double>();
  if (amount >= 1000) return with_commas(static_cast<std::uint64_t>(amount + 0.5));
  return fmt::format(fmt::runtime(format), amount);
}

std::string power_of(const Json& behavior, double ratio) {
  for (const Json& entry : behavior["power"]) {
    if (entry["ratio"].get<double>() == ratio) {
      return fmt::format("{:.0f}%", 100 * entry["power"].get<double>());
    }
  }
  return "?";
}

// What the oracle's budget buys in each replayed arm; nothing without an oracle.
std::string verification_text(const Json& behaviors) {
  std::string text;
  for (const Json& behavior : behaviors) {
    const auto found = behavior.find("verification");
    if (found == behavior.end()) continue;
    if (text.empty()) {
      text = fmt::format("\n{:<32}{:>12}{:>10}{:>10}{:>10}{:>30}\n", "the oracle, in each arm",
                         "questions", "flags", "verified", "audit", "misses at most, per 100k");
    }
    const Json& share = (*found)["flags_verified_share"];
    text += fmt::format("{:<32}{:>12}{:>10}{:>10}{:>10}{:>30}\n",
                        terminal_safe(behavior["name"].get<std::string>()),
                        number((*found)["oracle_calls"]), number((*found)["flags_expected"]),
                        share.is_null() ? "?" : fmt::format("{:.0f}%", 100 * share.get<double>()),
                        number((*found)["audit"]), number((*found)["miss_bound_per_100k"]));
  }
  return text;
}

}  // namespace

std::string plan_text(const Json& plan) {
  const Json& prefixes = plan["prefixes"];
  const Json& total = plan["total"];
  std::string text = fmt::format(
      "{} of {} prefixes, {} draws an arm; nothing rarer than {} per 100,000 would be seen\n\n"
      "{:<12}{:<30}{:>10}{:>14}{:>14}{:>10}{:>14}\n",
      number(prefixes["sampled"]), number(prefixes["frame"]), number(plan["draws"]),
      number(plan["floor_per_100k"]), "", "", "calls", "prompt tok.", "answer tok.", "cost",
      "time");
  const auto line = [&](const std::string& role, const std::string& model, const Json& of) {
    text += fmt::format("{:<12}{:<30}{:>10}{:>14}{:>14}{:>10}{:>14}\n", role, terminal_safe(model),
                        number(of["calls"]), number(of["prompt_tokens"]),
                        number(of["completion_tokens"]), number(of["cost"]),
                        duration_text(of["seconds_left"].get<double>()));
  };
  for (const Json& role : plan["roles"]) {
    line(role["role"].get<std::string>(), role["model"].get<std::string>(), role);
  }
  line("all", "", total);
  text += fmt::format("\n{:<32}{:>12}{:>10}{:>10}{:>10}{:>10}{:>20}\n", "chance to call a change",
                      "Y per 100k", "x0.5", "x2", "x3", "x5", "draws to see x2");
  std::string unseen;
  for (const Json& behavior : plan["behaviors"]) {
    if (behavior["power"].empty()) {
      unseen += " " + terminal_safe(behavior["name"].get<std::string>());
      continue;
    }
    text += fmt::format("{:<32}{:>12}{:>10}{:>10}{:>10}{:>10}{:>20}\n",
                        terminal_safe(behavior["name"].get<std::string>()),
                        number(behavior["deployed_per_100k"]), power_of(behavior, 0.5),
                        power_of(behavior, 2), power_of(behavior, 3), power_of(behavior, 5),
                        number(behavior["draws_to_see_twice"]));
  }
  if (!unseen.empty()) text += fmt::format("nothing to compare with in the logs:{}\n", unseen);
  text += verification_text(plan["behaviors"]);
  text += "\nthe next 100 labels help most\n";
  for (std::size_t i = 0; i < std::min<std::size_t>(plan["labels"].size(), 3); ++i) {
    const Json& label = plan["labels"][i];
    text += fmt::format("  {} among {} of {}: upper over lower end from x{} to x{}\n",
                        number(label["labels"]),
                        label["among"] == "flags" ? "the flags" : "what passed the rule",
                        terminal_safe(label["behavior"].get<std::string>()),
                        number(label["hi_over_lo_now"]), number(label["hi_over_lo_after"]));
  }
  text += "\nassumed\n";
  for (const Json& assumption : plan["assumptions"]) {
    text += fmt::format("  {}\n", assumption.get<std::string>());
  }
  if (!total["unpriced"].empty()) {
    text += "  no price is set for a model that may cost money: add [prices] for a cost\n";
  }
  return text;
}

int run_plan(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Before anything is spent: prefixes, draws, calls, tokens, cost and time of a study; the\n"
      "smallest rate that it could see, its chance to call a change, and where labels help most.\n"
      "Reads the logs and asks no model.\n\n"
      "  understudy plan my-study\n"
      "  understudy plan my-study --prefixes 20000 --json\n"
      "  understudy plan my-study --audit 500 --embed        what `discover` would ask besides\n",
      "plan");
  StudyFlags flags;
  PlanOptions options;
  add_study_flags(app, flags);
  app.add_option("--audit", options.audit, "With an audit of so many answers of the candidate")
      ->check(CLI::PositiveNumber);
  app.add_flag("--embed", options.embed, "With vectors of all answers");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kCreate, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const Json plan, plan_study(study, options));
    fmt::print("{}", flags.json ? write_json(plan, JsonStyle::kPretty) : plan_text(plan));
    return kExitDone;
  });
}

}  // namespace understudy
