#include "environment/mcp_client.hpp"

#include <utility>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr const char* kProtocolVersion = "2025-06-18";
constexpr std::size_t kToolPagesMax = 100;

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

/// A call that the log holds with arguments of no sense is made with none: the server says what it
/// thinks of that.
Json call_params(const ToolCall& call) {
  const Result<Json> parsed = parse_json(call.arguments);
  return {{"name", call.name},
          {"arguments", parsed && parsed->is_object() ? *parsed : Json::object()}};
}

McpOutcome<McpResult> read_result(const Json& answer) {
  if (const Json* error = member(answer, "error")) {
    const Json* text = member(*error, "message");
    const bool named = text != nullptr && text->is_string();
    return McpResult{.text = "Error: " + (named ? text->get<std::string>() : "unknown"),
                     .is_error = true};
  }
  const Json* result = member(answer, "result");
  const Json* content = result == nullptr ? nullptr : member(*result, "content");
  if (content == nullptr || !content->is_array()) return ToolTrouble::kServerBroken;
  McpResult out;
  const Json* is_error = member(*result, "isError");
  out.is_error = is_error != nullptr && *is_error == Json(true);
  bool first = true;
  for (const Json& part : *content) {
    const Json* text = member(part, "text");
    if (text == nullptr || !text->is_string()) {
      out.has_other_parts = true;
      continue;
    }
    if (!std::exchange(first, false)) out.text += '\n';
    out.text += text->get_ref<const std::string&>();
  }
  return out;
}

}  // namespace

McpOutcome<McpClient> McpClient::start(const McpServer& server, const Clock& clock) {
  McpOutcome<std::unique_ptr<McpChannel>> channel = open_mcp_channel(server, clock);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&channel)) return *trouble;
  McpClient client(server, clock, std::move(std::get<std::unique_ptr<McpChannel>>(channel)));
  if (const ToolTrouble trouble = client.greet(); trouble != ToolTrouble::kNone) return trouble;
  return client;
}

ToolTrouble McpClient::greet() {
  const std::int64_t deadline_ms = clock_->now_ms() + server_.start_ms;
  const Json params = {{"protocolVersion", kProtocolVersion},
                       {"capabilities", Json::object()},
                       {"clientInfo", {{"name", "understudy"}, {"version", UNDERSTUDY_VERSION}}}};
  std::int64_t id = 0;
  if (const auto trouble = request("initialize", params, deadline_ms, id);
      trouble != ToolTrouble::kNone) {
    return trouble;
  }
  const McpOutcome<Json> answer = response(id, deadline_ms);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&answer)) return *trouble;
  const Json* greeting = member(std::get<Json>(answer), "result");
  if (greeting == nullptr) return ToolTrouble::kServerBroken;
  const Json* version = member(*greeting, "protocolVersion");
  const bool says = version != nullptr && version->is_string();
  channel_->agreed(says ? version->get<std::string>() : kProtocolVersion);
  const Json ready = {{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}};
  if (const auto trouble = send(ready, deadline_ms); trouble != ToolTrouble::kNone) return trouble;
  const ToolTrouble arrived = channel_->flush(deadline_ms);
  if (arrived != ToolTrouble::kNone) return arrived;
  return list_tools(deadline_ms);
}

ToolTrouble McpClient::list_tools(std::int64_t deadline_ms) {
  Json params = Json::object();
  for (std::size_t page = 0; page < kToolPagesMax; ++page) {
    std::int64_t id = 0;
    if (const auto trouble = request("tools/list", params, deadline_ms, id);
        trouble != ToolTrouble::kNone) {
      return trouble;
    }
    const McpOutcome<Json> answer = response(id, deadline_ms);
    if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&answer)) return *trouble;
    const Json* result = member(std::get<Json>(answer), "result");
    const Json* tools = result == nullptr ? nullptr : member(*result, "tools");
    if (tools == nullptr || !tools->is_array()) return ToolTrouble::kServerBroken;
    for (const Json& tool : *tools) tools_.push_back(tool);
    const Json* cursor = member(*result, "nextCursor");
    if (cursor == nullptr || !cursor->is_string()) return ToolTrouble::kNone;
    params = {{"cursor", *cursor}};
  }
  return ToolTrouble::kServerFlooded;
}

