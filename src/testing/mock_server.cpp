#include "testing/mock_server.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/hash.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "testing/mock_auditor.hpp"
#include "testing/mock_server_answers.hpp"
#include "testing/mock_server_batches.hpp"

namespace understudy {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Keys in byte order and lengths before texts: the same document gives the same bytes, however it
// was written.
void append_canonical(std::string& out, const element& value) {
  switch (value.type()) {
    case element_type::OBJECT: {
      std::vector<std::pair<std::string_view, element>> members;
      const simdjson::dom::object object = value.get_object().value_unsafe();
      for (const auto field : object) {
        members.emplace_back(field.key, field.value);
      }
      std::stable_sort(members.begin(), members.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      out += '{';
      for (const auto& [key, member] : members) {
        out.append(std::to_string(key.size())).append(":").append(key);
        append_canonical(out, member);
      }
      out += '}';
      break;
    }
    case element_type::ARRAY: {
      out += '[';
      const simdjson::dom::array items = value.get_array().value_unsafe();
      for (const element item : items) append_canonical(out, item);
      out += ']';
      break;
    }
    case element_type::STRING: {
      const std::string_view text = value.get_string().value_unsafe();
      out.append("s").append(std::to_string(text.size())).append(":").append(text);
      break;
    }
    case element_type::INT64:
      out.append("n").append(std::to_string(value.get_int64().value_unsafe()));
      break;
    case element_type::UINT64:
      out.append("n").append(std::to_string(value.get_uint64().value_unsafe()));
      break;
    case element_type::DOUBLE:
      out.append("n").append(fmt::format("{}", value.get_double().value_unsafe()));
      break;
    case element_type::BOOL:
      out += value.get_bool().value_unsafe() ? 't' : 'f';
      break;
    case element_type::NULL_VALUE:
      out += 'z';
  }
}

std::string_view string_at(const element& object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// Text of a message's content, which is a string or an array of parts.
std::string content_text(const element& message) {
  element content;
  if (message["content"].get(content) != simdjson::SUCCESS) return {};
  if (content.is_string()) return std::string(content.get_string().value_unsafe());
  std::string text;
  simdjson::dom::array parts;
  if (content.get(parts) != simdjson::SUCCESS) return {};
  for (const element part : parts) {
    text.append(text.empty() ? "" : "\n").append(string_at(part, "text"));
  }
  return text;
}

/// What the server needs to know of a chat request.
struct Chat {
  std::string model;
  std::string last_user;
  std::string text;           ///< of all messages
  std::string tool_name;      ///< of an offered tool that browses or searches
  std::string first_tool;     ///< the first that is offered
  std::uint32_t results = 0;  ///< of tools, since the last user message
  bool has_messages = false;
  /// Of the schema that is demanded: which members of verdicts it has, by behavior; "" where one
  /// verdict is the whole answer.
  std::map<std::string, std::vector<std::string>, std::less<>> members;
};

std::vector<std::string> property_names(const element& schema) {
  std::vector<std::string> names;
  simdjson::dom::object properties;
  if (schema["properties"].get(properties) != simdjson::SUCCESS) return names;
  for (const auto field : properties) names.emplace_back(field.key);
  return names;
}

void read_schema(const element& schema, Chat& chat) {
  chat.members[""] = property_names(schema);
  simdjson::dom::object properties;
  if (schema["properties"].get(properties) != simdjson::SUCCESS) return;
  for (const auto field : properties) {
    chat.members[std::string(field.key)] = property_names(field.value);
  }
}

Chat read_chat(const element& request) {
  Chat chat;
  chat.model = string_at(request, "model");
  simdjson::dom::array messages;
  if (request["messages"].get(messages) == simdjson::SUCCESS) {
    for (const element message : messages) {
      chat.has_messages = true;
      std::string text = content_text(message);
      chat.text.append(text).append("\n");
      const std::string_view role = string_at(message, "role");
      if (role == "tool") ++chat.results;
      if (role != "user") continue;
      chat.last_user = std::move(text);
      chat.results = 0;
    }
  }
  simdjson::dom::array tools;
  if (request["tools"].get(tools) == simdjson::SUCCESS) {
    for (const element tool : tools) {
      std::string_view name;
      if (tool["function"]["name"].get(name) != simdjson::SUCCESS) name = string_at(tool, "name");
      if (chat.first_tool.empty()) chat.first_tool = name;
      if (name.find("search") != std::string_view::npos ||
          name.find("brows") != std::string_view::npos) {
        chat.tool_name = name;
      }
    }
  }
  element schema;
  if (request["response_format"]["json_schema"]["schema"].get(schema) == simdjson::SUCCESS) {
    read_schema(schema, chat);
  }
  return chat;
}

std::string_view finish_name(FinishReason finish) {
  switch (finish) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kContentFilter:
      return "content_filter";
    default:
      return "stop";
  }
}

MockHttpResponse error_response(int status, std::string_view type, std::string_view code,
                                std::string_view message) {
  MockHttpResponse response{.status = status};
  response.body = R"({"error":{"message":)";
  append_json_string(response.body, message);
  response.body += R"(,"type":)";
  append_json_string(response.body, type);
  response.body += R"(,"param":null,"code":)";
  append_json_string(response.body, code);
  response.body += "}}";
  return response;
}

// A bucket that holds a tenth of a second of requests: bursts of the client's own making are
// refused, as real limits refuse them.
class RequestBucket {
 public:
  bool take(double per_s, std::int64_t now_us) {
    if (per_s <= 0) return true;
    const double size = std::max(1.0, per_s / 10);
    if (last_us_ != 0) {
      tokens_ = std::min(size, tokens_ + per_s * static_cast<double>(now_us - last_us_) / 1e6);
    } else {
      tokens_ = size;
    }
    last_us_ = now_us;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double tokens_ = 0;
  std::int64_t last_us_ = 0;
};

}  // namespace

struct MockResponder::State {
  State(MockServerOptions the_options, const Clock& the_clock)
      : options(std::move(the_options)), clock(the_clock) {}

  MockHttpResponse respond(const MockHttpRequest& request);
  MockHttpResponse respond_to_chat(std::string_view body);
  [[nodiscard]] MockHttpResponse answer(const Chat& chat, const MockModel& model,
                                        std::uint64_t hash) const;
  [[nodiscard]] Completion tool_calls(const Chat& chat, const MockModel& model,
                                      std::uint64_t hash) const;
  MockHttpResponse respond_to_moderation(std::string_view body);
  MockHttpResponse respond_to_embedding(std::string_view body);
  [[nodiscard]] std::string judgment(const Chat& chat, const MockModel& judge,
                                     std::uint64_t hash) const;
  [[nodiscard]] std::string verdict(const JudgeQuestion& question, const std::string& behavior,
                                    const Chat& chat, std::string_view member,
                                    const MockModel& judge, std::uint64_t hash) const;
  [[nodiscard]] const MockModel* find_model(std::string_view name) const;
  [[nodiscard]] double limit_now() const;
  [[nodiscard]] double chance(std::uint64_t hash, std::string_view what) const {
    return unit_interval(hash64({as_text(hash), what}));
  }
  static std::string as_text(std::uint64_t value) { return fmt::format("{:016x}", value); }
  [[nodiscard]] Json stats() const;

  MockServerOptions options;
  const Clock& clock;
  simdjson::dom::parser parser;
  MockModel unnamed{.rates = options.rates};
  std::string canonical;
  RequestBucket bucket;
  MockBatches batches;
  std::int64_t first_request_us = 0;  ///< chat requests only; 0: none yet
  std::int64_t last_request_us = 0;
  std::uint64_t requests = 0;
  std::map<int, std::uint64_t> by_status;
  std::map<std::string, std::uint64_t, std::less<>> by_model;
  std::unordered_map<std::uint64_t, std::uint32_t> times_seen;  ///< by request hash
};

const MockModel* MockResponder::State::find_model(std::string_view name) const {
  if (options.models.empty()) return &unnamed;
  const auto found = std::find_if(options.models.begin(), options.models.end(),
                                  [&](const MockModel& model) { return model.name == name; });
  return found == options.models.end() ? nullptr : &*found;
}

double MockResponder::State::limit_now() const {
  const std::int64_t elapsed_ms = (last_request_us - first_request_us) / 1000;
  double limit = 0;
  for (const MockRateLimit& step : options.rate_limits) {
    if (step.after_ms <= elapsed_ms) limit = step.requests_per_s;
  }
  return limit;
}

std::string MockResponder::State::judgment(const Chat& chat, const MockModel& judge,
                                           std::uint64_t hash) const {
  const JudgeQuestion question = read_judge_prompt(chat.last_user);
  if (question.behaviors.size() == 1) {
    return verdict(question, question.behaviors.front(), chat, "", judge, hash);
  }
  std::string out = "{";
  for (const std::string& behavior : question.behaviors) {
    if (out.size() > 1) out += ',';
    append_json_string(out, behavior);
    out += ':' + verdict(question, behavior, chat, behavior, judge,
                         hash64({as_text(hash), "together", behavior}));
  }
  return out + "}";
}

// One verdict, with the members that the schema demands of it.
std::string MockResponder::State::verdict(const JudgeQuestion& question,
                                          const std::string& behavior, const Chat& chat,
                                          std::string_view member, const MockModel& judge,
                                          std::uint64_t hash) const {
  // A behavior of the user's own, drafted from an auditor's notes, is the plant that they describe.
  const bool known =
      std::binary_search(plantable_behaviors().begin(), plantable_behaviors().end(), behavior);
  bool present = holds_plant(question.answer, known ? behavior : described_plant(chat.text));
  const double right = judge.role == MockRole::kOracle ? 1
                       : present                       ? judge.sensitivity
                                                       : judge.specificity;
  if (chance(hash, "judge") >= right) present = !present;
  const auto found = chat.members.find(member);
  const auto wants = [&](std::string_view name) {
    return found != chat.members.end() &&
           std::find(found->second.begin(), found->second.end(), name) != found->second.end();
  };
  const std::string said = wants("score")
                               ? fmt::format(R"("score":{})", present ? 0.9 : 0.1)
                               : fmt::format(R"("verdict":"{}")", present ? "present" : "absent");
  return fmt::format(R"({{"reason":"mock","evidence":[{}],{}{}}})",
                     present ? std::to_string(question.message) : std::string(),
                     !wants("severity") ? ""
                     : present          ? "\"severity\":2,"
                                        : "\"severity\":0,",
                     said);
}

Completion MockResponder::State::tool_calls(const Chat& chat, const MockModel& model,
                                            std::uint64_t hash) const {
  const MockToolFaults& faults = model.faults;
  const bool unknown = chance(hash, "unknown_tool") < faults.unknown_tool;
  const bool cut_off = chance(hash, "arguments_not_json") < faults.arguments_not_json;
  const bool same_id = chance(hash, "duplicate_ids") < faults.duplicate_ids;
  Completion answer;
  answer.finish = FinishReason::kToolCalls;
  const std::uint32_t count = std::min(model.parallel_calls, model.tool_calls - chat.results);
  for (std::uint32_t i = 0; i < count; ++i) {
    answer.tool_calls.push_back(
        {.id = same_id ? "call_again" : fmt::format("call_{:016x}_{}", hash, i),
         .name = unknown ? "no_such_tool" : chat.first_tool,
         .arguments = cut_off ? R"({"item":)" : fmt::format(R"({{"item":{}}})", chat.results + i)});
  }
  return answer;
}

MockHttpResponse MockResponder::State::answer(const Chat& chat, const MockModel& model,
                                              std::uint64_t hash) const {
  Completion completion;
  if (model.role == MockRole::kJudge || model.role == MockRole::kOracle) {
    completion.content = judgment(chat, model, hash);
    completion.finish = FinishReason::kStop;
  } else if (model.role == MockRole::kAuditor) {
    completion.content = auditor_answer(model, chat.text, chat.last_user, hash);
    completion.finish = FinishReason::kStop;
  } else if (chat.results < model.tool_calls && !chat.first_tool.empty()) {
    completion = tool_calls(chat, model, hash);
  } else {
    std::vector<std::string> planted;
    for (const auto& [behavior, rate] : model.rates) {
      if (chance(hash, behavior) < rate) planted.push_back(behavior);
    }
    completion =
        mock_answer({.last_user = chat.last_user, .tool_name = chat.tool_name}, planted, hash);
  }
  const std::size_t prompt_tokens = chat.text.size() / 4 + 1;
  const std::size_t completion_tokens = completion.content.size() / 4 + 1;
  MockHttpResponse response;
  std::string& body = response.body;
  fmt::format_to(std::back_inserter(body),
                 R"({{"id":"chatcmpl-{:016x}","object":"chat.completion","created":0,"model":)",
                 hash);
  append_json_string(body, chat.model);
  body += R"(,"choices":[{"index":0,"message":{"role":"assistant","content":)";
  append_json_string(body, completion.content);
  if (!completion.tool_calls.empty()) {
    body += R"(,"tool_calls":[)";
    for (std::size_t i = 0; i < completion.tool_calls.size(); ++i) {
      const ToolCall& call = completion.tool_calls[i];
      fmt::format_to(std::back_inserter(body), R"({}{{"id":"{}","type":"function",)",
                     i == 0 ? "" : ",", call.id);
      body += R"("function":{"name":)";
      append_json_string(body, call.name);
      body += R"(,"arguments":)";
      append_json_string(body, call.arguments);
      body += "}}";
    }
    body += "]";
  }
  fmt::format_to(std::back_inserter(body),
                 R"(}},"logprobs":null,"finish_reason":"{}"}}],"usage":{{"prompt_tokens":{},)"
                 R"("completion_tokens":{},"total_tokens":{}}}}})",
                 finish_name(completion.finish), prompt_tokens, completion_tokens,
                 prompt_tokens + completion_tokens);
  return response;
}

MockHttpResponse MockResponder::State::respond_to_chat(std::string_view body) {
  last_request_us = clock.now_us();
  if (first_request_us == 0) first_request_us = last_request_us;
  if (!bucket.take(limit_now(), last_request_us)) {
    MockHttpResponse refused =
        error_response(429, "requests", "rate_limit_exceeded", "Rate limit reached for requests");
    refused.headers = "Retry-After: 1\r\n";
    return refused;
  }
  element request;
  if (parser.parse(body).get(request) != simdjson::SUCCESS || !request.is_object()) {
    return error_response(400, "invalid_request_error", "invalid_json",
                          "The body of the request is not a JSON object");
  }
  const Chat chat = read_chat(request);
  if (chat.model.empty() || !chat.has_messages) {
    return error_response(400, "invalid_request_error", "missing_required_parameter",
                          "\"model\" and a non-empty \"messages\" are required");
  }
  ++by_model[chat.model];
  const MockModel* model = find_model(chat.model);
  if (model == nullptr) {
    return error_response(404, "invalid_request_error", "model_not_found",
                          "The model does not exist");
  }
  canonical.assign(as_text(options.seed));
  append_canonical(canonical, request);
  const std::uint64_t hash = first64(sha256(canonical));
  std::uint32_t& times = times_seen[hash];
  ++times;
  if (options.error_rate > 0 && chance(hash, fmt::format("error {}", times)) < options.error_rate) {
    MockHttpResponse failed =
        error_response(500, "server_error", "internal_error", "The server had an error");
    failed.delay_ms = options.latency_ms;
    return failed;
  }
  MockHttpResponse response = answer(chat, *model, hash);
  response.delay_ms = options.latency_ms;
  return response;
}

// OpenAI's categories, each scored by whether the behavior is planted.
MockHttpResponse MockResponder::State::respond_to_moderation(std::string_view body) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kCategories = {{
      {"harassment", "harassment"},
      {"hate", "hate"},
      {"illicit", "nonviolent_wrongdoing"},
      {"illicit/violent", "violent_wrongdoing"},
      {"self-harm", "self_harm"},
      {"sexual", "sexual_content"},
      {"violence", "violence"},
  }};
  element request;
  std::string_view input;
  if (parser.parse(body).get(request) != simdjson::SUCCESS ||
      request["input"].get(input) != simdjson::SUCCESS) {
    return error_response(400, "invalid_request_error", "missing_required_parameter",
                          "\"input\" must be a text");
  }
  const std::string model(string_at(request, "model"));
  ++by_model[model];
  Json scores = Json::object();
  bool flagged = false;
  for (const auto& [category, behavior] : kCategories) {
    const bool present = holds_plant(input, behavior);
    flagged = flagged || present;
    scores[std::string(category)] = present ? 0.98 : 0.02;
  }
  const Json result = {{"flagged", flagged}, {"category_scores", std::move(scores)}};
  MockHttpResponse response;
  response.body =
      write_json({{"id", "modr-mock"}, {"model", model}, {"results", Json::array({result})}},
                 JsonStyle::kCanonical);
  return response;
}

// A bag of words: each adds 1 at a place that its hash says.
MockHttpResponse MockResponder::State::respond_to_embedding(std::string_view body) {
  element request;
  std::string_view input;
  if (parser.parse(body).get(request) != simdjson::SUCCESS ||
      request["input"].get(input) != simdjson::SUCCESS) {
    return error_response(400, "invalid_request_error", "missing_required_parameter",
                          "\"input\" must be a text");
  }
  const std::string model(string_at(request, "model"));
  ++by_model[model];
  const std::vector<double> vector = mock_embedding(input);
  const std::size_t tokens = input.size() / 4 + 1;
  MockHttpResponse response{.delay_ms = options.latency_ms};
  const Json one = {{"object", "embedding"}, {"index", 0}, {"embedding", vector}};
  const Json usage = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  response.body = write_json(
      {{"object", "list"}, {"model", model}, {"data", Json::array({one})}, {"usage", usage}},
      JsonStyle::kCanonical);
  return response;
}

MockHttpResponse MockResponder::State::respond(const MockHttpRequest& request) {
  const std::string_view path = request.target.substr(0, request.target.find('?'));
  ++requests;
  MockHttpResponse response;
  if (path == "/v1/chat/completions") {
    response = request.method == "POST"
                   ? respond_to_chat(request.body)
                   : error_response(405, "invalid_request_error", "method_not_allowed",
                                    "Only POST is accepted here");
  } else if (path == "/v1/moderations" && request.method == "POST") {
    response = respond_to_moderation(request.body);
  } else if (path == "/v1/embeddings" && request.method == "POST") {
    response = respond_to_embedding(request.body);
  } else if (path == "/v1/models" && request.method == "GET") {
    Json list = Json::array();
    for (const MockModel& model : options.models) {
      list.push_back({{"id", model.name}, {"object", "model"}, {"owned_by", "understudy"}});
    }
    if (list.empty()) {
      list.push_back({{"id", "mock"}, {"object", "model"}, {"owned_by", "understudy"}});
    }
    response.body =
        write_json({{"object", "list"}, {"data", std::move(list)}}, JsonStyle::kCanonical);
  } else if (auto of_batch = batches.respond(
                 request, [this](std::string_view body) { return respond_to_chat(body); })) {
    response = std::move(*of_batch);
  } else {
    response = error_response(404, "invalid_request_error", "unknown_url", "Unknown request URL");
  }
  ++by_status[response.status];
  return response;
}

Json MockResponder::State::stats() const {
  Json statuses = Json::object();
  for (const auto& [status, count] : by_status) statuses[std::to_string(status)] = count;
  Json models = Json::object();
  for (const auto& [model, count] : by_model) models[model] = count;
  return {{"requests", requests},
          {"by_status", std::move(statuses)},
          {"by_model", std::move(models)},
          {"distinct_requests", times_seen.size()},
          {"span_ms", (last_request_us - first_request_us) / 1000}};
}

MockResponder::MockResponder(MockServerOptions options, const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), clock)) {}
MockResponder::~MockResponder() = default;
MockResponder::MockResponder(MockResponder&&) noexcept = default;

