#include <curl/curl.h>

#include <algorithm>
#include <deque>
#include <list>
#include <utility>

#include "base/text.hpp"
#include "environment/mcp_channel.hpp"

namespace understudy {
namespace {

constexpr std::size_t kSessionBytesMax = 1'024;
constexpr std::size_t kHeaderBytesMax = 64 * 1024;
constexpr int kPollMs = 1'000;
constexpr std::int64_t kGraceMs = 1'000;  // our own deadline comes before curl's
constexpr long kFarewellMs = 2'000;

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

/// What all posts of a session share, and what they have brought.
struct Session {
  std::size_t answer_bytes_max = 0;
  std::string id;
  std::deque<std::string> inbox;
  std::size_t received_bytes = 0;
  bool flooded = false;
};

/// One post and its answer.
struct Exchange {
  Session* session = nullptr;
  std::unique_ptr<CURL, FreeEasy> easy;
  HeaderList headers;
  std::string body;  // of the request
  std::string content_type;
  std::size_t header_bytes = 0;
  std::string received;    // JSON so far, or the line of a stream that has not ended
  std::string data;        // of the event that has not ended
  bool delivered = false;  // a message: how the rest of it ends no longer matters
  void deliver(std::string message) {
    session->inbox.push_back(std::move(message));
    delivered = true;
  }
  [[nodiscard]] bool is_stream() const { return content_type.starts_with("text/event-stream"); }

  void take_stream_lines() {
    std::size_t from = 0;
    for (std::size_t end = received.find('\n'); end != std::string::npos;
         end = received.find('\n', from)) {
      std::string_view line = std::string_view(received).substr(from, end - from);
      if (line.ends_with('\r')) line.remove_suffix(1);
      from = end + 1;
      if (line.empty()) {
        if (!data.empty()) deliver(std::exchange(data, {}));
      } else if (line.starts_with("data:")) {
        line.remove_prefix(line.starts_with("data: ") ? 6 : 5);
        if (!data.empty()) data += '\n';
        data += line;
      }
    }
    received.erase(0, from);
  }
};

std::size_t on_header(char* text, std::size_t, std::size_t size, void* to) {
  Exchange& exchange = *static_cast<Exchange*>(to);
  exchange.header_bytes += size;
  if (exchange.header_bytes > kHeaderBytesMax) {
    exchange.session->flooded = true;
    return 0;
  }
  const std::string_view line(text, size);
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "content-type") exchange.content_type = lower(value);
  if (name == "mcp-session-id" && value.size() <= kSessionBytesMax &&
      std::all_of(value.begin(), value.end(), [](char c) { return c > 0x20 && c < 0x7F; })) {
    exchange.session->id = value;
  }
  return size;
}

std::size_t on_body(char* text, std::size_t, std::size_t size, void* to) {
  Exchange& exchange = *static_cast<Exchange*>(to);
  Session& session = *exchange.session;
  session.received_bytes += size;
  if (session.received_bytes > session.answer_bytes_max) {
    session.flooded = true;
    return 0;
  }
  exchange.received.append(text, size);
  if (exchange.is_stream()) exchange.take_stream_lines();
  return size;
}

class HttpChannel final : public McpChannel {
 public:
  HttpChannel(const McpServer& server, const Clock& clock)
      : url_(server.url), own_headers_(server.headers), clock_(clock), multi_(curl_multi_init()) {
    session_.answer_bytes_max = server.answer_bytes_max;
  }
  HttpChannel(const HttpChannel&) = delete;
  HttpChannel& operator=(const HttpChannel&) = delete;
  ~HttpChannel() override {
    drop_exchanges([](const Exchange&) { return true; });
    say_farewell();
  }

  void begin_question() override {
    session_.received_bytes = 0;
    // A stream that has answered and stays open has nothing to say to us.
    drop_exchanges([](const Exchange& one) { return one.delivered; });
  }
  void agreed(std::string_view version) override { version_ = version; }

  ToolTrouble send(std::string_view message, std::int64_t deadline_ms) override {
    const std::int64_t left_ms = deadline_ms - clock_.now_ms();
    if (left_ms <= 0) return ToolTrouble::kServerHung;
    Exchange& exchange = exchanges_.emplace_back();
    exchange.body = message;
    CURL* const easy = prepared(exchange, left_ms + kGraceMs);
    if (easy == nullptr) {
      exchanges_.pop_back();
      return ToolTrouble::kServerDied;
    }
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(exchange.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange.body.data());
    curl_multi_add_handle(multi_.get(), easy);
    return ToolTrouble::kNone;
  }

