#pragma once
// A small HTTP/1.1 server on loopback for the mock server: one thread, epoll, keep-alive and
// pipelining, Content-Length and chunked requests. It can also misbehave on demand, which is why it
// is ours: a library that only writes correct answers can't test a client.
//
// Thread rule: everything on the thread that calls run(), except stop(), which may be called from
// any thread and from a signal handler.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace understudy {

/// Views into the connection's buffer: valid during the handler only.
struct MockHttpRequest {
  std::string_view method;
  std::string_view target;  ///< path and query
  std::string_view body;
};

/// How a response goes wrong on the wire, after its delay.
enum class MockFault {
  kNone,
  kReset,        ///< connection reset before the first byte
  kResetInBody,  ///< reset after half of the response
  kStall,        ///< accepted, never answered
};

struct MockHttpResponse {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::string headers = {};  ///< further header lines, each ended by CRLF
  std::int64_t delay_ms = 0;
  MockFault fault = MockFault::kNone;
};

class MockHttpServer {
 public:
  using Handler = std::function<MockHttpResponse(const MockHttpRequest&)>;

  /// Binds 127.0.0.1; port 0 lets the system choose. Fails with kInfrastructure.
  [[nodiscard]] static Result<std::unique_ptr<MockHttpServer>> listen(std::uint16_t port,
                                                                      Handler handler,
                                                                      const Clock& clock);
  ~MockHttpServer();
  MockHttpServer(const MockHttpServer&) = delete;
  MockHttpServer& operator=(const MockHttpServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  /// Serves until stop().
  void run();
  void stop();
  /// Requests taken whose answers have not been written yet, the one being handled included.
  [[nodiscard]] std::uint64_t in_flight() const;
  /// Answers written completely.
  [[nodiscard]] std::uint64_t answers_sent() const;

 private:
  struct Impl;
  explicit MockHttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy
