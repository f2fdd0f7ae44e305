#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <cerrno>
#include <cstring>
#include <limits>
#include <set>
#include <system_error>
#include <utility>

#include "base/assert.hpp"
#include "model/curl_url.hpp"
#include "model/transport.hpp"

namespace understudy {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr std::uint32_t kHeaderBytesMax = 256U << 10;
constexpr std::size_t kReceiveBytes = 64U << 10;

struct Address {
  sockaddr_storage socket{};
  socklen_t size = 0;
};

/// The addresses that a plain URL means, in the order in which they are tried; none for others.
std::vector<Address> addresses_of(const std::string& host, const std::string& port) {
  std::vector<Address> addresses;
  const std::vector<std::string> names =
      host == "localhost" ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector{host};
  for (const std::string& name : names) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(name.c_str(), port.c_str(), &hints, &found) != 0) continue;
    Address& address = addresses.emplace_back();
    std::memcpy(&address.socket, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
    freeaddrinfo(found);
  }
  return addresses;
}

struct Target {
  std::vector<Address> addresses;
  std::string head;  ///< of a request, up to what depends on its body; holds the key
};

/// What a plain URL says, its path included; without addresses it is none.
Target target_of(const std::string& text) {
  const CurlUrl url = parse_url(text);
  if (url == nullptr || url_part(url, CURLUPART_SCHEME) != "http") return {};
  if (url_part(url, CURLUPART_USER) || url_part(url, CURLUPART_QUERY)) return {};
  const std::string port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT).value_or("");
  return {.addresses = addresses_of(url_host(url), port),
          .head = fmt::format(" {} HTTP/1.1\r\nHost: {}:{}\r\nAccept-Encoding: gzip\r\n",
                              url_part(url, CURLUPART_PATH).value_or("/"),
                              url_part(url, CURLUPART_HOST).value_or(""), port)};
}

/// Nothing where it is damaged; more than `bytes_max` is left at that many and one.
std::optional<std::string> unpacked(std::string packed, std::size_t bytes_max) {
  z_stream stream{};
  constexpr int kGzip = 16;
  UNDERSTUDY_ASSERT(inflateInit2(&stream, MAX_WBITS + kGzip) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string plain;
  int status = Z_OK;
  while (status == Z_OK && plain.size() <= bytes_max) {
    const std::size_t before = plain.size();
    plain.resize(std::min(before + kReceiveBytes, bytes_max + 1));
    stream.next_out = reinterpret_cast<Bytef*>(plain.data() + before);
    stream.avail_out = static_cast<uInt>(plain.size() - before);
    status = inflate(&stream, Z_NO_FLUSH);
    plain.resize(plain.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END && plain.size() <= bytes_max) return std::nullopt;
  return plain;
}

/// Boost.Beast's parser of one response, which keeps what a Transport gives back.
class ResponseParser final : public http::basic_parser<false> {
 public:
  explicit ResponseParser(std::size_t body_bytes_max) {
    header_limit(kHeaderBytesMax);
    body_limit(body_bytes_max);
    eager(true);
  }
  int status = 0;
  bool is_gzipped = false;
  std::string body;
  RateHeaders rate;

 private:
  using Text = boost::beast::string_view;
  void on_request_impl(http::verb /*verb*/, Text /*name*/, Text /*target*/, int /*version*/,
                       error_code& /*error*/) override {}
  void on_response_impl(int code, Text /*reason*/, int /*version*/,
                        error_code& /*error*/) override {
    status = code;
  }
  void on_field_impl(http::field field, Text name, Text value, error_code& /*error*/) override {
    if (field == http::field::content_encoding)
      is_gzipped = ascii_lower({value.data(), value.size()}) == "gzip";
    read_rate_header({name.data(), name.size()}, {value.data(), value.size()}, rate);
  }
  void on_header_impl(error_code& /*error*/) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>& /*size*/,
                         error_code& /*error*/) override {}
  std::size_t on_body_impl(Text part, error_code& /*error*/) override {
    body.append(part.data(), part.size());
    return part.size();
  }
  void on_chunk_header_impl(std::uint64_t /*size*/, Text /*extensions*/,
                            error_code& /*error*/) override {}
  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, Text part, error_code& error) override {
    return on_body_impl(part, error);
  }
  void on_finish_impl(error_code& /*error*/) override {}
};

