#include "testing/mock_server_http.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kHeadBytesMax = 64U << 10;
constexpr std::size_t kBodyBytesMax = 64U << 20;
constexpr std::size_t kReadBytes = 64U << 10;

struct Connection {
  std::string in;
  std::size_t parsed = 0;  ///< bytes of `in` that belong to requests already handled
  std::string out;
  std::size_t written = 0;
  std::uint64_t generation = 0;  ///< tells a reused descriptor from the one a delay was set for
  bool busy = false;             ///< a request has been taken and not answered yet
  bool open = false;
  bool close_after = false;
  bool reset_after = false;
  bool continue_sent = false;  ///< "100 Continue" for the request that is being received
  bool waits_for_write = false;
};

struct Delayed {
  std::int64_t due_us = 0;
  std::uint64_t order = 0;  ///< first come, first served among equals
  int fd = -1;
  std::uint64_t generation = 0;
  MockHttpResponse response;
  bool keep_alive = true;
};
struct LaterFirst {
  bool operator()(const Delayed& a, const Delayed& b) const {
    return std::pair(a.due_us, a.order) > std::pair(b.due_us, b.order);
  }
};

std::string_view status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Payload Too Large";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

struct Head {
  std::string_view method;
  std::string_view target;
  std::size_t content_length = 0;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
  bool valid = true;
};

void read_header_line(std::string_view line, Head& head) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    head.valid = false;
    return;
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (equals_ignoring_case(name, "content-length")) {
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), head.content_length);
    head.valid = head.valid && error == std::errc() && end == value.data() + value.size();
  } else if (equals_ignoring_case(name, "transfer-encoding")) {
    head.chunked = equals_ignoring_case(value, "chunked");
  } else if (equals_ignoring_case(name, "connection")) {
    if (equals_ignoring_case(value, "close")) head.keep_alive = false;
    if (equals_ignoring_case(value, "keep-alive")) head.keep_alive = true;
  } else if (equals_ignoring_case(name, "expect")) {
    head.expects_continue = true;
  }
}

Head read_head(std::string_view text) {
  Head head;
  const std::size_t line_end = text.find("\r\n");
  const std::string_view line = text.substr(0, line_end);
  const std::size_t first = line.find(' ');
  const std::size_t second = line.rfind(' ');
  if (first == std::string_view::npos || second == first) {
    head.valid = false;
    return head;
  }
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, second - first - 1);
  head.keep_alive = line.substr(second + 1) != "HTTP/1.0";
  for (std::string_view rest = text.substr(std::min(line_end + 2, text.size())); !rest.empty();) {
    const std::size_t end = rest.find("\r\n");
    const std::string_view header = rest.substr(0, end);
    if (!header.empty()) read_header_line(header, head);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 2);
  }
  return head;
}

struct Body {
  std::string_view text;  ///< of the request, or of `joined`
  std::size_t size = 0;   ///< bytes on the wire
  bool too_large = false;
};

// Nothing yet: more bytes are needed.
std::optional<Body> read_body(const Head& head, std::string_view rest, std::string& joined) {
  if (!head.chunked) {
    if (head.content_length > kBodyBytesMax) return Body{.text = {}, .size = 0, .too_large = true};
    if (rest.size() < head.content_length) return std::nullopt;
    return Body{.text = rest.substr(0, head.content_length), .size = head.content_length};
  }
  joined.clear();
  for (std::size_t at = 0;;) {
    const std::size_t line_end = rest.find("\r\n", at);
    if (line_end == std::string_view::npos) return std::nullopt;
    std::size_t size = 0;
    std::from_chars(rest.data() + at, rest.data() + line_end, size, 16);
    if (size > kBodyBytesMax - std::min(kBodyBytesMax, joined.size())) {
      return Body{.text = {}, .size = 0, .too_large = true};
    }
    if (rest.size() < line_end + 2 + size + 2) return std::nullopt;
    joined.append(rest.substr(line_end + 2, size));
    at = line_end + 2 + size + 2;
    if (size == 0) return Body{.text = joined, .size = at};
  }
}

}  // namespace