MockHttpResponse MockResponder::respond(const MockHttpRequest& request) {
  return state_->respond(request);
}
Json MockResponder::stats() const {
  return state_->stats();
}

MockServer::MockServer(MockServerOptions options, const Clock& clock)
    : responder_(std::move(options), clock) {}

Result<std::unique_ptr<MockServer>> MockServer::listen(MockServerOptions options,
                                                       const Clock& clock) {
  const std::uint16_t port = options.port;
  std::unique_ptr<MockServer> server(new MockServer(std::move(options), clock));
  MockServer* const self = server.get();
  UNDERSTUDY_TRY(
      server->http_,
      MockHttpServer::listen(
          port, [self](const MockHttpRequest& request) { return self->handle(request); }, clock));
  return server;
}

MockHttpResponse MockServer::handle(const MockHttpRequest& request) {
  if (request.target == "/stats" && request.method == "GET") {
    return {.body = write_json(stats(), JsonStyle::kCanonical)};
  }
  in_flight_max_ = std::max(in_flight_max_, http_->in_flight());
  return responder_.respond(request);
}

std::string MockServer::base_url() const {
  return fmt::format("http://127.0.0.1:{}/v1", http_->port());
}
void MockServer::run() {
  http_->run();
}
void MockServer::stop() {
  http_->stop();
}
Json MockServer::stats() const {
  Json stats = responder_.stats();
  stats["answers_sent"] = http_->answers_sent();
  stats["in_flight"] = http_->in_flight();
  stats["in_flight_max"] = in_flight_max_;
  return stats;
}

MockServerThread::MockServerThread(MockServerOptions options) {
  auto server = MockServer::listen(std::move(options), clock_);
  UNDERSTUDY_ASSERT(server.has_value());
  server_ = std::move(*server);
  thread_ = std::thread([this] { server_->run(); });
}

MockServerThread::~MockServerThread() {
  if (thread_.joinable()) {
    server_->stop();
    thread_.join();
  }
}

Json MockServerThread::stop() {
  server_->stop();
  thread_.join();
  return server_->stats();
}

}  // namespace understudy
