#include "cli/estimate_table.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/json.hpp"
#include "base/text.hpp"
#include "estimate/verdict_table.hpp"

namespace understudy {
namespace {

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return 2;
    case ErrorCode::kInput:
      return 3;
    case ErrorCode::kInfrastructure:
      return 4;
    case ErrorCode::kPaused:
      return 5;
    case ErrorCode::kMismatch:
      return 7;
  }
  return 4;
}

std::string rate_text(const Rate& rate) {
  if (!rate.lo || !rate.hi) return "";
  const std::string point = rate.per_100k ? fmt::format("{:.4g}", *rate.per_100k) : "?";
  return fmt::format("{} ({:.3g}-{:.3g})", point, *rate.lo, *rate.hi);
}

void print_table(const TableEstimate& estimate, double level) {
  fmt::print("per 100,000 draws, {:g}% intervals\n\n{:<32}{:<28}{:<28}{:<11}{}\n", 100 * level, "",
             "corrected", "forecast", "change", "alarms");
  for (const BehaviorEstimate& behavior : estimate.behaviors) {
    const auto& candidate = behavior.arm(Arm::kCandidate);
    std::string alarms;
    for (const Alarm alarm : behavior.alarms) {
      alarms += (alarms.empty() ? "" : ", ") + std::string(alarm_name(alarm));
    }
    fmt::print("{:<32}{:<28}{:<28}{:<11}{}\n", terminal_safe(behavior.name),
               candidate ? rate_text(candidate->corrected) : "", rate_text(behavior.forecast),
               direction_name(behavior.change.direction), alarms);
  }
}

}  // namespace

int run_estimate_table(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Rates with intervals from a table of verdicts: one row per draw and behavior.\n\n"
      "  understudy estimate --table draws.csv --recall recall.csv --json",
      "understudy estimate");
  TableRequest request;
  std::string recall, previous, history;
  double frame = 0;
  bool json = false;
  std::string display = "plain";
  app.add_option("--table", request.table, "Verdicts: CSV or JSON Lines")->required();
  app.add_option("--recall", recall, "Known positives by channel, and how many are flagged");
  app.add_option("--previous", previous, "The old model's known rates");
  app.add_option("--history", history, "Past releases: what was forecast, what happened");
  app.add_option("--frame", frame, "How many prefixes the design stands for");
  app.add_option("--level", request.level, "Level of the intervals")->capture_default_str();
  app.add_flag("--anytime", request.anytime, "Intervals that hold however often one looks");
  app.add_flag("--json", json, "One JSON document on stdout");
  app.add_option("--display", display, "rich, plain or none")
      ->check(CLI::IsMember({"rich", "plain", "none"}));
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!recall.empty()) request.recall = recall;
  if (!previous.empty()) request.previous = previous;
  if (!history.empty()) request.history = history;
  if (app.count("--frame") > 0) request.frame = frame;
  const auto estimate = estimate_table(request);
  if (!estimate) {
    fmt::print(stderr, "understudy estimate: {}\n", estimate.error().describe());
    return exit_code(estimate.error().code);
  }
  for (const std::string& note : estimate->notes) {
    fmt::print(stderr, "understudy estimate: {}\n", note);
  }
  if (json) {
    fmt::print("{}", write_json(estimate->report, JsonStyle::kPretty));
  } else if (display != "none") {
    print_table(*estimate, request.level);
  }
  return 0;
}

}  // namespace understudy
