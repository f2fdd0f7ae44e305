#include "model/http_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <queue>
#include <unordered_map>
#include <utility>

#include "base/assert.hpp"

namespace understudy {
namespace {

// A Retry-After of more than this is taken to mean every request, not only the one refused: a
// shorter one is what servers send by habit while they go on answering others.
constexpr std::int64_t kHoldFromMs = 2'000;
// Headers that say "nothing left" are believed for so long, then they are asked again.
constexpr std::int64_t kHoldMaxMs = 60'000;
// Connection failures in a row after which an endpoint is left alone for a while, if there are
// others.
constexpr std::uint32_t kIllAfter = 3;
constexpr std::int64_t kIllMs = 5'000;

struct Pending {
  std::uint64_t id = 0;  ///< the caller's
  std::string body;      ///< while not in flight
  Rng jitter{0};
  std::int64_t deadline_us = 0;
  std::int64_t sent_us = 0;
  std::uint64_t epoch = 0;
  std::size_t endpoint = 0;
  std::uint32_t attempts = 0;
  std::uint32_t failures = 0;
  std::uint32_t rate_limits = 0;
  Failure last{FailureReason::kTimeout, "the deadline passed before it could be sent"};
};

struct EndpointState {
  Endpoint endpoint;
  std::size_t target = 0;
  ConcurrencyLimit limit;
  Pacer pacer;
  std::size_t in_flight = 0;
  std::uint32_t broken_in_a_row = 0;
  std::int64_t ill_until_us = 0;
  std::int64_t server_error_us = 0;  ///< of the last 5xx or reset, for the note; 0: none
};

struct Waiting {
  std::int64_t due_us = 0;
  std::uint64_t key = 0;
  bool operator>(const Waiting& other) const {
    return std::pair(due_us, key) > std::pair(other.due_us, other.key);
  }
};

class HttpModel final : public ChatModel {
 public:
  HttpModel(HttpModelOptions options, std::vector<Endpoint> endpoints,
            std::unique_ptr<ChatProtocol> protocol, std::unique_ptr<Transport> transport,
            const Clock& clock)
      : options_(std::move(options)),
        protocol_(std::move(protocol)),
        transport_(std::move(transport)),
        clock_(clock) {
    UNDERSTUDY_ASSERT(!endpoints.empty());
    for (Endpoint& endpoint : endpoints) {
      const std::size_t target =
          transport_->add_target({.url = endpoint.base_url + protocol_->path(),
                                  .headers = protocol_->headers(endpoint.key)});
      ConcurrencyOptions concurrency;
      concurrency.max = options_.connections_max;
      concurrency.start = std::min(concurrency.start, options_.connections_max);
      endpoints_.push_back({.endpoint = std::move(endpoint),
                            .target = target,
                            .limit = ConcurrencyLimit(concurrency),
                            .pacer = {}});
    }
  }

  [[nodiscard]] std::string identity() const override { return options_.identity; }
  [[nodiscard]] bool costs_money() const override { return options_.costs_money; }

  [[nodiscard]] std::size_t free_slots() const override {
    // Requests that wait out a 429 hold no connection, but they are not let pile up either.
    if (waiting_.size() >= concurrency_max()) return 0;
    const std::size_t limit = concurrency_limit();
    const std::size_t taken = transport_->in_flight() + ready_.size();
    return limit > taken ? limit - taken : 0;
  }

  void submit(ChatRequest request) override {
    Result<std::string> body = protocol_->request_body(request);
    if (!body) {
      ended_.push_back({.id = request.id,
                        .outcome = Failure{FailureReason::kBadRequest, body.error().message},
                        .attempts = 0});
      return;
    }
    Pending pending;
    pending.id = request.id;
    pending.body = std::move(*body);
    pending.jitter = Rng(request.seed, request.id);
    pending.deadline_us = clock_.now_us() + options_.deadline_ms * 1000;
    const std::uint64_t key = next_key_++;
    pending_.emplace(key, std::move(pending));
    ready_.push_back(key);
  }

  void hold(std::size_t places) override { held_ = places; }

  [[nodiscard]] std::vector<ChatOutcome> poll(int timeout_ms) override {
    const std::int64_t stop_us = clock_.now_us() + std::int64_t{timeout_ms} * 1000;
    for (;;) {
      const std::int64_t now_us = clock_.now_us();
      wake_waiting(now_us);
      const std::int64_t next_send_us = send_ready(now_us);
      std::int64_t until_us = ended_.empty() ? std::min(stop_us, next_send_us) : now_us;
      if (!waiting_.empty()) until_us = std::min(until_us, waiting_.top().due_us);
      const std::int64_t wait_ms = std::max<std::int64_t>((until_us - now_us + 999) / 1000, 0);
      results_.clear();
      transport_->poll(wait_ms, results_);
      for (HttpResult& result : results_) handle(std::move(result));
      if (!ended_.empty() || clock_.now_us() >= stop_us) return std::exchange(ended_, {});
    }
  }

