#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "model/curl_url.hpp"
#include "model/transport.hpp"

namespace understudy {
namespace {

// libcurl looks for an idle connection by walking all connections of a multi handle, so ten
// thousand of them in one handle would make each request walk ten thousand entries.
constexpr std::size_t kSlotsPerMulti = 64;
constexpr std::size_t kHeaderBytesMax = 256U << 10;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

struct SlistDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, SlistDeleter>;

struct Target {
  CurlUrl url;  ///< taken apart once, not with every request
  HeaderList headers;
};

class CurlTransport;

/// One request in flight and its easy handle, which is kept for the next one.
struct Slot {
  CURL* easy = nullptr;
  std::size_t multi = 0;
  std::size_t target = std::numeric_limits<std::size_t>::max();
  bool is_busy = false;
  std::uint64_t id = 0;
  std::string request_body;
  std::string body;
  RateHeaders rate;
  std::size_t header_bytes = 0;
  std::size_t response_bytes_max = 0;
  bool too_large = false;
  CurlTransport* owner = nullptr;
};

struct Multi {
  CURLM* handle = nullptr;
  std::int64_t timer_due_us = kNever;
  std::size_t index = 0;
  CurlTransport* owner = nullptr;
};

/// What libcurl wants of a descriptor, and what epoll has been told: they differ where telling
/// would be a system call for nothing.
struct Watch {
  std::uint32_t wanted = 0;
  std::uint32_t registered = 0;
  bool known = false;  ///< to epoll
  std::size_t multi = 0;
};

TransportError error_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return TransportError::kTimeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_USE_SSL_FAILED:
      return TransportError::kTls;
    default:
      return TransportError::kConnection;
  }
}

std::size_t on_body(char* data, std::size_t /*one*/, std::size_t size, void* user) {
  auto& slot = *static_cast<Slot*>(user);
  if (slot.body.size() + size > slot.response_bytes_max) {
    slot.too_large = true;
    return 0;  // less than `size` ends the transfer
  }
  slot.body.append(data, size);
  return size;
}

std::size_t on_header(char* data, std::size_t /*one*/, std::size_t size, void* user) {
  auto& slot = *static_cast<Slot*>(user);
  slot.header_bytes += size;
  if (slot.header_bytes > kHeaderBytesMax) {
    slot.too_large = true;
    return 0;
  }
  const std::string_view line(data, size);
  if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    read_rate_header(line.substr(0, colon), line.substr(colon + 1), slot.rate);
  }
  return size;
}

