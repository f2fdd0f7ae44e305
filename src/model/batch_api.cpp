#include "model/batch_api.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/json.hpp"

namespace understudy {
namespace {

constexpr std::size_t kReplyBytesMax = std::size_t{8} << 20;
constexpr long kConnectTimeoutMs = 15'000;
// A transfer may be long, but not stand still.
constexpr long kStallBytesPerS = 1;
constexpr long kStallS = 120;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

Unexpected failed(std::string_view doing, std::string_view why) {
  return unexpected(ErrorCode::kInfrastructure, fmt::format("{}: {}", doing, why));
}

/// Where an answer's body goes: into a file when its status is good, else into a small text.
struct Sink {
  CURL* easy = nullptr;
  std::FILE* file = nullptr;
  std::string text;
  bool too_large = false;
};

std::size_t on_body(char* data, std::size_t /*one*/, std::size_t size, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  long status = 0;
  curl_easy_getinfo(sink.easy, CURLINFO_RESPONSE_CODE, &status);
  if (sink.file != nullptr && status == 200) return std::fwrite(data, 1, size, sink.file);
  if (sink.text.size() + size > kReplyBytesMax) {
    sink.too_large = true;
    return 0;  // less than `size` ends the transfer
  }
  sink.text.append(data, size);
  return size;
}

/// A JSON Lines file as the array of a JSON document: between two lines a comma, after the last
/// nothing. Lines of JSON hold no line break but their last.
struct ArrayBody {
  File file;
  std::size_t left = 0;  ///< bytes of the file still to send, without the last line break
  std::string before = R"({"requests":[)";
  std::string after = "]}";

