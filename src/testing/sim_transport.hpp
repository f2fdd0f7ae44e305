#pragma once
// A network that is not there: time that moves only when somebody waits, and a transport whose
// answers come from a function and whose faults come from a seed. The same seed gives the same run.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/rng.hpp"
#include "model/transport.hpp"
#include "testing/mock_server_http.hpp"

namespace understudy {

class SimClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_us() const override { return now_us_; }
  [[nodiscard]] std::int64_t unix_ms() const override { return kStartUnixMs + now_us_ / 1000; }
  void sleep_ms(std::int64_t duration_ms) override { now_us_ += duration_ms * 1000; }
  void advance_to(std::int64_t time_us) {
    if (time_us > now_us_) now_us_ = time_us;
  }

 private:
  static constexpr std::int64_t kStartUnixMs = 1'700'000'000'000;
  std::int64_t now_us_ = 1'000'000;
};

/// Probabilities per attempt, and times. All zero: a network without faults.
struct NetworkFaults {
  double reset = 0;         ///< the connection breaks, before or within the answer
  double stall = 0;         ///< nothing more comes: the request's timeout ends it
  double drip = 0;          ///< the answer comes, but fifty times slower
  double cut_body = 0;      ///< 200 with a body that ends after any byte
  double html = 0;          ///< 200 with a page of somebody's proxy
  double empty = 0;         ///< 200 with nothing
  double error_inside = 0;  ///< 200 with an error in it
  double wrong_shape = 0;   ///< 200 with JSON of something else
  double wrong_id = 0;      ///< the answer under the id and model name of another: still the answer
  double oversized = 0;     ///< more than the transport takes
  double server_error = 0;  ///< 500, 502, 503 or 529
  double tls = 0;           ///< the handshake fails
  double episode = 0;       ///< a time begins in which every request gets 429
  std::int64_t episode_ms_max = 20'000;
  std::int64_t latency_ms_min = 1;
  std::int64_t latency_ms_max = 400;
};

/// Faults as a swarm of seeds needs them: each kind is off in half of the seeds, and its weight is
/// wildly different in the others, so that rare combinations come up.
[[nodiscard]] NetworkFaults swarm_faults(std::uint64_t seed);

class SimTransport final : public Transport {
 public:
  using Respond = std::function<MockHttpResponse(const MockHttpRequest& request)>;
  SimTransport(SimClock& clock, Respond respond, NetworkFaults faults, std::uint64_t seed);

  [[nodiscard]] std::size_t add_target(HttpTarget target) override;
  void submit(HttpRequest request) override;
  void cancel(std::uint64_t id) override;
  void poll(std::int64_t timeout_ms, std::vector<HttpResult>& ended) override;
  [[nodiscard]] std::size_t in_flight() const override { return due_of_.size(); }

  /// From now on nothing goes wrong any more: what is left must come to its end.
  void stop_faults() { faults_ = {}; }
  [[nodiscard]] std::size_t in_flight_max() const { return in_flight_max_; }
  /// How many attempts each kind of fault has met, by name.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& fault_counts() const { return counts_; }

 private:
  [[nodiscard]] bool happens(double probability, const char* name);
  [[nodiscard]] HttpResult answer(const HttpRequest& request, std::int64_t& delay_us);
  void garble(HttpResult& result);
  [[nodiscard]] bool in_episode();
  [[nodiscard]] std::int64_t latency_us();

  SimClock& clock_;
  Respond respond_;
  NetworkFaults faults_;
  Rng rng_;
  std::vector<HttpTarget> targets_;
  using Due = std::pair<std::int64_t, std::uint64_t>;  ///< time and id
  std::map<Due, HttpResult> coming_;
  std::map<std::uint64_t, std::int64_t> due_of_;
  std::int64_t episode_until_us_ = 0;
  std::size_t in_flight_max_ = 0;
  std::map<std::string, std::uint64_t> counts_;
};

}  // namespace understudy
