#include "tool_realism.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>

#include "base/hash.hpp"
#include "discovery/two_samples.hpp"
#include "environment/logged_tools.hpp"
#include "environment/realism.hpp"
#include "environment/recorded_calls.hpp"
#include "environment/result_match.hpp"
#include "environment/simulated_tool.hpp"
#include "environment/tool_failures.hpp"
#include "grading/answer_features.hpp"
#include "model/model_factory.hpp"
#include "scripted_simulator.hpp"

namespace understudy {
namespace {

const MatchRules kMatch = {.renamed_keys = {{"province", "state"}}};

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

/// What the runs of all other tasks show.
struct Others {
  LoggedTools tools;
  ToolFailures failures;
};

class HeldOut {
 public:
  HeldOut(const std::vector<LoggedRun>& runs, const ToolRules& rules) {
    for (const LoggedRun& held : runs) {
      if (others_.contains(held.task)) continue;
      Others& others = others_[held.task];
      for (const LoggedRun& run : runs) {
        if (run.task == held.task) continue;
        others.tools.learn(rules, run.steps);
        others.failures.learn(run.steps);
      }
    }
  }
  const Others& of(const LoggedRun& run) const { return others_.at(run.task); }

 private:
  std::map<std::string, Others> others_;
};

struct Setup {
  std::string name;
  SimulatorOptions options{};
  bool injected = true;
};

using Simulator = std::function<DrawOutcome(const SimulatorQuestion&)>;

DrawOutcome scripted(const SimulatorQuestion& question) {
  Completion completion;
  completion.content = scripted_answer(question);
  completion.finish = FinishReason::kStop;
  return completion;
}

/// Drives a world as an event loop does.
struct Asked {
  ToolAnswer answer;
  bool simulated = false;  ///< the simulator was asked
  bool first_valid = true;
};
Asked drive(ToolWorld& world, const ToolCall& call, const Simulator& simulator) {
  Asked asked;
  ToolReply reply = world.ask(call);
  while (const auto* question = std::get_if<SimulatorQuestion>(&reply)) {
    asked.simulated = true;
    asked.first_valid = question->attempt == 0;
    reply = world.accept(simulator(*question));
  }
  asked.answer = std::get<ToolAnswer>(std::move(reply));
  return asked;
}

std::vector<ToolStep> steps_after(const ToolSteps& steps, std::size_t k, const ToolRules& rules) {
  std::vector<ToolStep> after;
  const std::string own = rules.canonical(steps.steps[k].call);
  for (std::size_t i = k + 1; i < steps.steps.size(); ++i) {
    // The same call again would give its answer away; that is what the recorded level is for.
    if (rules.canonical(steps.steps[i].call) != own) after.push_back(steps.steps[i]);
  }
  return after;
}

struct Counts {
  std::uint64_t asked = 0, first_valid = 0, valid = 0, exact = 0;
  std::uint64_t results = 0, logged_errors = 0, errors = 0, contradictions = 0;
  std::map<std::string, std::uint64_t> troubles;
  std::vector<std::size_t> logged_bytes, bytes;

