#include "model/raw_server_test.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "base/assert.hpp"

namespace understudy {
namespace {
constexpr int kPollMs = 20;

bool readable(int fd) {
  pollfd wanted{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&wanted, 1, kPollMs) > 0;
}

bool is_whole(const std::string& request) {
  if (request.starts_with('\x16')) return true;  // a TLS greeting
  const std::size_t head = request.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  const std::size_t at = request.find("Content-Length: ");
  if (at == std::string::npos || at > head) return true;
  std::size_t length = 0;
  std::from_chars(request.data() + at + 16, request.data() + request.size(), length);
  return request.size() >= head + 4 + length;
}

bool send_all(int fd, const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}
}  // namespace

int listen_on_loopback(std::uint16_t& port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  UNDERSTUDY_ASSERT(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                    listen(listener, 64) == 0 &&
                    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return listener;
}

RawServer::RawServer(Script script) : script_(std::move(script)) {
  listener_ = listen_on_loopback(port_);
  thread_ = std::thread([this] { serve(); });
}

RawServer::~RawServer() {
  stopped_ = true;
  thread_.join();
  ::close(listener_);
}

std::string RawServer::base_url() const {
  return fmt::format("http://127.0.0.1:{}/v1", port_);
}

std::vector<std::string> RawServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void RawServer::serve() {
  while (!stopped_) {
    if (!readable(listener_)) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    ++connections_;
    while (answer(fd)) {
    }
    ::close(fd);
  }
}

bool RawServer::answer(int fd) {
  std::string request;
  std::array<char, 65536> buffer{};
  while (!stopped_ && !is_whole(request)) {
    if (!readable(fd)) continue;
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
    if (count <= 0 && request.empty()) return false;
    if (count <= 0) break;
    request.append(buffer.data(), static_cast<std::size_t>(count));
  }
  std::size_t index = 0;
  {
    const std::lock_guard lock(mutex_);
    index = requests_.size();
    requests_.push_back(std::move(request));
  }
  const RawAnswer answer = script_(index);
  bool connected = send_all(fd, answer.bytes);
  if (answer.then == RawAnswer::Then::kStay) return connected;
  if (answer.then == RawAnswer::Then::kEndless) {
    const std::string body = answer.bytes.substr(answer.bytes.find("\r\n\r\n") + 4);
    while (!stopped_ && connected) connected = send_all(fd, body);
  }
  if (answer.then == RawAnswer::Then::kHold) {
    while (!stopped_ && !(readable(fd) && recv(fd, buffer.data(), buffer.size(), 0) <= 0)) {
    }
  }
  if (answer.then == RawAnswer::Then::kReset) {
    const linger none{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  } else {
    shutdown(fd, SHUT_WR);
  }
  return false;
}

std::string http_answer(int status, const std::string& body, const std::string& headers) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}", status,
                     body.size(), headers, body);
}

}  // namespace understudy
