// How faithful answered tools are, on the recorded runs of tau-bench's airline: each recorded call
// is left out and answered by each level of the chain; how often tools fail when failures are
// injected as the logs show them; and how well results that a model makes up can be told from
// recorded ones (tool_realism.cpp).
//
//   bench_tools [--no-server]
//   bench_tools --model llama/smollm2-135m [RUNS]   a model as the simulator, on the first runs
//   alone
//
// Needs the recordings and their databases in ../shared/data/tau_bench beside the clone.

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "environment/mcp_client.hpp"
#include "environment/recorded_calls.hpp"
#include "environment/result_match.hpp"
#include "environment/tool_failures.hpp"
#include "environment/tool_world.hpp"
#include "ingest/log_reader.hpp"
#include "tool_realism.hpp"

namespace {

using namespace understudy;

const std::string kData = UNDERSTUDY_SOURCE_DIR "/../shared/data/tau_bench";
const std::string kServer = UNDERSTUDY_SOURCE_DIR "/tests/program/airline_server.py";
const MatchRules kMatch = {.renamed_keys = {{"province", "state"}}};

std::vector<LoggedRun> read_runs() {
  std::vector<LoggedRun> runs;
  Result<LogReader> reader = LogReader::open(
      {.path = kData + "/historical_trajectories/gpt-4o-airline.json", .name = "log"}, {});
  while (reader) {
    Result<LogItem> item = reader->next();
    if (!item || std::holds_alternative<EndOfLog>(*item)) break;
    if (LogRecord* record = std::get_if<LogRecord>(&*item)) {
      runs.push_back({.task = record->conversation.cluster,
                      .steps = tool_steps_of(record->conversation.messages)});
    }
  }
  return runs;
}

struct Count {
  std::size_t all = 0;
  std::size_t answered = 0;
  std::size_t exact = 0;

  void add(const std::optional<std::string>& answer, const ToolStep& step) {
    ++all;
    if (!answer) return;
    ++answered;
    if (same_result(*step.result, *answer, kMatch)) ++exact;
  }
};

class Table {
 public:
  void add(const std::string& level, bool writes, const std::optional<std::string>& answer,
           const ToolStep& step) {
    auto found = counts_.find(level);
    if (found == counts_.end()) {
      order_.push_back(level);
      found = counts_.emplace(level, std::array<Count, 2>{}).first;
    }
    found->second[writes ? 1 : 0].add(answer, step);
  }

  void print() const {
    fmt::print("{:<34} {:>6} {:>9} {:>7}   {:>6} {:>9} {:>7}\n", "level", "reads", "answered",
               "exact", "writes", "answered", "exact");
    for (const std::string& level : order_) {
      const auto& [reads, writes] = counts_.at(level);
      fmt::print("{:<34} {:>6} {:>8.1f}% {:>6.1f}%   {:>6} {:>8.1f}% {:>6.1f}%\n", level, reads.all,
                 percent(reads.answered, reads.all), percent(reads.exact, reads.answered),
                 writes.all, percent(writes.answered, writes.all),
                 percent(writes.exact, writes.answered));
    }
  }

