#pragma once
// The mock server: an OpenAI-compatible server on loopback to rehearse against. Models in it have
// roles (candidate or deployed with known rates per behavior, judge and auditor with known errors,
// oracle), so that a study against it has a known truth.
//
// An answer is a function of the seed and the request alone, whatever the order of arrival. Errors
// and limits are not: an injected error depends on how often this request has come, and a rate
// limit on the clock.
//
// GET /v1/models, POST /v1/chat/completions, /v1/moderations and /v1/embeddings, OpenAI's Files and
// Batches, and GET /stats: counts for tests (requests, by status, by model, in flight, distinct
// requests; span_ms: from the first chat request to the last).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "testing/mock_server_http.hpp"

namespace understudy {

enum class MockRole { kCandidate, kDeployed, kJudge, kOracle, kAuditor };

/// Probabilities, for each answer that calls tools.
struct MockToolFaults {
  double unknown_tool = 0;        ///< calls a tool that was not offered
  double arguments_not_json = 0;  ///< its arguments end in the middle
  double duplicate_ids = 0;       ///< every call has the same id
};

/// Probabilities, for each answer of an auditor; the first that comes about.
struct MockMisconduct {
  double listed = 0;     ///< names a behavior of its list
  double essay = 0;      ///< writes an essay
  double echo = 0;       ///< repeats the answer that it was to read
  double malformed = 0;  ///< writes no JSON
};

struct MockModel {
  std::string name = {};
  MockRole role = MockRole::kCandidate;
  std::map<std::string, double> rates;  ///< candidate, deployed: probability per answer, [0, 1]
  double sensitivity = 1;               ///< judge: P(says present | a plant is there); auditor:
                                        ///< P(notes a plant that is not on its list)
  double specificity = 1;               ///< judge: P(says absent | none is there)
  double false_notes = 0;               ///< auditor: P(notes something | there is no such plant)
  MockMisconduct misconduct = {};
  /// candidate, deployed: tool calls that it makes after a user message, before it answers; none
  /// where no tool is offered. Call k is of the first tool that is, with {"item":k}.
  std::uint32_t tool_calls = 0;
  std::uint32_t parallel_calls = 1;  ///< of these, at once
  MockToolFaults faults = {};
};

/// From this moment on, so many requests a second are served; the rest gets 429.
struct MockRateLimit {
  std::int64_t after_ms = 0;  ///< since the first request
  double requests_per_s = 0;  ///< 0: no limit
};

struct MockServerOptions {
  std::uint16_t port = 0;  ///< 0: the system chooses
  std::uint64_t seed = 1;
  std::int64_t latency_ms = 0;
  double error_rate = 0;                   ///< probability of a 500, per attempt
  std::vector<MockRateLimit> rate_limits;  ///< in the order of after_ms
  std::map<std::string, double> rates;     ///< of models that `models` does not name
  std::vector<MockModel> models;           ///< none: every name is a candidate
};

/// Reads a scenario file (TOML) over `options`:
///   seed, latency_ms, rate_limit, error_rate   as the flags
///   [[rate_limits]]                            after_s, per_s: limits that change with time
///   environment_bias                           what rates are multiplied with: replay is not
///                                              production
///   [models.NAME]                              role = "candidate" | "deployed" | "judge" |
///   "oracle" | "auditor"
///     rates = { BEHAVIOR = RATE, … }           candidate, deployed
///     tool_calls, parallel_calls               candidate, deployed
///     faults = { unknown_tool, arguments_not_json, duplicate_ids }   the same
///     sensitivity, specificity                 judge
///     sensitivity, false_notes                 auditor
///     misconduct = { listed, essay, echo, malformed }                the same
/// Unknown keys are errors (kUsage) with line and nearest valid key.
[[nodiscard]] Result<MockServerOptions> parse_mock_scenario(std::string_view toml,
                                                            std::string_view file,
                                                            MockServerOptions options);

/// "NAME=RATE" as of --behavior; RATE in [0, 1].
[[nodiscard]] Result<std::pair<std::string, double>> parse_behavior_rate(std::string_view text);

/// What the server does with a request, without a socket: also behind simulated transports.
class MockResponder {
 public:
  /// The clock must outlive it; only rate limits look at it.
  MockResponder(MockServerOptions options, const Clock& clock);
  ~MockResponder();
  MockResponder(MockResponder&&) noexcept;
  [[nodiscard]] MockHttpResponse respond(const MockHttpRequest& request);
  /// What GET /stats gives, without what only a server can know.
  [[nodiscard]] Json stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class MockServer {
 public:
  /// Binds; serves once run() is called. The clock must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<MockServer>> listen(MockServerOptions options,
                                                                  const Clock& clock);
  MockServer(const MockServer&) = delete;
  MockServer& operator=(const MockServer&) = delete;

  /// "http://127.0.0.1:PORT/v1"
  [[nodiscard]] std::string base_url() const;
  /// Serves until stop(), which any thread and any signal handler may call.
  void run();
  void stop();
  /// What GET /stats gives; only before run() or after it has returned.
  [[nodiscard]] Json stats() const;

 private:
  MockServer(MockServerOptions options, const Clock& clock);
  [[nodiscard]] MockHttpResponse handle(const MockHttpRequest& request);
  MockResponder responder_;
  std::unique_ptr<MockHttpServer> http_;
  std::uint64_t in_flight_max_ = 0;
};

/// A mock server on a thread of its own, for tests in one process.
class MockServerThread {
 public:
  /// Aborts when no loopback port can be had.
  explicit MockServerThread(MockServerOptions options);
  ~MockServerThread();
  MockServerThread(const MockServerThread&) = delete;
  MockServerThread& operator=(const MockServerThread&) = delete;
  [[nodiscard]] std::string base_url() const { return server_->base_url(); }
  /// Stops serving and gives the counts; may be called once.
  [[nodiscard]] Json stop();

 private:
  SystemClock clock_;
  std::unique_ptr<MockServer> server_;
  std::thread thread_;
};

}  // namespace understudy
