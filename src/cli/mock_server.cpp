#include "cli/mock_server.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>

#include "base/file.hpp"
#include "testing/mock_server.hpp"

namespace understudy {
namespace {

// A signal handler can reach nothing else; MockServer::stop is made to be called from one.
MockServer* serving = nullptr;
extern "C" void stop_serving(int /*signal*/) {
  serving->stop();
}

int usage_error(const Error& error) {
  fmt::print(stderr, "understudy mock-server: {}\n", error.describe());
  return 2;
}

Result<std::string> read_scenario(const std::string& path) {
  auto text = file_bytes(path);
  if (!text) {
    return unexpected(ErrorCode::kUsage, "--scenario: can't read this file",
                      {.file = path, .line = {}, .byte_offset = {}});
  }
  return *std::move(text);
}

int serve(MockServerOptions options) {
  const SystemClock clock;
  auto server = MockServer::listen(std::move(options), clock);
  if (!server) {
    fmt::print(stderr, "understudy mock-server: {}\n", server.error().describe());
    return 4;
  }
  serving = server->get();
  struct sigaction action {};
  action.sa_handler = stop_serving;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  fmt::print("listening on {}\n", (*server)->base_url());
  std::fflush(stdout);
  (*server)->run();
  return 0;
}

}  // namespace

int run_mock_server(const std::vector<std::string>& arguments) {
  CLI::App app(
      "An OpenAI-compatible server on loopback to rehearse against. Answers are a function of\n"
      "seed and request alone. GET /stats gives counts.\n\n"
      "  understudy mock-server --port 8080 --behavior promised_background_task=0.02 --seed 1\n"
      "  VLLM_BASE_URL=http://127.0.0.1:8080/v1 understudy init study --logs logs.jsonl "
      "--model vllm/mock",
      "understudy mock-server");
  MockServerOptions options;
  double rate_limit = 0;
  std::vector<std::string> behaviors;
  std::string scenario;
  app.add_option("--port", options.port, "Port on 127.0.0.1; 0: the system chooses (default)");
  app.add_option("--seed", options.seed, "Seed of the answers (default 1)");
  CLI::Option* const latency =
      app.add_option("--latency-ms", options.latency_ms, "Milliseconds before each answer")
          ->check(CLI::NonNegativeNumber);
  CLI::Option* const limit =
      app.add_option("--rate-limit", rate_limit, "Requests a second; more get 429 with Retry-After")
          ->check(CLI::NonNegativeNumber);
  CLI::Option* const errors =
      app.add_option("--error-rate", options.error_rate, "Probability of a 500, per attempt")
          ->check(CLI::Range(0.0, 1.0));
  app.add_option("--behavior", behaviors, "NAME=RATE: how often answers show it (repeatable)")
      ->allow_extra_args(false);
  app.add_option("--scenario", scenario, "FILE.toml: models with roles and rates; flags win");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const std::string& text : behaviors) {
    auto rate = parse_behavior_rate(text);
    if (!rate) return usage_error(rate.error());
    options.rates.insert_or_assign(rate->first, rate->second);
  }
  const MockServerOptions flags = options;
  if (!scenario.empty()) {
    auto text = read_scenario(scenario);
    if (!text) return usage_error(text.error());
    auto read = parse_mock_scenario(*text, scenario, options);
    if (!read) return usage_error(read.error());
    options = std::move(*read);
  }
  if (latency->count() > 0) options.latency_ms = flags.latency_ms;
  if (errors->count() > 0) options.error_rate = flags.error_rate;
  if (app.count("--seed") > 0) options.seed = flags.seed;
  if (limit->count() > 0) {
    options.rate_limits = {{.after_ms = 0, .requests_per_s = rate_limit}};
  }
  return serve(std::move(options));
}

}  // namespace understudy
