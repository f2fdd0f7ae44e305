// How fast requests go through the HTTP model, against our mock server in a process of its own:
//   bench_replay_http throughput   zero latency, 200 connections: requests a second
//   bench_replay_http latency      500 ms latency, 2,000 and 10,000 in flight: share of the ideal
//   bench_replay_http pacing       a limit that halves and doubles: share sustained, share refused
// Without an argument all three. Client and server are pinned to a core each where there are two.
// Nothing is stored: `script/bench peers` measures the whole of a replay.

#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "model/model_factory.hpp"
#include "testing/mock_server.hpp"

namespace understudy {
namespace {

void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) sched_setaffinity(0, sizeof cores, &cores);
}

/// A mock server in a child process, killed at the end.
class ServerProcess {
 public:
  explicit ServerProcess(MockServerOptions options) {
    auto server = MockServer::listen(std::move(options), clock_);
    UNDERSTUDY_ASSERT(server.has_value());
    url_ = (*server)->base_url();
    child_ = fork();
    if (child_ == 0) {
      pin_to(1);
      (*server)->run();
      _exit(0);
    }
  }
  ~ServerProcess() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  SystemClock clock_;
  std::string url_;
  pid_t child_ = -1;
};

/// A client that always has more to ask.
class Client {
 public:
  Client(const std::string& url, std::size_t connections) {
    ModelOptions options;
    options.base_urls = {url};
    options.connections_max = connections;
    auto model = make_model("vllm/mock", options, clock_);
    if (!model) {
      fmt::print(stderr, "{}\n", model.error().describe());
      std::exit(4);
    }
    model_ = std::move(*model);
  }

  /// Asks until `end_us`.
  void run_until(std::int64_t end_us) {
    while (clock_.now_us() < end_us) {
      for (std::size_t free = model_->free_slots(); free > 0; --free) submit();
      for (const ChatOutcome& ended : model_->poll(20)) {
        completed += std::holds_alternative<Completion>(ended.outcome) ? 1U : 0U;
        failed += std::holds_alternative<Completion>(ended.outcome) ? 0U : 1U;
      }
    }
  }

  void submit() {
    ChatRequest request;
    request.id = next_;
    request.seed = next_ << 20;
    // About the length of a short turn.
    request.messages.emplace_back().content =
        "Please explain in a few sentences how one would sort a long list of records by two keys, "
        "and which of the usual ways is best when most of them are sorted already.";
    ++next_;
    model_->submit(std::move(request));
  }

  [[nodiscard]] std::uint64_t sent() const { return model_->status().requests_sent; }
  [[nodiscard]] std::string note() const { return model_->status().note; }

  SystemClock clock_;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;

 private:
  std::unique_ptr<ChatModel> model_;
  std::uint64_t next_ = 1;
};

constexpr std::int64_t kSecond = 1'000'000;

void throughput() {
  const ServerProcess server(MockServerOptions{});
  pin_to(0);
  Client client(server.url(), 200);
  const std::int64_t start_us = client.clock_.now_us();
  client.run_until(start_us + 2 * kSecond);  // connections are made
  const std::uint64_t before = client.completed;
  const std::int64_t from_us = client.clock_.now_us();
  client.run_until(from_us + 8 * kSecond);
  const double seconds = static_cast<double>(client.clock_.now_us() - from_us) / 1e6;
  fmt::print("throughput: {:.0f} requests/s with 200 connections, {} failed\n",
             static_cast<double>(client.completed - before) / seconds, client.failed);
}

void latency(std::size_t in_flight) {
  MockServerOptions options;
  options.latency_ms = 500;
  const ServerProcess server(options);
  pin_to(0);
  Client client(server.url(), in_flight);
  client.run_until(client.clock_.now_us() + 12 * kSecond);  // the limit doubles up to in_flight
  const std::uint64_t before = client.completed;
  const std::int64_t from_us = client.clock_.now_us();
  client.run_until(from_us + 10 * kSecond);
  const double seconds = static_cast<double>(client.clock_.now_us() - from_us) / 1e6;
  const double per_s = static_cast<double>(client.completed - before) / seconds;
  const double ideal = static_cast<double>(in_flight) / 0.5;
  fmt::print("latency: {} in flight at 500 ms: {:.0f} requests/s, {:.1f}% of the ideal {:.0f}\n",
             in_flight, per_s, 100 * per_s / ideal, ideal);
}

void pacing(double limit) {
  MockServerOptions options;
  options.latency_ms = 200;
  options.rate_limits = {{.after_ms = 0, .requests_per_s = limit},
                         {.after_ms = 30'000, .requests_per_s = limit / 2},
                         {.after_ms = 60'000, .requests_per_s = limit}};
  const ServerProcess server(options);
  Client client(server.url(), 400);
  const std::int64_t start_us = client.clock_.now_us();
  for (int regime = 0; regime < 3; ++regime) {
    const double allowed = regime == 1 ? limit / 2 : limit;
    client.run_until(start_us + (regime * 30 + 10) * kSecond);
    const std::uint64_t completed = client.completed;
    const std::uint64_t sent = client.sent();
    client.run_until(start_us + (regime * 30 + 30) * kSecond);
    const auto answered = static_cast<double>(client.completed - completed);
    const auto asked = static_cast<double>(client.sent() - sent);
    fmt::print("pacing: limit {:.0f}/s: {:.1f}% of it sustained, {:.2f}% refused ({})\n", allowed,
               100 * answered / 20 / allowed, 100 * std::max(0.0, asked - answered) / asked,
               client.note());
  }
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "all";
  if (what == "throughput" || what == "all") understudy::throughput();
  if (what == "latency" || what == "all") {
    understudy::latency(2'000);
    understudy::latency(10'000);
  }
  if (what == "pacing" || what == "all") {
    for (const double limit : {50.0, 200.0, 1000.0}) understudy::pacing(limit);
  }
  return 0;
}
