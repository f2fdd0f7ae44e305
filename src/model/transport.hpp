#pragma once
// Transport: bytes to a server and back. The only part of model/ that touches the network, behind
// an interface so that a simulated one can stand in. Thread rule: all calls from one thread.
//
// Every submitted request ends exactly once, in poll(): with a status and a body, or with a typed
// error. A cancelled one does not come back. No redirects, no proxies from the environment.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace understudy {

enum class TransportError : std::uint8_t {
  kNone,
  kConnection,    ///< refused, reset, name not found, broken HTTP
  kTls,           ///< certificate or handshake
  kTimeout,       ///< nothing complete within the time given
  kBodyTooLarge,  ///< of the response, decompressed; or its headers
};

/// What response headers say about rate limits; unknown parts stay empty.
struct RateHeaders {
  std::string retry_after;     ///< seconds or an HTTP date, as sent
  std::string retry_after_ms;  ///< "retry-after-ms", as some providers send
  std::string requests_limit;  ///< "x-ratelimit-limit-requests" and their like
  std::string requests_remaining;
  std::string requests_reset;
  std::string tokens_limit;
  std::string tokens_remaining;
  std::string tokens_reset;
};

/// Where requests go: registered once, so that a request is an index and a body.
struct HttpTarget {
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"; may hold the key, so never printed
};

struct HttpRequest {
  std::uint64_t id = 0;    ///< the caller's, unique among those in flight
  std::size_t target = 0;  ///< of add_target
  std::string body;        ///< POST; empty: GET
  std::int64_t timeout_ms = 0;
};

struct HttpResult {
  std::uint64_t id = 0;
  TransportError error = TransportError::kNone;
  std::string detail;  ///< of the error: the library's words, without URL and headers
  int status = 0;      ///< HTTP status; 0 when there was none
  std::string body;
  RateHeaders rate;
  std::string request_body;  ///< given back, for a retry
};

class Transport {
 public:
  virtual ~Transport() = default;
  [[nodiscard]] virtual std::size_t add_target(HttpTarget target) = 0;
  virtual void submit(HttpRequest request) = 0;
  /// Its result will not come any more. Unknown ids are ignored.
  virtual void cancel(std::uint64_t id) = 0;
  /// Waits at most `timeout_ms` for something to end and appends all that has ended.
  virtual void poll(std::int64_t timeout_ms, std::vector<HttpResult>& ended) = 0;
  [[nodiscard]] virtual std::size_t in_flight() const = 0;
};

struct TransportOptions {
  std::size_t connections_max = 200;             ///< submit() takes no more than that in flight
  std::size_t response_bytes_max = 32ULL << 20;  ///< decompressed
  std::int64_t connect_timeout_ms = 15'000;
  std::string ca_file;  ///< PEM; empty: the system's
};

/// The one for these URLs: plain sockets where each is plain (below), else libcurl. Raises the
/// limit of open files as far as needed; fails with kInfrastructure, naming the numbers, when the
/// system does not let it.
[[nodiscard]] Result<std::unique_ptr<Transport>> make_transport(
    const std::vector<std::string>& urls, const TransportOptions& options, const Clock& clock);

/// http:// to an address or to "localhost": no TLS, no name to look up, no user in the URL.
[[nodiscard]] bool is_plain_url(const std::string& url);

/// libcurl's multi interface, driven by epoll on the caller's thread.
[[nodiscard]] std::unique_ptr<Transport> make_curl_transport(const TransportOptions& options,
                                                             const Clock& clock);
/// Sockets and epoll on the caller's thread, for plain URLs alone: a model server beside us answers
/// faster than libcurl asks (docs/decisions/0070).
[[nodiscard]] std::unique_ptr<Transport> make_plain_transport(const TransportOptions& options,
                                                              const Clock& clock);

/// Keeps the value of a response header that says something about rate limits.
void read_rate_header(std::string_view name, std::string_view value, RateHeaders& rate);

}  // namespace understudy
