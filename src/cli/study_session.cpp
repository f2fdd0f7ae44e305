#include "cli/study_session.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/plan.hpp"
#include "engine/example_run.hpp"
#include "engine/model_roles.hpp"
#include "engine/pipeline.hpp"
#include "engine/plan.hpp"
#include "report/gates.hpp"
#include "report/terminal.hpp"

namespace understudy {
namespace {

std::atomic<int> interrupts{0};
extern "C" void count_interrupt(int /*signal*/) {
  interrupts.fetch_add(1);
}

class Interrupts final : public StopRequest {
 public:
  Interrupts() {
    struct sigaction action {};
    action.sa_handler = count_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
  }
  [[nodiscard]] int count() const override { return interrupts.load(); }
};

std::optional<std::string> environment(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

Display display_of(const StudyFlags& flags) {
  if (flags.display == "none") return Display::kNone;
  if (flags.display == "plain") return Display::kPlain;
  if (flags.display == "rich") return Display::kRich;
  return is_terminal(STDERR_FILENO) ? Display::kRich : Display::kPlain;
}

Result<void> apply_flags(const StudyFlags& flags, StudyConfig& config) {
  if (flags.model) config.candidate.model = *flags.model;
  if (flags.model_base_url) config.candidate.base_url = *flags.model_base_url;
  if (flags.seed) config.sample.seed = *flags.seed;
  if (flags.prefixes) config.sample.prefixes = *flags.prefixes;
  if (flags.draws) config.sample.draws = static_cast<std::uint32_t>(*flags.draws);
  if (flags.max_connections) {
    config.replay.max_connections = static_cast<std::uint32_t>(*flags.max_connections);
  }
  auto& sampling = config.candidate.sampling;
  if (flags.max_tokens) sampling.max_tokens = static_cast<std::uint32_t>(*flags.max_tokens);
  if (flags.temperature) sampling.temperature = *flags.temperature;
  if (flags.top_p) sampling.top_p = *flags.top_p;
  if (flags.budget_cost) config.budget.cost = *flags.budget_cost;
  if (flags.budget_tokens) config.budget.tokens = *flags.budget_tokens;
  if (flags.budget_seconds) config.budget.seconds = *flags.budget_seconds;
  for (const std::string& role : flags.model_roles) {
    const std::size_t equals = role.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == role.size()) {
      return unexpected(ErrorCode::kUsage, "--model-role wants ROLE=PROVIDER/NAME");
    }
    config.roles[role.substr(0, equals)].model = role.substr(equals + 1);
  }
  return check_study_config(config);
}

}  // namespace

bool is_terminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

std::size_t terminal_width(int descriptor) {
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

std::string cache_directory() {
  if (const auto cache = environment("XDG_CACHE_HOME")) return *cache + "/understudy";
  return environment("HOME").value_or("") + "/.cache/understudy";
}

void add_display_flags(CLI::App& app, StudyFlags& flags) {
  app.add_flag("--json", flags.json, "One JSON document on standard output, nothing else there");
  app.add_option("--display", flags.display, "Progress on standard error")
      ->check(CLI::IsMember({"auto", "rich", "plain", "none"}))
      ->capture_default_str();
}

void add_study_flags(CLI::App& app, StudyFlags& flags) {
  app.add_option("DIR", flags.directory, "The study's directory")->required();
  app.add_option("--model", flags.model, "candidate.model: PROVIDER/NAME");
  app.add_option("--model-base-url", flags.model_base_url, "candidate.base_url");
  app.add_option("--model-role", flags.model_roles, "roles.ROLE: ROLE=PROVIDER/NAME");
  app.add_option("--prefixes", flags.prefixes, "sample.prefixes");
  app.add_option("--draws", flags.draws, "sample.draws: answers per prefix")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--seed", flags.seed, "sample.seed");
  app.add_option("--temperature", flags.temperature, "candidate.temperature");
  app.add_option("--top-p", flags.top_p, "candidate.top_p");
  app.add_option("--max-tokens", flags.max_tokens, "candidate.max_tokens");
  app.add_option("--max-connections", flags.max_connections, "replay.max_connections")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--budget-cost", flags.budget_cost, "budget.cost: pauses, exit code 5");
  app.add_option("--budget-tokens", flags.budget_tokens, "budget.tokens: of prompts and answers");
  app.add_option("--budget-seconds", flags.budget_seconds, "budget.seconds: of this call");
  app.add_option("--limit", flags.limit, "Replay the first so many prefixes only (a random part)");
  app.add_flag("--retry-errors", flags.retry_errors, "Ask again for what failed");
  add_display_flags(app, flags);
}

std::optional<int> parse_arguments(CLI::App& app, const std::vector<std::string>& arguments) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return kExitDone;
  } catch (const CLI::ParseError& error) {
    return report_error(
        {ErrorCode::kUsage,
         fmt::format("{}; `understudy {} --help` shows how", error.what(), app.get_name()),
         {}});
  }
  return std::nullopt;
}

