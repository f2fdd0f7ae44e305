#pragma once
// HttpModel: a ChatModel behind one or several HTTP endpoints. One loop for every protocol: it
// takes requests, sends as many as the rate control of each endpoint allows, retries what may be
// retried, and ends each request once. Protocol, transport, clock, retry policy and rate control
// are passed in as values.
//
// Thread rule: all calls from one thread; the network moves inside poll().

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "model/chat_model.hpp"
#include "model/chat_protocol.hpp"
#include "model/model_spec.hpp"
#include "model/rate_control.hpp"
#include "model/retry.hpp"
#include "model/transport.hpp"

namespace understudy {

struct HttpModelOptions {
  std::string identity;                       ///< for the manifest: "vllm/x at http://…"
  std::size_t connections_max = 200;          ///< of each endpoint
  std::int64_t attempt_timeout_ms = 600'000;  ///< for one answer
  std::int64_t deadline_ms = 3'600'000;       ///< for a request, retries and waits included
  RetryPolicy retry;
  bool costs_money = false;
};

/// What became of one attempt: an outcome, and if it is a failure, whether to try again. Pure.
struct AttemptReading {
  DrawOutcome outcome;
  AttemptFailure failure = AttemptFailure::kFinal;  ///< meaningful when the outcome is a Failure
  bool server_ill = false;                          ///< 5xx, reset: growth pauses
};
[[nodiscard]] AttemptReading read_attempt(const HttpResult& result, ChatProtocol& protocol,
                                          std::string_view key);

/// `transport` must take `connections_max` requests per endpoint; `clock` must outlive the model.
[[nodiscard]] std::unique_ptr<ChatModel> make_http_model(HttpModelOptions options,
                                                         std::vector<Endpoint> endpoints,
                                                         std::unique_ptr<ChatProtocol> protocol,
                                                         std::unique_ptr<Transport> transport,
                                                         const Clock& clock);

}  // namespace understudy