/// A place for one request at a time, and its connection, which stays open for the next one.
struct Slot {
  int fd = -1;
  std::size_t target = 0;
  std::size_t address = 0;  ///< of the target's
  bool is_busy = false;
  bool is_connecting = false;
  bool has_answered = false;  ///< this connection, an earlier request
  std::uint64_t id = 0;
  std::string head;
  std::string request_body;
  std::size_t sent = 0;  ///< of both
  std::optional<ResponseParser> response;
  std::string unread;  ///< received, not enough to be parsed
  std::int64_t deadline_us = 0;
  std::int64_t due_us = 0;  ///< the deadline, or an earlier one for connecting
};

class PlainTransport final : public Transport {
 public:
  PlainTransport(const TransportOptions& options, const Clock& clock)
      : options_(options), clock_(clock), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    UNDERSTUDY_ASSERT(epoll_ >= 0);  // make_transport has seen to the limit of descriptors
    slots_.resize(options.connections_max);
    for (std::size_t i = slots_.size(); i > 0; --i) unused_.push_back(i - 1);
  }
  ~PlainTransport() override {
    for (const Slot& slot : slots_) {
      if (slot.fd >= 0) ::close(slot.fd);
    }
    ::close(epoll_);
  }
  PlainTransport(const PlainTransport&) = delete;
  PlainTransport& operator=(const PlainTransport&) = delete;

  std::size_t add_target(HttpTarget target) override {
    Target& added = targets_.emplace_back(target_of(target.url));
    UNDERSTUDY_ASSERT(!added.addresses.empty());
    for (const std::string& header : target.headers) added.head += header + "\r\n";
    idle_.emplace_back();
    return targets_.size() - 1;
  }

  void submit(HttpRequest request) override {
    Slot& slot = slots_[take_slot(request.target)];
    const bool is_post = !request.body.empty();
    slot.id = request.id;
    slot.is_busy = true;
    slot.head = is_post ? "POST" : "GET";
    slot.head += targets_[request.target].head;
    if (is_post) slot.head += fmt::format("Content-Length: {}\r\n", request.body.size());
    slot.head += "\r\n";
    slot.request_body = std::move(request.body);
    slot.deadline_us = clock_.now_us() + std::max<std::int64_t>(request.timeout_ms, 1) * 1000;
    ++in_flight_;
    begin(slot);
  }

  void cancel(std::uint64_t id) override {
    for (Slot& slot : slots_) {
      if (slot.is_busy && slot.id == id) release(slot, false);
    }
  }

  void poll(std::int64_t timeout_ms, std::vector<HttpResult>& ended) override {
    const std::int64_t stop_us = clock_.now_us() + timeout_ms * 1000;
    for (;;) {
      std::int64_t until_us = stop_us;
      if (!due_.empty()) until_us = std::min(until_us, due_.begin()->first);
      const std::int64_t now_us = clock_.now_us();
      wait_for_sockets(ended_.empty() ? std::max<std::int64_t>(until_us - now_us, 0) : 0);
      end_overdue();
      if (!ended_.empty() || clock_.now_us() >= stop_us) break;
    }
    std::move(ended_.begin(), ended_.end(), std::back_inserter(ended));
    ended_.clear();
  }

  [[nodiscard]] std::size_t in_flight() const override { return in_flight_; }

 private:
  [[nodiscard]] std::size_t index_of(const Slot& slot) const {
    return static_cast<std::size_t>(&slot - slots_.data());
  }

  /// One with a warm connection to the target, else a new one, else one taken from another target.
  std::size_t take_slot(std::size_t target) {
    std::vector<std::size_t>* from = &idle_.at(target);
    if (from->empty()) from = &unused_;
    for (std::size_t i = 0; from->empty() && i < idle_.size(); ++i) from = &idle_[i];
    UNDERSTUDY_ASSERT(!from->empty());
    const std::size_t index = from->back();
    from->pop_back();
    if (slots_[index].target != target) close(slots_[index]);
    slots_[index].target = target;
    return index;
  }

  void begin(Slot& slot) {
    slot.sent = 0;
    slot.unread.clear();
    slot.response.emplace(options_.response_bytes_max);
    if (slot.fd >= 0) {
      set_due(slot, slot.deadline_us);
      send(slot);
    } else {
      slot.address = 0;
      connect(slot);
    }
  }

  void connect(Slot& slot) {
    const Address& address = targets_[slot.target].addresses[slot.address];
    slot.has_answered = false;
    slot.is_connecting = true;
    slot.fd = ::socket(address.socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (slot.fd < 0) return lose(slot, errno);
    const int on = 1;
    setsockopt(slot.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(slot.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    set_due(slot, std::min(slot.deadline_us, clock_.now_us() + options_.connect_timeout_ms * 1000));
    const auto* const to = reinterpret_cast<const sockaddr*>(&address.socket);
    if (::connect(slot.fd, to, address.size) != 0 && errno != EINPROGRESS) return lose(slot, errno);
    // Told of each change once: nothing is asked of epoll between two requests on a connection.
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = index_of(slot);
    epoll_ctl(epoll_, EPOLL_CTL_ADD, slot.fd, &event);
  }

  void wait_for_sockets(std::int64_t wait_us) {
    // Not more at once: the caller has other things to do between them.
    std::array<epoll_event, 64> events{};
    const auto wait_ms = static_cast<int>(
        std::min<std::int64_t>((wait_us + 999) / 1000, std::numeric_limits<int>::max()));
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      on_event(slots_[event.data.u64], event.events);
    }
  }

  void on_event(Slot& slot, std::uint32_t events) {
    const bool is_over = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (!slot.is_busy) {
      // Whatever comes on an idle connection is not an answer.
      if (is_over || (events & EPOLLIN) != 0) close(slot);
      return;
    }
    if (slot.is_connecting) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(slot.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return lose(slot, error);
      if ((events & EPOLLOUT) == 0) return;
      slot.is_connecting = false;
      set_due(slot, slot.deadline_us);
    }
    if ((events & EPOLLOUT) != 0) send(slot);
    // Sending may have ended the request, or begun it again on a new connection.
    if (!slot.is_busy || slot.is_connecting) return;
    if ((events & EPOLLIN) != 0 || is_over) receive(slot, is_over);
  }

  void send(Slot& slot) {
    const std::size_t size = slot.head.size() + slot.request_body.size();
    while (slot.sent < size) {
      const std::size_t of_head = std::min(slot.sent, slot.head.size());
      const std::size_t of_body = slot.sent - of_head;
      std::array<iovec, 2> parts{
          iovec{slot.head.data() + of_head, slot.head.size() - of_head},
          iovec{slot.request_body.data() + of_body, slot.request_body.size() - of_body}};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      const ssize_t count = sendmsg(slot.fd, &message, MSG_NOSIGNAL);
      if (count >= 0) {
        slot.sent += static_cast<std::size_t>(count);
      } else if (errno == EAGAIN) {
        return;
      } else if (errno != EINTR) {
        // What a server says before it hangs up, such as that a body is too large, is read first.
        return receive(slot, true);
      }
    }
  }

  void receive(Slot& slot, bool until_end) {
    for (;;) {
      const ssize_t count = recv(slot.fd, buffer_.data(), buffer_.size(), 0);
      if (count > 0) {
        const auto size = static_cast<std::size_t>(count);
        read(slot, {buffer_.data(), size});
        // A short read has emptied the socket, unless its end is yet to be read.
        if (!slot.is_busy || slot.is_connecting || (size < buffer_.size() && !until_end)) return;
      } else if (count == 0) {
        return read_end(slot);
      } else if (errno == EAGAIN) {
        return;
      } else if (errno != EINTR) {
        return lose(slot, errno);
      }
    }
  }

  void read(Slot& slot, std::string_view bytes) {
    if (!slot.unread.empty()) bytes = slot.unread.append(bytes);
    while (!bytes.empty()) {
      error_code error;
      const std::size_t used = slot.response->put({bytes.data(), bytes.size()}, error);
      bytes.remove_prefix(used);
      if (error && error != http::error::need_more) return fail(slot, error);
      if (slot.response->is_done()) {
        if (slot.response->status / 100 != 1) return answer(slot, bytes.empty());
        slot.response.emplace(options_.response_bytes_max);  // "continue": the answer follows
      } else if (used == 0 || error) {
        break;
      }
    }
    slot.unread = std::string(bytes);
  }

  void read_end(Slot& slot) {
    if (!slot.response->got_some()) return lose(slot, ECONNRESET);
    error_code error;
    slot.response->put_eof(error);
    if (error) return fail(slot, error);
    answer(slot, false);
  }

  /// The connection broke, or there is none. One that had waited for a request may have been closed
  /// just then: the request is sent again on a new one, as it has not been answered.
  void lose(Slot& slot, int error) {
    const bool was_connecting = slot.is_connecting;
    const bool was_idle = slot.has_answered && !slot.response->got_some();
    close(slot);
    if (was_connecting && slot.address + 1 < targets_[slot.target].addresses.size()) {
      ++slot.address;
      return connect(slot);
    }
    if (was_idle) return begin(slot);
    end(slot, TransportError::kConnection, std::generic_category().message(error));
  }

  void fail(Slot& slot, const error_code& error) {
    if (error == http::error::body_limit) return too_large(slot, options_.response_bytes_max);
    if (error == http::error::header_limit) return too_large(slot, kHeaderBytesMax);
    end(slot, TransportError::kConnection, error.message());
  }

  void too_large(Slot& slot, std::size_t bytes_max) {
    end(slot, TransportError::kBodyTooLarge, fmt::format("more than {} bytes", bytes_max));
  }

  void end_overdue() {
    const std::int64_t now_us = clock_.now_us();
    while (!due_.empty() && due_.begin()->first <= now_us) {
      end(slots_[due_.begin()->second], TransportError::kTimeout, "Timeout was reached");
    }
  }

  void answer(Slot& slot, bool is_clean) {
    ResponseParser& response = *slot.response;
    if (response.is_gzipped) {
      std::optional<std::string> plain =
          unpacked(std::move(response.body), options_.response_bytes_max);
      if (!plain) return end(slot, TransportError::kConnection, "damaged gzip");
      if (plain->size() > options_.response_bytes_max) {
        return too_large(slot, options_.response_bytes_max);
      }
      response.body = std::move(*plain);
    }
    slot.has_answered = true;
    HttpResult& result = give_back(slot);
    result.body = std::move(response.body);
    // A request that was answered before it was whole leaves the connection in its middle.
    const bool was_sent = slot.sent == slot.head.size() + result.request_body.size();
    release(slot, is_clean && was_sent && response.keep_alive());
  }

  void end(Slot& slot, TransportError error, std::string detail) {
    HttpResult& result = give_back(slot);
    result.error = error;
    result.detail = std::move(detail);
    release(slot, false);
  }

  HttpResult& give_back(Slot& slot) {
    HttpResult& result = ended_.emplace_back();
    result.id = slot.id;
    result.status = slot.response->status;
    result.rate = std::move(slot.response->rate);
    result.request_body = std::move(slot.request_body);
    return result;
  }

  void release(Slot& slot, bool keeps_connection) {
    if (!keeps_connection) close(slot);
    due_.erase({slot.due_us, index_of(slot)});
    slot.is_busy = false;
    slot.response.reset();
    --in_flight_;
    idle_[slot.target].push_back(index_of(slot));
  }

  void set_due(Slot& slot, std::int64_t due_us) {
    due_.erase({slot.due_us, index_of(slot)});
    slot.due_us = due_us;
    due_.insert({due_us, index_of(slot)});
  }

  static void close(Slot& slot) {
    if (slot.fd >= 0) ::close(slot.fd);  // which also takes it out of epoll
    slot.fd = -1;
    slot.is_connecting = false;
  }

  TransportOptions options_;
  const Clock& clock_;
  int epoll_;
  std::vector<Slot> slots_;
  std::vector<Target> targets_;
  std::vector<std::vector<std::size_t>> idle_;  ///< by target; the last used on top: it is warm
  std::vector<std::size_t> unused_;
  std::set<std::pair<std::int64_t, std::size_t>> due_;  ///< when which slot is overdue
  std::vector<HttpResult> ended_;
  std::size_t in_flight_ = 0;
  std::array<char, kReceiveBytes> buffer_{};
};

}  // namespace

bool is_plain_url(const std::string& url) {
  return !target_of(url).addresses.empty();
}

std::unique_ptr<Transport> make_plain_transport(const TransportOptions& options,
                                                const Clock& clock) {
  return std::make_unique<PlainTransport>(options, clock);
}

}  // namespace understudy