const Json* McpClient::tool(std::string_view name) const {
  for (const Json& one : tools_) {
    const Json* own = member(one, "name");
    if (own != nullptr && *own == Json(name)) return &one;
  }
  return nullptr;
}

McpOutcome<McpResult> McpClient::call(const ToolCall& call) {
  McpOutcome<std::vector<McpResult>> all = call_all({call});
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&all)) return *trouble;
  return std::move(std::get<std::vector<McpResult>>(all).front());
}

McpOutcome<std::vector<McpResult>> McpClient::call_all(const std::vector<ToolCall>& calls) {
  const std::int64_t deadline_ms = clock_->now_ms() + server_.call_ms;
  std::vector<std::int64_t> ids(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto trouble = request("tools/call", call_params(calls[i]), deadline_ms, ids[i]);
    if (trouble != ToolTrouble::kNone) return trouble;
  }
  std::vector<McpResult> results;
  for (const std::int64_t id : ids) {
    const McpOutcome<Json> answer = response(id, deadline_ms);
    if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&answer)) return *trouble;
    McpOutcome<McpResult> result = read_result(std::get<Json>(answer));
    if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&result)) return *trouble;
    results.push_back(std::move(std::get<McpResult>(result)));
  }
  return results;
}

// ---- messages ----

ToolTrouble McpClient::send(const Json& message, std::int64_t deadline_ms) {
  return channel_->send(write_json(message, JsonStyle::kCanonical), deadline_ms);
}

ToolTrouble McpClient::request(std::string_view method, Json params, std::int64_t deadline_ms,
                               std::int64_t& id) {
  id = ++last_id_;
  channel_->begin_question();
  return send({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(params)}},
              deadline_ms);
}

McpOutcome<Json> McpClient::response(std::int64_t id, std::int64_t deadline_ms) {
  for (;;) {
    if (const auto found = answers_.find(id); found != answers_.end()) {
      Json answer = std::move(found->second);
      answers_.erase(found);
      return answer;
    }
    std::string text;
    ToolTrouble trouble = channel_->receive(text, deadline_ms);
    if (trouble == ToolTrouble::kNone) trouble = take(text, deadline_ms);
    if (trouble != ToolTrouble::kNone) return trouble;
  }
}

ToolTrouble McpClient::take(std::string_view text, std::int64_t deadline_ms) {
  if (trimmed(text).empty()) return ToolTrouble::kNone;
  Result<Json> message = parse_json(text);
  if (!message || !message->is_object()) return ToolTrouble::kServerBroken;
  const Json* id = member(*message, "id");
  const Json* method = member(*message, "method");
  if (method == nullptr) {
    // An answer to nothing that was asked, or a second one to the same question, is nobody's.
    const bool ours = id != nullptr && id->is_number_integer();
    if (ours) answers_.emplace(id->get<std::int64_t>(), *std::move(message));
    return ToolTrouble::kNone;
  }
  if (id == nullptr) return ToolTrouble::kNone;  // a notification
  Json reply = {{"jsonrpc", "2.0"}, {"id", *id}};
  if (*method == Json("ping")) {
    reply["result"] = Json::object();
  } else {
    reply["error"] = {{"code", -32'601}, {"message", "this client offers no such method"}};
  }
  return send(reply, deadline_ms);  // the bytes go on counting: who only asks floods as well
}

// ---- the level ----

ToolTrouble McpSource::ready() {
  if (client_ || start_trouble_ != ToolTrouble::kNone) return start_trouble_;
  McpOutcome<McpClient> started = McpClient::start(server_, clock_);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&started)) {
    return start_trouble_ = *trouble;
  }
  client_ = std::move(std::get<McpClient>(started));
  return ToolTrouble::kNone;
}

bool McpSource::knows(const std::string& tool) {
  // A server that can't be had is asked all the same, so that perform() says why.
  return ready() != ToolTrouble::kNone || client_->has_tool(tool);
}

ToolAnswer McpSource::perform(const ToolCall& call) {
  if (const ToolTrouble trouble = ready(); trouble != ToolTrouble::kNone) {
    return {.trouble = trouble};
  }
  McpOutcome<McpResult> result = client_->call(call);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&result)) {
    const ToolTrouble why = *trouble;
    client_.reset();
    return {.trouble = why};
  }
  return {.level = ToolLevel::kServer,
          .result = std::move(std::get<McpResult>(result).text),
          .trouble = ToolTrouble::kNone};
}

}  // namespace understudy