  [[nodiscard]] ModelStatus status() const override {
    ModelStatus status = totals_;
    status.in_flight = pending_.size();
    status.waiting = waiting_.size();
    status.concurrency_limit = concurrency_limit();
    status.concurrency_max = concurrency_max();
    status.note = note();
    return status;
  }

 private:
  [[nodiscard]] std::size_t concurrency_max() const {
    return options_.connections_max * endpoints_.size();
  }
  [[nodiscard]] std::size_t concurrency_limit() const {
    std::size_t limit = 0;
    for (const EndpointState& state : endpoints_) limit += state.limit.limit();
    return limit;
  }

  void wake_waiting(std::int64_t now_us) {
    // Retries go before new requests: what has waited longest is closest to its deadline.
    while (!waiting_.empty() && waiting_.top().due_us <= now_us) {
      ready_.push_front(waiting_.top().key);
      waiting_.pop();
    }
  }

  /// Sends what may be sent now; gives the time at which more may be, as far as a clock decides.
  std::int64_t send_ready(std::int64_t now_us) {
    while (!ready_.empty()) {
      const std::uint64_t key = ready_.front();
      Pending& pending = pending_.at(key);
      if (pending.deadline_us <= now_us) {
        ready_.pop_front();
        finish(key, pending.last, 0);
        continue;
      }
      std::int64_t next_us = pending.deadline_us;
      const bool has_room = held_ == 0 || transport_->in_flight() + held_ < concurrency_max();
      EndpointState* const state = has_room ? choose_endpoint(now_us, next_us) : nullptr;
      if (state == nullptr) return next_us;
      ready_.pop_front();
      send(key, pending, *state, now_us);
    }
    return INT64_MAX;
  }

  /// The endpoint with the most room for its weight; null when none may send now, and then
  /// `next_us` is lowered to when one may.
  EndpointState* choose_endpoint(std::int64_t now_us, std::int64_t& next_us) {
    EndpointState* best = nullptr;
    double best_load = 0;
    for (EndpointState& state : endpoints_) {
      if (state.in_flight >= state.limit.limit()) continue;
      std::int64_t free_us = state.pacer.next_us(now_us);
      if (endpoints_.size() > 1) free_us = std::max(free_us, state.ill_until_us);
      if (free_us > now_us) {
        next_us = std::min(next_us, free_us);
        continue;
      }
      const double load = static_cast<double>(state.in_flight + 1) /
                          (state.endpoint.weight * static_cast<double>(state.limit.limit()));
      if (best == nullptr || load < best_load) {
        best = &state;
        best_load = load;
      }
    }
    if (best != nullptr && !best->pacer.take(now_us)) {
      // Rounding between microseconds and tokens: a moment later it will.
      next_us = std::min(next_us, now_us + 1000);
      return nullptr;
    }
    return best;
  }

  void send(std::uint64_t key, Pending& pending, EndpointState& state, std::int64_t now_us) {
    pending.endpoint = static_cast<std::size_t>(&state - endpoints_.data());
    pending.epoch = state.limit.epoch();
    pending.sent_us = now_us;
    ++pending.attempts;
    ++state.in_flight;
    ++totals_.requests_sent;
    const std::int64_t left_ms = (pending.deadline_us - now_us + 999) / 1000;
    transport_->submit({.id = key,
                        .target = state.target,
                        .body = std::move(pending.body),
                        .timeout_ms = std::min(options_.attempt_timeout_ms, left_ms)});
  }