class CurlTransport final : public Transport {
 public:
  CurlTransport(const TransportOptions& options, const Clock& clock)
      : options_(options), clock_(clock), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    UNDERSTUDY_ASSERT(epoll_ >= 0);  // make_transport has seen to the limit of descriptors
    const std::size_t count = (options.connections_max + kSlotsPerMulti - 1) / kSlotsPerMulti;
    multis_.resize(std::max<std::size_t>(count, 1));
    for (std::size_t i = 0; i < multis_.size(); ++i) {
      Multi& multi = multis_[i];
      multi.handle = curl_multi_init();
      UNDERSTUDY_ASSERT(multi.handle != nullptr);
      multi.index = i;
      multi.owner = this;
      curl_multi_setopt(multi.handle, CURLMOPT_SOCKETFUNCTION, on_socket);
      curl_multi_setopt(multi.handle, CURLMOPT_SOCKETDATA, &multi);
      curl_multi_setopt(multi.handle, CURLMOPT_TIMERFUNCTION, on_timer);
      curl_multi_setopt(multi.handle, CURLMOPT_TIMERDATA, &multi);
      curl_multi_setopt(multi.handle, CURLMOPT_MAXCONNECTS, static_cast<long>(kSlotsPerMulti));
    }
    slots_.resize(options.connections_max);
    for (std::size_t i = slots_.size(); i > 0; --i) {
      slots_[i - 1].multi = (i - 1) / kSlotsPerMulti;
      slots_[i - 1].owner = this;
      free_.push_back(i - 1);
    }
  }

  ~CurlTransport() override {
    for (Slot& slot : slots_) {
      if (slot.easy == nullptr) continue;
      curl_multi_remove_handle(multis_[slot.multi].handle, slot.easy);
      curl_easy_cleanup(slot.easy);
    }
    for (Multi& multi : multis_) curl_multi_cleanup(multi.handle);
    ::close(epoll_);
  }
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;

  std::size_t add_target(HttpTarget target) override {
    // "Expect: 100-continue" would cost a round trip for long prompts.
    curl_slist* list = curl_slist_append(nullptr, "Expect:");
    for (const std::string& header : target.headers) {
      list = curl_slist_append(list, header.c_str());
    }
    CurlUrl url = parse_url(target.url);
    UNDERSTUDY_ASSERT(url != nullptr);  // endpoints have been checked
    targets_.push_back({.url = std::move(url), .headers = HeaderList(list)});
    return targets_.size() - 1;
  }

  void submit(HttpRequest request) override {
    UNDERSTUDY_ASSERT(!free_.empty() && request.target < targets_.size());
    const std::size_t index = free_.back();
    free_.pop_back();
    Slot& slot = slots_[index];
    slot.id = request.id;
    slot.request_body = std::move(request.body);
    slot.body.clear();
    slot.rate = {};
    slot.header_bytes = 0;
    slot.too_large = false;
    slot.response_bytes_max = options_.response_bytes_max;
    if (slot.easy == nullptr) prepare(slot);
    point_at(slot, request.target);
    curl_easy_setopt(slot.easy, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(std::max<std::int64_t>(request.timeout_ms, 1)));
    slot.is_busy = true;
    curl_multi_add_handle(multis_[slot.multi].handle, slot.easy);
  }

  void cancel(std::uint64_t id) override {
    for (Slot& slot : slots_) {
      if (!slot.is_busy || slot.id != id) continue;
      curl_multi_remove_handle(multis_[slot.multi].handle, slot.easy);
      set_free(slot);
    }
  }

  void poll(std::int64_t timeout_ms, std::vector<HttpResult>& ended) override {
    const std::size_t before = ended.size();
    const std::int64_t stop_us = clock_.now_us() + timeout_ms * 1000;
    for (;;) {
      run_timers();
      const std::int64_t wait_us = ended.size() > before ? 0 : time_left_us(stop_us);
      wait_for_sockets(wait_us);
      run_timers();
      collect(ended);
      if (ended.size() > before || clock_.now_us() >= stop_us) return;
    }
  }

  [[nodiscard]] std::size_t in_flight() const override { return slots_.size() - free_.size(); }

 private:
  void set_free(Slot& slot) {
    slot.is_busy = false;
    free_.push_back(static_cast<std::size_t>(&slot - slots_.data()));
  }

  void prepare(Slot& slot) {
    slot.easy = curl_easy_init();
    UNDERSTUDY_ASSERT(slot.easy != nullptr);
    CURL* const easy = slot.easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &slot);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    // A proxy named by the environment would be a host that is on nobody's egress list.
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(options_.connect_timeout_ms));
    // With thousands in flight the receive buffers are what memory goes to.
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 8192L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &slot);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &slot);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    }
  }

  void point_at(Slot& slot, std::size_t target) {
    const bool is_post = !slot.request_body.empty();
    if (slot.target != target) {
      curl_easy_setopt(slot.easy, CURLOPT_CURLU, targets_[target].url.get());
      curl_easy_setopt(slot.easy, CURLOPT_HTTPHEADER, targets_[target].headers.get());
      slot.target = target;
    }
    if (is_post) {
      curl_easy_setopt(slot.easy, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(slot.request_body.size()));
      curl_easy_setopt(slot.easy, CURLOPT_POSTFIELDS, slot.request_body.data());
    } else {
      curl_easy_setopt(slot.easy, CURLOPT_HTTPGET, 1L);
    }
  }

  [[nodiscard]] std::int64_t time_left_us(std::int64_t stop_us) const {
    std::int64_t due_us = stop_us;
    for (const Multi& multi : multis_) due_us = std::min(due_us, multi.timer_due_us);
    return std::max<std::int64_t>(due_us - clock_.now_us(), 0);
  }

  void run_timers() {
    const std::int64_t now_us = clock_.now_us();
    for (Multi& multi : multis_) {
      if (multi.timer_due_us > now_us) continue;
      multi.timer_due_us = kNever;
      int running = 0;
      curl_multi_socket_action(multi.handle, CURL_SOCKET_TIMEOUT, 0, &running);
    }
  }

  void wait_for_sockets(std::int64_t wait_us) {
    // Not more at once: the caller has other things to do between them.
    std::array<epoll_event, 64> events{};
    const auto wait_ms = static_cast<int>(
        std::min<std::int64_t>((wait_us + 999) / 1000, std::numeric_limits<int>::max()));
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      Watch& watch = watch_of(fd);
      if (watch.wanted == 0) {
        // An idle connection: libcurl finds out that it is closed when it wants to use it.
        epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
        watch.known = false;
        watch.registered = 0;
        continue;
      }
      if ((event.events & watch.wanted) == 0 && (event.events & (EPOLLERR | EPOLLHUP)) == 0) {
        register_exactly(fd, watch);
        continue;
      }
      int flags = 0;
      if ((event.events & EPOLLIN) != 0) flags |= CURL_CSELECT_IN;
      if ((event.events & EPOLLOUT) != 0) flags |= CURL_CSELECT_OUT;
      if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) flags |= CURL_CSELECT_ERR;
      int running = 0;
      curl_multi_socket_action(multis_[watch.multi].handle, fd, flags, &running);
    }
  }

  void collect(std::vector<HttpResult>& ended) {
    for (Multi& multi : multis_) {
      int left = 0;
      while (CURLMsg* const message = curl_multi_info_read(multi.handle, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        CURL* const easy = message->easy_handle;
        const CURLcode code = message->data.result;
        char* user = nullptr;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &user);
        auto& slot = *static_cast<Slot*>(static_cast<void*>(user));
        curl_multi_remove_handle(multi.handle, easy);
        ended.push_back(result_of(slot, code));
        set_free(slot);
      }
    }
  }

  static HttpResult result_of(Slot& slot, CURLcode code) {
    HttpResult result;
    result.id = slot.id;
    result.request_body = std::move(slot.request_body);
    long status = 0;
    curl_easy_getinfo(slot.easy, CURLINFO_RESPONSE_CODE, &status);
    result.status = static_cast<int>(status);
    result.rate = std::move(slot.rate);
    if (slot.too_large) {
      result.error = TransportError::kBodyTooLarge;
      result.detail = fmt::format("more than {} bytes", slot.header_bytes > kHeaderBytesMax
                                                            ? kHeaderBytesMax
                                                            : slot.response_bytes_max);
      slot.body.shrink_to_fit();
      return result;
    }
    if (code != CURLE_OK) {
      result.error = error_of(code);
      result.detail = curl_easy_strerror(code);
      return result;
    }
    result.body = std::move(slot.body);
    return result;
  }

  Watch& watch_of(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    if (watches_.size() <= index) watches_.resize(index + 1);
    return watches_[index];
  }

  void register_exactly(int fd, Watch& watch) const {
    epoll_event event{};
    event.events = watch.wanted;
    event.data.fd = fd;
    epoll_ctl(epoll_, watch.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    watch.known = true;
    watch.registered = watch.wanted;
  }

  static int on_socket(CURL* /*easy*/, curl_socket_t fd, int what, void* user, void* /*socket*/) {
    auto& multi = *static_cast<Multi*>(user);
    CurlTransport& self = *multi.owner;
    Watch& watch = self.watch_of(fd);
    watch.multi = multi.index;
    watch.wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) watch.wanted |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) watch.wanted |= EPOLLOUT;
    // Between two requests on one connection libcurl says "remove" and then "in" again: epoll keeps
    // what it knows, and is told only of what is missing.
    if (watch.wanted != 0 && (watch.wanted & ~watch.registered) != 0) {
      self.register_exactly(fd, watch);
    }
    return 0;
  }

  static int on_timer(CURLM* /*handle*/, long timeout_ms, void* user) {
    auto& multi = *static_cast<Multi*>(user);
    multi.timer_due_us =
        timeout_ms < 0 ? kNever : multi.owner->clock_.now_us() + std::int64_t{timeout_ms} * 1000;
    return 0;
  }

  static int on_close_socket(void* user, curl_socket_t fd) {
    static_cast<CurlTransport*>(user)->watch_of(fd) = Watch{};
    return ::close(fd);  // which also takes it out of epoll
  }

  TransportOptions options_;
  const Clock& clock_;
  int epoll_;
  std::vector<Multi> multis_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_;  ///< the last used on top: its connection is warm
  std::vector<Target> targets_;
  std::vector<Watch> watches_;  ///< by descriptor
};

}  // namespace

std::unique_ptr<Transport> make_curl_transport(const TransportOptions& options,
                                               const Clock& clock) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  UNDERSTUDY_ASSERT(initialized == CURLE_OK);
  return std::make_unique<CurlTransport>(options, clock);
}

}  // namespace understudy
