#pragma once
// A loopback server for tests that answers with whatever bytes the test gives it, however wrong.

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace understudy {

struct RawAnswer {
  std::string bytes = {};
  /// kHold: says nothing more, kEndless: the same bytes again and again, until the client goes.
  /// kStay: reads another request on the same connection.
  enum class Then { kClose, kReset, kHold, kEndless, kStay } then = Then::kClose;
};

/// A socket that listens on a free port of the loopback interface.
[[nodiscard]] int listen_on_loopback(std::uint16_t& port);

/// One connection at a time, for one request where its answer says no other; requests are kept as
/// they came.
class RawServer {
 public:
  /// Gives the answer to the request number `index` (from 0).
  using Script = std::function<RawAnswer(std::size_t index)>;
  explicit RawServer(Script script);
  ~RawServer();
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string base_url() const;
  [[nodiscard]] std::vector<std::string> requests() const;
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void serve();
  /// Whether another request may come.
  bool answer(int fd);

  Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

/// An HTTP answer with a right Content-Length.
[[nodiscard]] std::string http_answer(int status, const std::string& body,
                                      const std::string& headers = "");

}  // namespace understudy