  void handle(HttpResult result) {
    const std::uint64_t key = result.id;
    Pending& pending = pending_.at(key);
    EndpointState& state = endpoints_[pending.endpoint];
    const std::int64_t now_us = clock_.now_us();
    AttemptReading reading = read_attempt(result, *protocol_, state.endpoint.key);
    const std::size_t in_flight = state.in_flight--;
    auto* const failure = std::get_if<Failure>(&reading.outcome);
    learn(state, pending, failure, reading, result, in_flight, now_us);
    if (failure == nullptr) {
      const Usage& usage = std::get<Completion>(reading.outcome).usage;
      totals_.prompt_tokens += usage.prompt_tokens;
      totals_.completion_tokens += usage.completion_tokens;
      finish(key, std::move(reading.outcome), now_us - pending.sent_us);
      return;
    }
    pending.last = *failure;
    pending.body = std::move(result.request_body);
    ++(reading.failure == AttemptFailure::kRateLimited ? pending.rate_limits : pending.failures);
    const RetryDecision decision =
        decide_retry(options_.retry, reading.failure, pending.failures, pending.rate_limits,
                     retry_after_of(result.rate, clock_.unix_ms()),
                     (pending.deadline_us - now_us) / 1000, pending.jitter);
    if (decision.again) {
      waiting_.push({.due_us = now_us + decision.delay_ms * 1000, .key = key});
    } else {
      finish(key, *failure, now_us - pending.sent_us);
    }
  }

  /// What an attempt says about the endpoint.
  void learn(EndpointState& state, const Pending& pending, const Failure* failure,
             const AttemptReading& reading, const HttpResult& result, std::size_t in_flight,
             std::int64_t now_us) {
    if (const auto used_up_ms = used_up_for(result.rate, clock_.unix_ms())) {
      state.pacer.hold_until(now_us + std::min(*used_up_ms, kHoldMaxMs) * 1000);
    }
    if (failure != nullptr && reading.failure == AttemptFailure::kRateLimited) {
      const auto retry_after_ms = retry_after_of(result.rate, clock_.unix_ms());
      if (retry_after_ms && *retry_after_ms > kHoldFromMs) {
        state.pacer.hold_until(now_us + *retry_after_ms * 1000);
      }
      if (state.limit.on_rate_limited(pending.epoch)) state.pacer.on_rate_limited(now_us);
      return;
    }
    const bool unreachable = result.error == TransportError::kConnection;
    state.broken_in_a_row = unreachable ? state.broken_in_a_row + 1 : 0;
    if (state.broken_in_a_row >= kIllAfter) state.ill_until_us = now_us + kIllMs * 1000;
    if (failure != nullptr && reading.server_ill) {
      state.limit.on_server_error();
      state.server_error_us = now_us;
      return;
    }
    state.limit.on_answer(in_flight);
    state.pacer.on_answer(now_us);
  }

  void finish(std::uint64_t key, DrawOutcome outcome, std::int64_t latency_us) {
    const auto found = pending_.find(key);
    ended_.push_back({.id = found->second.id,
                      .outcome = std::move(outcome),
                      .attempts = found->second.attempts,
                      .latency_ms = static_cast<double>(latency_us) / 1000});
    pending_.erase(found);
  }

  [[nodiscard]] std::string note() const {
    const std::int64_t now_us = clock_.now_us();
    std::string text;
    const auto add = [&](std::string part) { text += (text.empty() ? "" : "; ") + part; };
    for (const EndpointState& state : endpoints_) {
      const std::int64_t held_us = state.pacer.held_until_us() - now_us;
      if (held_us > 0) {
        add(fmt::format("429: waits {} s", (held_us + 999'999) / 1'000'000));
      } else if (state.pacer.has_rate()) {
        const double rate = state.pacer.rate_per_s();
        add(rate < 100 ? fmt::format("429: paced at {:.3g} requests/s", rate)
                       : fmt::format("429: paced at {:.0f} requests/s", rate));
      }
      constexpr std::int64_t kRecentUs = 10'000'000;
      if (state.server_error_us > 0 && now_us - state.server_error_us < kRecentUs) {
        add("server errors: no growth");
      }
    }
    if (!text.empty()) return text;
    return concurrency_limit() >= concurrency_max() ? "max_connections" : "growing";
  }

  HttpModelOptions options_;
  std::unique_ptr<ChatProtocol> protocol_;
  std::unique_ptr<Transport> transport_;
  const Clock& clock_;
  std::vector<EndpointState> endpoints_;
  std::unordered_map<std::uint64_t, Pending> pending_;
  std::deque<std::uint64_t> ready_;
  std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> waiting_;
  std::vector<ChatOutcome> ended_;
  std::vector<HttpResult> results_;
  std::uint64_t next_key_ = 1;
  std::size_t held_ = 0;
  ModelStatus totals_;
};

}  // namespace

std::unique_ptr<ChatModel> make_http_model(HttpModelOptions options,
                                           std::vector<Endpoint> endpoints,
                                           std::unique_ptr<ChatProtocol> protocol,
                                           std::unique_ptr<Transport> transport,
                                           const Clock& clock) {
  return std::make_unique<HttpModel>(std::move(options), std::move(endpoints), std::move(protocol),
                                     std::move(transport), clock);
}

}  // namespace understudy
