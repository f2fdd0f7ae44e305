#pragma once
// A loopback server with a certificate of its own making, for tests of what a client does with bad
// ones.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

namespace understudy {

struct TestCertificate {
  std::string host = "127.0.0.1";   ///< an IP address or a name
  std::int64_t valid_for_s = 3600;  ///< from now; negative: it has expired
};

/// Answers every request with `answer`, one connection at a time.
class TlsServer {
 public:
  TlsServer(const TestCertificate& certificate, std::string answer);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  [[nodiscard]] std::string base_url() const;
  /// The certificate as PEM: who trusts it trusts the server.
  [[nodiscard]] const std::string& pem() const { return pem_; }
  /// Requests that came through the handshake.
  [[nodiscard]] int requests() const { return requests_; }

 private:
  struct Context;
  void serve();
  void answer(int fd);

  std::unique_ptr<Context> context_;
  std::string answer_;
  std::string pem_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<int> requests_{0};
  std::thread thread_;
};

}  // namespace understudy