  void add(const ToolStep& step, const Asked& asked_now) {
    ++results;
    logged_errors += is_error_result(*step.result) ? 1U : 0U;
    logged_bytes.push_back(step.result->size());
    const ToolAnswer& answer = asked_now.answer;
    if (asked_now.simulated) {
      ++asked;
      first_valid += asked_now.first_valid ? 1U : 0U;
      valid += answer.level == ToolLevel::kSimulated ? 1U : 0U;
    }
    if (answer.level == ToolLevel::kNone) {
      ++troubles[std::string(tool_trouble_name(answer.trouble))];
      return;
    }
    errors += is_error_result(answer.result) ? 1U : 0U;
    exact += same_result(*step.result, answer.result, kMatch) ? 1U : 0U;
    contradictions += answer.contradictions;
    bytes.push_back(answer.result.size());
  }
  void merge(const Counts& other) {
    asked += other.asked;
    first_valid += other.first_valid;
    valid += other.valid;
    exact += other.exact;
    results += other.results;
    logged_errors += other.logged_errors;
    errors += other.errors;
    contradictions += other.contradictions;
    for (const auto& [name, count] : other.troubles) troubles[name] += count;
  }
};

std::size_t median(std::vector<std::size_t> sizes) {
  if (sizes.empty()) return 0;
  std::sort(sizes.begin(), sizes.end());
  return sizes[sizes.size() / 2];
}

/// The largest distance between two distribution functions (Kolmogorov-Smirnov).
double distance(std::vector<std::size_t> a, std::vector<std::size_t> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double most = 0;
  for (const auto& values : {a, b}) {
    for (const std::size_t at : values) {
      const auto share = [&](const std::vector<std::size_t>& of) {
        return static_cast<double>(std::upper_bound(of.begin(), of.end(), at) - of.begin()) /
               static_cast<double>(of.size());
      };
      if (!a.empty() && !b.empty()) most = std::max(most, std::abs(share(a) - share(b)));
    }
  }
  return most;
}

struct Pair {
  const ToolStep* step;
  std::string simulated;
};

struct Outcome {
  std::map<std::string, Counts> tools;
  std::optional<TwoSamples> told_apart;
  std::vector<Pair> pairs;
  [[nodiscard]] Counts all() const {
    Counts sum;
    for (const auto& [name, counts] : tools) sum.merge(counts);
    return sum;
  }
};

/// Every call asked by itself, in the state that its run had then; or each run from its beginning,
/// with what was made up before for a past.
Outcome measure(const std::vector<LoggedRun>& runs, const ToolRules& rules, const HeldOut& held,
                const Setup& setup, bool whole_runs, const Simulator& model = scripted,
                std::size_t runs_max = ~std::size_t{0}) {
  Outcome outcome;
  TwoSampleTest test(1);
  FeatureExtractor extractor;
  const auto add_text = [&](const std::string& task, bool second, const std::string& text) {
    AnswerView view;
    view.content = text;
    test.add(hash64({task}), second, extractor.extract(view));
  };
  for (std::size_t r = 0; r < std::min(runs.size(), runs_max); ++r) {
    const LoggedRun& run = runs[r];
    const Others& others = held.of(run);
    std::optional<FailureSource> failures;
    std::optional<SimulatedTool> simulator;
    std::optional<ToolWorld> world;
    const auto open = [&](std::vector<ToolStep> rollout) {
      SimulatorOptions options = setup.options;
      options.failures_elsewhere = setup.injected;
      failures.emplace(others.failures, 1, r);
      std::vector<ToolSource*> sources;
      if (setup.injected) sources.push_back(&*failures);
      simulator.emplace(others.tools, rules, std::move(rollout), r + 1, options);
      world.emplace(rules, sources, &*simulator, &others.tools.facts());
    };
    if (whole_runs) open({});
    for (std::size_t k = 0; k < run.steps.steps.size(); ++k) {
      const ToolStep& step = run.steps.steps[k];
      if (!whole_runs) {
        open(steps_after(run.steps, k, rules));
        for (std::size_t i = 0; i < k; ++i) {
          world->observe(run.steps.steps[i].call, run.steps.steps[i].result);
        }
      }
      const Asked asked = drive(*world, step.call, model);
      if (asked.answer.repeated) continue;
      outcome.tools[step.call.name].add(step, asked);
      if (asked.answer.level == ToolLevel::kNone) continue;
      add_text(run.task, false, *step.result);
      add_text(run.task, true, asked.answer.result);
      outcome.pairs.push_back({&step, asked.answer.result});
    }
  }
  outcome.told_apart = test.finish();
  return outcome;
}

/// How often what is known to be real is held to be false.
void print_false_alarms(const std::vector<LoggedRun>& runs, const ToolRules& rules,
                        const HeldOut& held) {
  std::uint64_t results = 0, misshapen = 0, contradictions = 0, looks_odd = 0;
  std::map<std::string, std::uint64_t> faults;
  for (const LoggedRun& run : runs) {
    const LoggedTools& tools = held.of(run).tools;
    WorldFacts facts(tools.facts());
    for (const ToolStep& step : run.steps.steps) {
      ++results;
      const bool failed = is_error_result(*step.result);
      const LoggedTools::Tool* const tool = tools.find(step.call.name);
      if (tool != nullptr) {
        if (const auto fault = tool->shape.fault(*step.result)) {
          ++misshapen;
          ++faults[step.call.name + ": " + *fault];
        }
      }
      looks_odd += reads_as_refusal(*step.result) || reads_as_question(*step.result) ? 1U : 0U;
      contradictions += facts.take(step.call, *step.result,
                                   !failed && rules.effect(step.call.name) != ToolEffect::kRead);
    }
  }
  fmt::print(
      "\nrecorded results held out: {} of {} fail the shape learned from other tasks ({:.2f}%), {} "
      "facts contradict, {} read as a refusal or a question\n",
      misshapen, results, percent(misshapen, results), contradictions, looks_odd);
  for (const auto& [what, count] : faults) fmt::print("  {} times {}\n", count, what);
}

void print_by_tool(const Outcome& outcome) {
  fmt::print("\n{:<34}{:>8}{:>8}{:>9}{:>8}{:>9}{:>9}{:>9}{:>9}{:>7}\n", "by tool", "calls", "valid",
             "at once", "exact", "errors", "logged", "median", "logged", "KS");
  for (const auto& [name, counts] : outcome.tools) {
    fmt::print("{:<34}{:>8}{:>7.1f}%{:>8.1f}%{:>7.1f}%{:>8.1f}%{:>8.1f}%{:>9}{:>9}{:>7.2f}\n", name,
               counts.results, percent(counts.valid, counts.asked),
               percent(counts.first_valid, counts.asked), percent(counts.exact, counts.results),
               percent(counts.errors, counts.results),
               percent(counts.logged_errors, counts.results), median(counts.bytes),
               median(counts.logged_bytes), distance(counts.bytes, counts.logged_bytes));
  }
}

void print_heading(const char* what) {
  fmt::print("\n{:<34}{:>8}{:>10}{:>10}{:>9}{:>10}{:>9}   {}\n", what, "asked", "valid", "at once",
             "exact", "errors", "contr.", "AUC made-up vs recorded");
}

void print_line(const std::string& name, const Outcome& outcome) {
  const Counts all = outcome.all();
  std::string troubles;
  for (const auto& [trouble, count] : all.troubles)
    troubles += fmt::format(" {} {}", count, trouble);
  const std::string auc =
      outcome.told_apart
          ? fmt::format("{:.3f} ({:.3f}-{:.3f})", outcome.told_apart->auc,
                        outcome.told_apart->interval.lo, outcome.told_apart->interval.hi)
          : "?";
  fmt::print("{:<34}{:>8}{:>9.2f}%{:>9.1f}%{:>8.1f}%{:>9.1f}%{:>9}   {}{}\n", name, all.asked,
             percent(all.valid, all.asked), percent(all.first_valid, all.asked),
             percent(all.exact, all.results), percent(all.errors, all.results), all.contradictions,
             auc, troubles);
}

/// Judges that need no model: what they say shows that the order tells nothing.
void print_judges(const Outcome& outcome) {
  using Judge = std::function<const char*(const RealismQuestion&)>;
  const std::array<std::pair<const char*, Judge>, 3> judges = {{
      {"always says the first", [](const RealismQuestion&) { return "first"; }},
      {"takes the longer one",
       [](const RealismQuestion& question) {
         const std::string& text = question.messages.back().content;
         const std::size_t first = text.find("the first output");
         const std::size_t second = text.find("the second output");
         return second - first >= text.size() - second ? "first" : "second";
       }},
      {"knows",
       [](const RealismQuestion& question) {
         return question.recorded_first ? "first" : "second";
       }},
  }};
  fmt::print("\n{:<34}{:>8}{:>22}\n", "which is real? a judge that", "pairs",
             "takes the made-up one");
  for (const auto& [name, judge] : judges) {
    std::uint64_t taken = 0;
    std::uint64_t pairs = 0;
    for (const Pair& pair : outcome.pairs) {
      if (*pair.step->result == pair.simulated) continue;
      const RealismQuestion question =
          realism_question(pair.step->call, "", *pair.step->result, pair.simulated, ++pairs);
      Completion completion;
      completion.content = judge(question);
      taken += read_realism(question, completion) == RealismVerdict::kSimulated ? 1U : 0U;
    }
    fmt::print("{:<34}{:>8}{:>21.1f}%\n", name, pairs, percent(taken, pairs));
  }
}

std::vector<Setup> setups() {
  std::vector<Setup> all(9);
  all[0].name = "all of it";
  all[1].name = "without the shape";
  all[1].options.shape = false;
  all[2].name = "without the rollout";
  all[2].options.rollout = false;
  all[3].name = "without similar calls";
  all[3].options.similar_calls = false;
  all[4].name = "without the history";
  all[4].options.history = false;
  all[5].name = "without check and repair";
  all[5].options.checked = false;
  all[6].name = "without injected failures";
  all[6].injected = false;
  all[8] = all[3];
  all[8].name = "without similar calls and shape";
  all[8].options.shape = false;
  all[7].name = "without any of these";
  all[7].options = {.schema = false,
                    .shape = false,
                    .rollout = false,
                    .similar_calls = false,
                    .history = false,
                    .checked = false,
                    .untidy = false};
  all[7].injected = false;
  return all;
}

/// A model of the user's choice in the simulator's place, asked one question after the other.
class LiveSimulator {
 public:
  explicit LiveSimulator(std::unique_ptr<ChatModel> model) : model_(std::move(model)) {}
  DrawOutcome ask(const SimulatorQuestion& question) {
    ChatRequest request;
    request.messages = question.messages;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = 600;
    request.seed = question.seed;
    model_->submit(std::move(request));
    for (;;) {
      std::vector<ChatOutcome> ended = model_->poll(1000);
      if (!ended.empty()) return std::move(ended.front().outcome);
    }
  }