 private:
  static double percent(std::size_t part, std::size_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  }
  std::map<std::string, std::array<Count, 2>> counts_;
  std::vector<std::string> order_;
};

std::optional<std::string> text_of(const std::optional<RecordedCalls::Found>& found) {
  if (!found) return std::nullopt;
  return std::string(found->result);
}

/// Every call of the logs left out in turn.
void leave_one_out(const std::vector<LoggedRun>& runs, const ToolRules& rules, Table& table) {
  RecordedCalls recorded;
  for (const LoggedRun& run : runs) recorded.add(rules, run.task, run.steps);
  for (std::uint32_t i = 0; i < runs.size(); ++i) {
    WorldState state;
    for (std::uint32_t k = 0; k < runs[i].steps.steps.size(); ++k) {
      const ToolStep& step = runs[i].steps.steps[k];
      const std::string canonical = rules.canonical(step.call);
      const Digest question = state.question(canonical);
      state.took(rules, step.call, canonical, step.result);
      const bool writes = rules.effect(step.call.name) != ToolEffect::kRead;
      using Donors = RecordedCalls::Donors;
      const auto own = text_of(recorded.in_trajectory(i, question, k));
      const auto others = text_of(recorded.elsewhere(i, question));
      const auto tasks = text_of(recorded.elsewhere(i, question, Donors::kOtherGroups));
      table.add("recorded: rest of the same run", writes, own, step);
      table.add("keyed: other runs", writes, others, step);
      table.add("keyed: runs of other tasks", writes, tasks, step);
      table.add("recorded, then keyed", writes, own ? own : others, step);
    }
  }
}

/// Call by call through the server alone, a process a run.
void through_the_server(const std::vector<LoggedRun>& runs, const ToolRules& rules, Table& table) {
  SystemClock clock;
  std::map<std::string, std::size_t> different;
  for (const LoggedRun& run : runs) {
    McpSource source({.argv = {"python3", kServer, kData + "/tau_bench/envs/airline/data"},
                      .environment = {"PYTHONDONTWRITEBYTECODE=1"}},
                     clock);
    ToolWorld world(rules, {&source});
    for (const ToolStep& step : run.steps.steps) {
      const ToolAnswer answer = world.call(step.call);
      const bool writes = rules.effect(step.call.name) != ToolEffect::kRead;
      std::optional<std::string> text;
      if (answer.level != ToolLevel::kNone) text = answer.result;
      table.add("server: every call, in order", writes, text, step);
      if (!text) {
        ++different[step.call.name + ": " + std::string(tool_trouble_name(answer.trouble))];
      } else if (!same_result(*step.result, *text, kMatch)) {
        ++different[step.call.name + ": another result"];
      }
    }
  }
  for (const auto& [what, count] : different) fmt::print("server, {}: {}\n", what, count);
}

void injected_failures(const std::vector<LoggedRun>& runs) {
  ToolFailures failures;
  for (const LoggedRun& run : runs) failures.learn(run.steps);
  fmt::print("\n{:<34} {:>8} {:>8} {:>10} {:>8}\n", "failures", "logged", "rate", "injected", "z");
  constexpr std::uint64_t kDraws = 100'000;
  for (const auto& [name, tool] : failures.tools()) {
    if (tool.errors == 0) continue;
    std::uint64_t failed = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      failed += failures.draw(1, i, 0, name) ? 1U : 0U;
    }
    const double injected = static_cast<double>(failed) / kDraws;
    const double error = std::sqrt(tool.rate() * (1 - tool.rate()) / kDraws);
    fmt::print("{:<34} {:>8} {:>7.2f}% {:>9.2f}% {:>8.2f}\n", name,
               fmt::format("{}/{}", tool.errors, tool.results), 100 * tool.rate(), 100 * injected,
               (injected - tool.rate()) / error);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (!std::filesystem::exists(kData)) {
    fmt::print("skipped: there are no recordings in {}\n", kData);
    return 0;
  }
  const std::vector<LoggedRun> runs = read_runs();
  ToolRules rules;
  rules.set("think", {.free_arguments = {"thought"}});
  rules.set("transfer_to_human_agents",
            {.effect = ToolEffect::kRead, .free_arguments = {"summary"}});
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  if (arguments.size() > 1 && arguments[0] == "--model") {
    std::size_t count = 10;
    if (arguments.size() > 2) {
      std::from_chars(arguments[2].data(), arguments[2].data() + arguments[2].size(), count);
    }
    return measure_model(runs, rules, std::string(arguments[1]), count) ? 0 : 1;
  }
  Table table;
  leave_one_out(runs, rules, table);
  if (arguments.empty() || arguments[0] != "--no-server") {
    through_the_server(runs, rules, table);
  }
  table.print();
  injected_failures(runs);
  measure_realism(runs, rules);
}