  [[nodiscard]] std::size_t size() const { return before.size() + left + after.size(); }
};

std::size_t on_read(char* buffer, std::size_t /*one*/, std::size_t size, void* user) {
  auto& body = *static_cast<ArrayBody*>(user);
  std::string& text = !body.before.empty() ? body.before : body.after;
  if (!body.before.empty() || body.left == 0) {
    const std::size_t count = std::min(size, text.size());
    std::copy_n(text.data(), count, buffer);
    text.erase(0, count);
    return count;
  }
  const std::size_t count = std::fread(buffer, 1, std::min(size, body.left), body.file.get());
  if (count == 0) return CURL_READFUNC_ABORT;  // the file has become shorter
  body.left -= count;
  std::replace(buffer, buffer + count, '\n', ',');
  return count;
}

struct Reply {
  long status = 0;
  std::string body;
};

/// One call at a time on one handle.
class Http {
 public:
  Http(std::string base_url, std::vector<std::string> headers, std::string key)
      : base_url_(std::move(base_url)), headers_(std::move(headers)), key_(std::move(key)) {
    static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
    UNDERSTUDY_ASSERT(initialized == CURLE_OK);
    easy_ = curl_easy_init();
    UNDERSTUDY_ASSERT(easy_ != nullptr);
  }
  ~Http() { curl_easy_cleanup(easy_); }
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  Result<Json> get(std::string_view doing, const std::string& path) {
    prepare(path, true);
    return json(doing);
  }
  Result<Json> post(std::string_view doing, const std::string& path, const std::string& body) {
    prepare(path, true);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body.data());
    return json(doing);
  }
  Result<Json> post_array(std::string_view doing, const std::string& path, ArrayBody body) {
    prepare(path, true);
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy_, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy_, CURLOPT_READDATA, &body);
    return json(doing);
  }
  /// A form with one file and one field, as OpenAI's Files take it.
  Result<Json> post_file(std::string_view doing, const std::string& path, const std::string& file,
                         const std::string& file_name) {
    prepare(path, false);
    curl_mime* const form = curl_mime_init(easy_);
    curl_mimepart* part = curl_mime_addpart(form);
    curl_mime_name(part, "purpose");
    curl_mime_data(part, "batch", CURL_ZERO_TERMINATED);
    part = curl_mime_addpart(form);
    curl_mime_name(part, "file");
    const bool readable = curl_mime_filedata(part, file.c_str()) == CURLE_OK;
    curl_mime_filename(part, file_name.c_str());
    curl_mime_type(part, "application/jsonl");
    curl_easy_setopt(easy_, CURLOPT_MIMEPOST, form);
    Result<Json> reply = readable ? json(doing) : Result<Json>(failed(doing, "can't read " + file));
    curl_easy_reset(easy_);  // before the form that it points to goes
    curl_mime_free(form);
    return reply;
  }
  Result<void> download(std::string_view doing, const std::string& path, const std::string& to) {
    const std::string part = to + ".part";
    const int descriptor = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) return failed(doing, "cannot write " + to);
    File file(::fdopen(descriptor, "w"));
    prepare(path, true);
    UNDERSTUDY_TRY(const Reply reply, perform(doing, file.get()));
    if (reply.status != 200) return refused(doing, reply);
    const bool written = std::fflush(file.get()) == 0 && ::fsync(descriptor) == 0;
    const bool closed = std::fclose(file.release()) == 0;
    if (!closed || !written || std::rename(part.c_str(), to.c_str()) != 0) {
      return failed(doing, "cannot write " + to + ": is the disk full?");
    }
    return {};
  }

 private:
  void prepare(const std::string& path, bool is_json) {
    curl_easy_reset(easy_);
    const std::string url = base_url_ + path;
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy_, CURLOPT_PROXY, "");
    curl_easy_setopt(easy_, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerS);
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, kStallS);
    lines_.reset(curl_slist_append(nullptr, "Expect:"));
    for (const std::string& header : headers_) {
      // A form names its own content type.
      if (!is_json && header.starts_with("Content-Type:")) continue;
      lines_.reset(curl_slist_append(lines_.release(), header.c_str()));
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, lines_.get());
  }

  Result<Reply> perform(std::string_view doing, std::FILE* file) {
    Sink sink{.easy = easy_, .file = file, .text = {}};
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &sink);
    const CURLcode code = curl_easy_perform(easy_);
    if (sink.too_large) return failed(doing, "the reply is too large");
    if (code != CURLE_OK) return failed(doing, curl_easy_strerror(code));
    Reply reply{.status = 0, .body = std::move(sink.text)};
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &reply.status);
    return reply;
  }

  Result<Json> json(std::string_view doing) {
    UNDERSTUDY_TRY(const Reply reply, perform(doing, nullptr));
    if (reply.status < 200 || reply.status >= 300) return refused(doing, reply);
    Result<Json> document = parse_json(reply.body);
    if (!document || !document->is_object()) return failed(doing, "the reply is not JSON");
    return document;
  }

  [[nodiscard]] Unexpected refused(std::string_view doing, const Reply& reply) const {
    if (reply.status >= 300 && reply.status < 400) {
      return failed(doing, fmt::format("HTTP {}: redirects are not followed", reply.status));
    }
    std::string code = read_error_body(reply.body).code;
    if (!key_.empty() && code.find(key_) != std::string::npos) code.clear();
    const bool by_us = reply.status >= 400 && reply.status < 500;
    return unexpected(
        by_us ? ErrorCode::kUsage : ErrorCode::kInfrastructure,
        fmt::format("{}: HTTP {}{}{}", doing, reply.status, code.empty() ? "" : " ", code));
  }

  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  std::string base_url_;
  std::vector<std::string> headers_;
  std::string key_;
  CURL* easy_ = nullptr;
  std::unique_ptr<curl_slist, FreeList> lines_;
};

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Ids become parts of paths: a server can't lead us elsewhere with one.
Result<std::string> id_of(std::string_view doing, const Json& object) {
  const std::string id(safe_word(text_of(object, "id")));
  if (id.empty() || id.find("..") != std::string::npos) {
    return failed(doing, "the reply has no usable id");
  }
  return id;
}

class OpenAiBatches final : public BatchApi {
 public:
  explicit OpenAiBatches(const RemoteModel& model)
      : http_(model.endpoint.base_url, model.protocol->headers(model.endpoint.key),
              model.endpoint.key),
        endpoint_("/v1" + model.protocol->path()) {}