int with_study(const StudyFlags& flags, StudyStore::Mode mode,
               const std::function<Result<int>(Study&)>& body) {
  SystemClock clock;
  const Interrupts stop;
  Progress progress(
      display_of(flags), clock,
      [](std::string_view text) {
        std::fwrite(text.data(), 1, text.size(), stderr);
        std::fflush(stderr);
      },
      [] { return terminal_width(STDERR_FILENO); });
  auto config = load_study_config(flags.directory);
  if (!config) return report_error(config.error());
  if (auto applied = apply_flags(flags, *config); !applied) return report_error(applied.error());
  auto store = StudyStore::open(flags.directory, mode);
  if (!store) return report_error(store.error());
  Study study{.config = std::move(*config),
              .store = std::move(*store),
              .world = {.clock = clock,
                        .stop = stop,
                        .progress = progress,
                        .make_model = model_factory(environment, cache_directory()),
                        .name_remote = remote_factory(environment),
                        .make_command = command_factory(),
                        .has_threads = true},
              .options = {.limit = flags.limit, .retry_errors = flags.retry_errors},
              .models = {}};
  const Result<int> code = body(study);
  return code ? *code : report_error(code.error());
}

Result<std::optional<std::vector<ExampleOutcome>>> test_by_model(const Behavior& behavior,
                                                                 const std::string& role,
                                                                 const ModelFlags& flags) {
  SystemClock clock;
  const Interrupts stop;
  std::unique_ptr<ChatModel> model;
  if (role == "command") {
    UNDERSTUDY_TRY(model, command_factory()(behavior, clock));
  } else {
    StudyConfig config;
    config.egress_allow = flags.egress_allow;
    ModelConfig of_role;
    for (const std::string& one : flags.roles) {
      if (one.starts_with(role + "=")) of_role.model = one.substr(role.size() + 1);
    }
    if (of_role.model.empty()) return std::optional<std::vector<ExampleOutcome>>();
    of_role.base_url = flags.base_url;
    of_role.role = role;
    UNDERSTUDY_TRY(model, model_factory(environment, cache_directory())(config, of_role, clock));
  }
  UNDERSTUDY_TRY(auto outcomes, run_examples(behavior, role, *model, clock, stop));
  return std::optional(std::move(outcomes));
}

std::uint64_t failed_draws(const Json& report) {
  std::uint64_t failed = 0;
  for (const auto& [arm, draws] : report["counts"]["draws"].items()) {
    for (const auto& [reason, count] : draws["failed"].items()) {
      failed += count.get<std::uint64_t>();
    }
  }
  return failed;
}

namespace {

Result<int> exit_of_report(const Study& study, const Json& report) {
  std::vector<Gate> gates;
  for (const auto& [name, limit] : study.config.gate)
    gates.push_back({.name = name, .limit = limit});
  UNDERSTUDY_TRY(const std::vector<GateResult> results, check_gates(report, gates));
  bool passed = true;
  for (const GateResult& result : results) {
    passed = passed && result.passed;
    fmt::print(stderr, "{}\n", terminal_safe(result.describe()));
  }
  if (!passed) return kExitGateFailed;
  return failed_draws(report) > 0 ? kExitPartial : kExitDone;
}

// Paused because a model that costs money has done its first draws and no budget is set.
bool is_pilot_over(const Study& study, const Error& error) {
  const auto candidate = study.models.find("candidate");
  return error.code == ErrorCode::kPaused && study.world.stop.count() == 0 &&
         !study.config.budget.cost && !study.options.limit && candidate != study.models.end() &&
         candidate->second->costs_money();
}

}  // namespace

Result<int> run_and_print(Study& study, const StudyFlags& flags) {
  const std::int64_t started_us = study.world.clock.now_us();
  auto ended = run_pipeline(study);
  if (!ended && is_pilot_over(study, ended.error())) {
    UNDERSTUDY_TRY(const Json plan, plan_study(study));
    fmt::print("{}", flags.json ? write_json(plan, JsonStyle::kPretty) : plan_text(plan));
  }
  UNDERSTUDY_TRY(const Json report, std::move(ended));
  if (flags.json) {
    fmt::print("{}", write_json(report, JsonStyle::kPretty));
  } else {
    const double seconds = static_cast<double>(study.world.clock.now_us() - started_us) / 1e6;
    TerminalOptions options;
    options.width = std::clamp<std::size_t>(terminal_width(STDOUT_FILENO), 40, 120);
    options.color = is_terminal(STDOUT_FILENO) && flags.display != "plain";
    options.run_note = duration_text(seconds);
    options.html_path = study.directory() + "/report.html";
    UNDERSTUDY_TRY(const std::string table, terminal_table(report, options));
    fmt::print("{}", table);
  }
  return exit_of_report(study, report);
}

}  // namespace understudy