  ToolTrouble flush(std::int64_t deadline_ms) override {
    while (!exchanges_.empty()) {
      if (const auto trouble = move(deadline_ms); trouble != ToolTrouble::kNone) return trouble;
    }
    return ToolTrouble::kNone;
  }

  ToolTrouble receive(std::string& message, std::int64_t deadline_ms) override {
    while (session_.inbox.empty()) {
      // All that was asked has ended, and nothing was said to it.
      if (exchanges_.empty()) return ToolTrouble::kServerBroken;
      if (const auto trouble = move(deadline_ms); trouble != ToolTrouble::kNone) return trouble;
    }
    message = std::move(session_.inbox.front());
    session_.inbox.pop_front();
    return ToolTrouble::kNone;
  }

 private:
  CURL* prepared(Exchange& exchange, std::int64_t timeout_ms) {
    exchange.session = &session_;
    exchange.easy.reset(curl_easy_init());
    CURL* const easy = exchange.easy.get();
    if (easy == nullptr) return nullptr;
    const auto add = [&](const std::string& line) {
      curl_slist* const longer = curl_slist_append(exchange.headers.get(), line.c_str());
      if (longer == nullptr) return;
      (void)exchange.headers.release();
      exchange.headers.reset(longer);
    };
    add("Content-Type: application/json");
    add("Accept: application/json, text/event-stream");
    add("Expect:");
    if (!session_.id.empty()) add("Mcp-Session-Id: " + session_.id);
    if (!version_.empty()) add("MCP-Protocol-Version: " + version_);
    for (const std::string& header : own_headers_) add(header);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &exchange);
    curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange.headers.get());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
    return easy;
  }

  // Moves the network until something has come, something has ended or the time is up.
  ToolTrouble move(std::int64_t deadline_ms) {
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    ToolTrouble trouble = ToolTrouble::kNone;
    bool ended = false;
    int waiting = 0;
    while (const CURLMsg* const done = curl_multi_info_read(multi_.get(), &waiting)) {
      if (done->msg != CURLMSG_DONE) continue;
      ended = true;
      const ToolTrouble one = finish(done->easy_handle, done->data.result);
      if (trouble == ToolTrouble::kNone) trouble = one;
    }
    if (session_.flooded) return ToolTrouble::kServerFlooded;
    if (trouble != ToolTrouble::kNone || ended || !session_.inbox.empty()) return trouble;
    const std::int64_t left_ms = deadline_ms - clock_.now_ms();
    if (left_ms <= 0) return ToolTrouble::kServerHung;
    curl_multi_poll(multi_.get(), nullptr, 0,
                    static_cast<int>(std::min<std::int64_t>(left_ms, kPollMs)), nullptr);
    return ToolTrouble::kNone;
  }

  ToolTrouble finish(CURL* easy, CURLcode code) {
    const auto exchange = std::find_if(exchanges_.begin(), exchanges_.end(),
                                       [&](const Exchange& one) { return one.easy.get() == easy; });
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi_.get(), easy);
    Exchange done = std::move(*exchange);
    exchanges_.erase(exchange);
    if (session_.flooded || done.delivered) return ToolTrouble::kNone;
    if (code == CURLE_OPERATION_TIMEDOUT) return ToolTrouble::kServerHung;
    if (code != CURLE_OK) return ToolTrouble::kServerDied;
    if (status >= 300 && status < 400) return ToolTrouble::kServerRedirected;
    if (status == 404 && !session_.id.empty()) return ToolTrouble::kServerDied;  // forgot us
    if (status < 200 || status >= 300) return ToolTrouble::kServerBroken;
    const bool has_message = !done.is_stream() && !trimmed(done.received).empty();
    if (has_message && status == 200) done.deliver(std::move(done.received));
    return ToolTrouble::kNone;
  }

  template <class Which>
  void drop_exchanges(const Which& which) {
    exchanges_.remove_if([&](const Exchange& one) {
      if (!which(one)) return false;
      curl_multi_remove_handle(multi_.get(), one.easy.get());
      return true;
    });
  }

  // The server may forget this trajectory's world; whether it hears it does not matter to us.
  void say_farewell() {
    if (session_.id.empty()) return;
    Exchange exchange;
    CURL* const easy = prepared(exchange, kFarewellMs);
    if (easy == nullptr) return;
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    curl_easy_perform(easy);
  }

  std::string url_;
  std::vector<std::string> own_headers_;
  const Clock& clock_;
  Session session_;
  std::string version_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::list<Exchange> exchanges_;  // under way; they must not move
};

}  // namespace

McpOutcome<std::unique_ptr<McpChannel>> open_mcp_http(const McpServer& server, const Clock& clock) {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  if (!ready) return ToolTrouble::kServerDied;
  return std::make_unique<HttpChannel>(server, clock);
}

}  // namespace understudy