  [[nodiscard]] Result<RemoteBatch> submit(const std::string& path,
                                           std::string_view name) override {
    UNDERSTUDY_TRY(const Json file,
                   http_.post_file("uploading", "/files", path, std::string(name)));
    UNDERSTUDY_TRY(const std::string file_id, id_of("uploading", file));
    const Json body = {{"input_file_id", file_id},
                       {"endpoint", endpoint_},
                       {"completion_window", "24h"},
                       {"metadata", {{"understudy", name}}}};
    UNDERSTUDY_TRY(const Json batch, http_.post("starting the batch", "/batches",
                                                write_json(body, JsonStyle::kCanonical)));
    return read(batch);
  }

  [[nodiscard]] Result<RemoteBatch> state(const std::string& id) override {
    UNDERSTUDY_TRY(const Json batch, http_.get("asking for the batch", "/batches/" + id));
    return read(batch);
  }

  [[nodiscard]] Result<std::optional<std::vector<RemoteBatch>>> newest() override {
    UNDERSTUDY_TRY(const Json list, http_.get("listing batches", "/batches?limit=100"));
    std::vector<RemoteBatch> batches;
    for (const Json& batch : list.value("data", Json::array())) {
      UNDERSTUDY_TRY(batches.emplace_back(), read(batch));
    }
    return std::optional(std::move(batches));
  }

  Result<void> download(const std::string& result, const std::string& path) override {
    return http_.download("fetching answers", "/files/" + result + "/content", path);
  }

 private:
  static Result<RemoteBatch> read(const Json& batch) {
    RemoteBatch remote;
    UNDERSTUDY_TRY(remote.id, id_of("reading the batch", batch));
    remote.status = safe_word(text_of(batch, "status"));
    if (batch.contains("metadata") && batch["metadata"].is_object()) {
      remote.name = text_of(batch["metadata"], "understudy");
    }
    static constexpr std::array<std::string_view, 4> kOver = {"completed", "failed", "expired",
                                                              "cancelled"};
    remote.over = std::find(kOver.begin(), kOver.end(), remote.status) != kOver.end();
    for (const char* key : {"output_file_id", "error_file_id"}) {
      const std::string id(safe_word(text_of(batch, key)));
      if (!id.empty()) remote.results.push_back(id);
    }
    return remote;
  }

  Http http_;
  std::string endpoint_;
};

class AnthropicBatches final : public BatchApi {
 public:
  explicit AnthropicBatches(const RemoteModel& model)
      : http_(model.endpoint.base_url, model.protocol->headers(model.endpoint.key),
              model.endpoint.key) {}

  [[nodiscard]] Result<RemoteBatch> submit(const std::string& path,
                                           std::string_view /*name*/) override {
    ArrayBody body;
    body.file.reset(std::fopen(path.c_str(), "re"));
    struct stat info {};
    if (body.file == nullptr || ::stat(path.c_str(), &info) != 0 || info.st_size == 0) {
      return failed("uploading", "can't read " + path);
    }
    body.left = static_cast<std::size_t>(info.st_size) - 1;
    UNDERSTUDY_TRY(const Json batch,
                   http_.post_array("starting the batch", "/messages/batches", std::move(body)));
    return read(batch);
  }

  [[nodiscard]] Result<RemoteBatch> state(const std::string& id) override {
    UNDERSTUDY_TRY(const Json batch, http_.get("asking for the batch", "/messages/batches/" + id));
    return read(batch);
  }

  [[nodiscard]] Result<std::optional<std::vector<RemoteBatch>>> newest() override {
    return std::optional<std::vector<RemoteBatch>>();
  }

  Result<void> download(const std::string& result, const std::string& path) override {
    // The address in "results_url" is not used: the key goes only where the study says.
    return http_.download("fetching answers", "/messages/batches/" + result + "/results", path);
  }

 private:
  static Result<RemoteBatch> read(const Json& batch) {
    RemoteBatch remote;
    UNDERSTUDY_TRY(remote.id, id_of("reading the batch", batch));
    remote.status = safe_word(text_of(batch, "processing_status"));
    remote.over = remote.status == "ended";
    if (remote.over) remote.results.push_back(remote.id);
    return remote;
  }

  Http http_;
};

}  // namespace

std::unique_ptr<BatchApi> make_batch_api(const RemoteModel& model) {
  if (batch_form(model.spec) == BatchForm::kAnthropic) {
    return std::make_unique<AnthropicBatches>(model);
  }
  return std::make_unique<OpenAiBatches>(model);
}

}  // namespace understudy