struct MockHttpServer::Impl {
  Impl(Handler the_handler, const Clock& the_clock)
      : handler(std::move(the_handler)), clock(the_clock) {}
  ~Impl() {
    for (std::size_t fd = 0; fd < connections.size(); ++fd) {
      if (connections[fd].open) ::close(static_cast<int>(fd));
    }
    for (const int fd : {listener, epoll, wake}) {
      if (fd >= 0) ::close(fd);
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Connection& at(int fd) { return connections[static_cast<std::size_t>(fd)]; }
  void accept_all();
  void read_from(int fd);
  void take_requests(int fd);
  void answer(int fd, MockHttpResponse response, bool keep_alive);
  void put_on_wire(int fd, MockHttpResponse& response, bool keep_alive);
  void write_to(int fd);
  void close_connection(int fd, bool with_reset);
  void send_due();
  [[nodiscard]] int wait_ms() const;
  void watch(int operation, int fd, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll, operation, fd, &event);
  }

  Handler handler;
  const Clock& clock;
  int listener = -1;
  int epoll = -1;
  int wake = -1;
  std::uint16_t port = 0;
  bool stopped = false;
  std::vector<Connection> connections;  ///< by descriptor
  std::vector<Delayed> delayed;         ///< a heap, the next due one in front
  std::uint64_t generations = 0;
  std::uint64_t orders = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t answers_sent = 0;
  std::string chunks;
  std::array<char, kReadBytes> buffer{};
};

void MockHttpServer::Impl::accept_all() {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connections.size() <= static_cast<std::size_t>(fd)) {
      connections.resize(static_cast<std::size_t>(fd) + 1);
    }
    at(fd) = Connection{};
    at(fd).open = true;
    at(fd).generation = ++generations;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP);
  }
}