 private:
  std::unique_ptr<ChatModel> model_;
};

}  // namespace

bool measure_model(const std::vector<LoggedRun>& runs, const ToolRules& rules,
                   const std::string& spec, std::size_t runs_max) {
  SystemClock clock;
  ModelOptions options;
  options.cache_dir = UNDERSTUDY_CACHE_DIR;
  options.context_tokens = 6'000;
  Result<std::unique_ptr<ChatModel>> model = make_model(spec, options, clock);
  if (!model) {
    fmt::print("{}\n", model.error().message);
    return false;
  }
  LiveSimulator simulator(*std::move(model));
  Setup setup;
  setup.name = fmt::format("{}, {} runs", spec, runs_max);
  // Such as a small model can read.
  setup.options.similar_calls_max = 2;
  setup.options.result_bytes_max = 2'000;
  setup.options.section_bytes_max = 3'000;
  const HeldOut held(runs, rules);
  const Outcome outcome = measure(
      runs, rules, held, setup, false,
      [&](const SimulatorQuestion& question) { return simulator.ask(question); }, runs_max);
  print_heading("simulated by a model");
  print_line(setup.name, outcome);
  print_by_tool(outcome);
  return true;
}

void measure_realism(const std::vector<LoggedRun>& runs, const ToolRules& rules) {
  const HeldOut held(runs, rules);
  print_false_alarms(runs, rules, held);
  print_heading("simulated, scripted simulator");
  std::optional<Outcome> best;
  for (const Setup& setup : setups()) {
    Outcome outcome = measure(runs, rules, held, setup, false);
    print_line(setup.name, outcome);
    if (!best) best = std::move(outcome);
  }
  const Outcome whole = measure(runs, rules, held, setups().front(), true);
  print_line("whole runs, all of it", whole);
  Setup blind = setups().at(5);
  blind.options.history = false;
  print_line("whole runs, no check, no history", measure(runs, rules, held, blind, true));
  print_by_tool(*best);
  print_judges(*best);
}

}  // namespace understudy