void MockHttpServer::Impl::close_connection(int fd, bool with_reset) {
  Connection& connection = at(fd);
  if (!connection.open) return;
  if (connection.busy) --in_flight;
  if (with_reset) {
    const linger none{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  ::close(fd);
  connection = Connection{};
}

void MockHttpServer::Impl::read_from(int fd) {
  for (;;) {
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
    if (count > 0) {
      Connection& connection = at(fd);
      connection.in.append(buffer.data(), static_cast<std::size_t>(count));
      if (connection.in.size() > 2 * kBodyBytesMax) return close_connection(fd, true);
      if (static_cast<std::size_t>(count) == buffer.size()) continue;
      break;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    return close_connection(fd, false);
  }
  take_requests(fd);
}

// One request at a time: the next of a pipeline is taken when the one before has been answered.
void MockHttpServer::Impl::take_requests(int fd) {
  while (at(fd).open && !at(fd).busy && at(fd).out.empty()) {
    Connection& connection = at(fd);
    const std::string_view rest = std::string_view(connection.in).substr(connection.parsed);
    if (rest.empty()) {
      connection.in.clear();
      connection.parsed = 0;
      return;
    }
    const std::size_t head_end = rest.find("\r\n\r\n");
    if (head_end == std::string_view::npos) {
      if (rest.size() > kHeadBytesMax) close_connection(fd, true);
      return;
    }
    const Head head = read_head(rest.substr(0, head_end));
    const std::optional<Body> body = read_body(head, rest.substr(head_end + 4), chunks);
    if (!body) {
      if (head.expects_continue && !std::exchange(connection.continue_sent, true)) {
        constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
        if (send(fd, kContinue.data(), kContinue.size(), MSG_NOSIGNAL) < 0) {
          close_connection(fd, false);
        }
      }
      return;
    }
    connection.busy = true;
    ++in_flight;
    if (!head.valid || body->too_large) {
      return answer(fd, {.status = head.valid ? 413 : 400, .body = "{}"}, false);
    }
    MockHttpResponse response =
        handler({.method = head.method, .target = head.target, .body = body->text});
    connection.parsed += head_end + 4 + body->size;
    connection.continue_sent = false;
    answer(fd, std::move(response), head.keep_alive);
  }
}

void MockHttpServer::Impl::answer(int fd, MockHttpResponse response, bool keep_alive) {
  if (response.delay_ms <= 0) return put_on_wire(fd, response, keep_alive);
  delayed.push_back({.due_us = clock.now_us() + response.delay_ms * 1000,
                     .order = ++orders,
                     .fd = fd,
                     .generation = at(fd).generation,
                     .response = std::move(response),
                     .keep_alive = keep_alive});
  std::push_heap(delayed.begin(), delayed.end(), LaterFirst());
}

void MockHttpServer::Impl::put_on_wire(int fd, MockHttpResponse& response, bool keep_alive) {
  if (response.fault == MockFault::kStall) return;
  if (response.fault == MockFault::kReset) return close_connection(fd, true);
  Connection& connection = at(fd);
  fmt::format_to(std::back_inserter(connection.out),
                 "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n",
                 response.status, status_text(response.status), response.content_type,
                 response.body.size(), response.headers, keep_alive ? "" : "Connection: close\r\n");
  connection.out += response.body;
  connection.close_after = !keep_alive;
  if (response.fault == MockFault::kResetInBody) {
    connection.out.resize(connection.out.size() - response.body.size() / 2 - 1);
    connection.reset_after = true;
  }
  write_to(fd);
}

void MockHttpServer::Impl::write_to(int fd) {
  Connection& connection = at(fd);
  while (connection.written < connection.out.size()) {
    const ssize_t count = send(fd, connection.out.data() + connection.written,
                               connection.out.size() - connection.written, MSG_NOSIGNAL);
    if (count >= 0) {
      connection.written += static_cast<std::size_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return close_connection(fd, false);
    if (!std::exchange(connection.waits_for_write, true)) {
      watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    }
    return;
  }
  if (connection.out.empty()) return;
  if (std::exchange(connection.waits_for_write, false)) {
    watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP);
  }
  if (connection.reset_after) return close_connection(fd, true);
  connection.out.clear();
  connection.written = 0;
  connection.busy = false;
  --in_flight;
  ++answers_sent;
  if (connection.close_after) close_connection(fd, false);
}

void MockHttpServer::Impl::send_due() {
  while (!delayed.empty() && delayed.front().due_us <= clock.now_us()) {
    std::pop_heap(delayed.begin(), delayed.end(), LaterFirst());
    Delayed due = std::move(delayed.back());
    delayed.pop_back();
    const bool alive = static_cast<std::size_t>(due.fd) < connections.size() &&
                       at(due.fd).generation == due.generation;
    if (!alive) continue;
    put_on_wire(due.fd, due.response, due.keep_alive);
    take_requests(due.fd);
  }
}

int MockHttpServer::Impl::wait_ms() const {
  if (delayed.empty()) return -1;
  const std::int64_t left_us = delayed.front().due_us - clock.now_us();
  return left_us <= 0 ? 0 : static_cast<int>((left_us + 999) / 1000);
}

MockHttpServer::MockHttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MockHttpServer::~MockHttpServer() = default;

Result<std::unique_ptr<MockHttpServer>> MockHttpServer::listen(std::uint16_t port, Handler handler,
                                                               const Clock& clock) {
  auto impl = std::make_unique<Impl>(std::move(handler), clock);
  const auto failure = [&](std::string_view what) {
    return unexpected(ErrorCode::kInfrastructure,
                      fmt::format("mock server: {} on 127.0.0.1:{}: {}", what, port,
                                  std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  };
  // Ten thousand clients at once are what this server is for.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  impl->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  impl->epoll = epoll_create1(EPOLL_CLOEXEC);
  impl->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (impl->listener < 0 || impl->epoll < 0 || impl->wake < 0) return failure("no socket");
  const int on = 1;
  setsockopt(impl->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(impl->listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failure("can't bind");
  }
  if (::listen(impl->listener, 4096) != 0) return failure("can't listen");
  socklen_t size = sizeof address;
  if (getsockname(impl->listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return failure("no port");
  }
  impl->port = ntohs(address.sin_port);
  impl->watch(EPOLL_CTL_ADD, impl->listener, EPOLLIN);
  impl->watch(EPOLL_CTL_ADD, impl->wake, EPOLLIN);
  return std::unique_ptr<MockHttpServer>(new MockHttpServer(std::move(impl)));
}

std::uint16_t MockHttpServer::port() const {
  return impl_->port;
}
std::uint64_t MockHttpServer::in_flight() const {
  return impl_->in_flight;
}
std::uint64_t MockHttpServer::answers_sent() const {
  return impl_->answers_sent;
}

void MockHttpServer::stop() {
  const std::uint64_t one = 1;
  // An eventfd write only fails when the counter is full, and then it wakes the loop as well.
  [[maybe_unused]] const ssize_t written = write(impl_->wake, &one, sizeof one);
}

void MockHttpServer::run() {
  std::array<epoll_event, 512> events{};
  while (!impl_->stopped) {
    const int count =
        epoll_wait(impl_->epoll, events.data(), static_cast<int>(events.size()), impl_->wait_ms());
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == impl_->wake) {
        impl_->stopped = true;
      } else if (fd == impl_->listener) {
        impl_->accept_all();
      } else if (impl_->at(fd).open) {
        if ((event.events & EPOLLOUT) != 0) {
          impl_->write_to(fd);
          impl_->take_requests(fd);
        }
        if (impl_->at(fd).open && (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
          impl_->read_from(fd);
        }
      }
    }
    impl_->send_due();
  }
}

}  // namespace understudy
