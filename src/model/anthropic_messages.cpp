// Anthropic's Messages: the wire words live here only.

#include <fmt/format.h>

#include "base/json.hpp"
#include "model/answer_json.hpp"
#include "model/call_ids.hpp"
#include "model/chat_protocol.hpp"
#include "model/tool_schemas.hpp"

namespace understudy {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;

// The API demands a limit; this is what an answer may take where the study sets none.
constexpr std::uint32_t kMaxTokensDefault = 8192;
constexpr const char* kAnswerTool = "answer";

FinishReason finish_of(std::string_view name) {
  if (name == "end_turn" || name == "stop_sequence") return FinishReason::kStop;
  if (name == "max_tokens" || name == "model_context_window_exceeded") return FinishReason::kLength;
  if (name == "tool_use") return FinishReason::kToolCalls;
  if (name == "refusal") return FinishReason::kContentFilter;
  return FinishReason::kUnknown;
}

Json text_block(const std::string& text) {
  return {{"type", "text"}, {"text", text}};
}

// Logged arguments are text that the model wrote; the API takes an object only.
Json tool_input(const std::string& arguments) {
  Result<Json> parsed = parse_json(arguments);
  if (parsed && parsed->is_object()) return std::move(*parsed);
  return arguments.empty() ? Json::object() : Json({{"arguments", arguments}});
}

/// Messages of the API alternate between two roles; ours do not.
class Turns {
 public:
  void add(std::string_view role, Json block) {
    if (messages_.empty() || messages_.back()["role"] != role) {
      messages_.push_back({{"role", role}, {"content", Json::array()}});
    }
    messages_.back()["content"].push_back(std::move(block));
  }

  void add(const Message& message) {
    switch (message.role) {
      case Role::kSystem:
      case Role::kDeveloper:
        system_.append(system_.empty() ? "" : "\n\n").append(message.content);
        break;
      case Role::kUser:
        if (!message.content.empty()) add("user", text_block(message.content));
        break;
      case Role::kAssistant:
        if (!message.content.empty()) add("assistant", text_block(message.content));
        for (const ToolCall& call : message.tool_calls) {
          add("assistant", {{"type", "tool_use"},
                            {"id", ids_.of_call(call)},
                            {"name", call.name},
                            {"input", tool_input(call.arguments)}});
        }
        break;
      case Role::kTool:
        add("user", {{"type", "tool_result"},
                     {"tool_use_id", ids_.of_result(message)},
                     {"content", message.content}});
    }
  }

  [[nodiscard]] const std::string& system() const { return system_; }
  [[nodiscard]] Json messages() && { return std::move(messages_); }

 private:
  std::string system_;
  Json messages_ = Json::array();
  CallIds ids_;
};

class Anthropic final : public ChatProtocol {
 public:
  explicit Anthropic(const ModelSpec& spec) : model_(spec.name) {}

  [[nodiscard]] std::string path() const override { return "/messages"; }

  [[nodiscard]] std::vector<std::string> headers(const std::string& key) const override {
    std::vector<std::string> lines = {"Content-Type: application/json",
                                      "anthropic-version: 2023-06-01"};
    if (!key.empty()) lines.push_back("x-api-key: " + key);
    return lines;
  }

  [[nodiscard]] Result<std::string> request_body(const ChatRequest& request) override {
    Turns turns;
    for (const Message& message : request.messages) turns.add(message);
    Json body = {{"model", model_},
                 {"max_tokens", request.sampling.max_tokens.value_or(kMaxTokensDefault)}};
    if (!turns.system().empty()) body["system"] = turns.system();
    body["messages"] = std::move(turns).messages();
    if (request.sampling.temperature) body["temperature"] = *request.sampling.temperature;
    if (request.sampling.top_p) body["top_p"] = *request.sampling.top_p;
    if (!request.tools.empty()) {
      UNDERSTUDY_TRY(const ShapedTools shaped,
                     tools_in_shape(request.tools, ToolShape::kAnthropic));
      UNDERSTUDY_TRY(body["tools"], parse_json(shaped.tools));
      if (!shaped.choice.empty()) {
        UNDERSTUDY_TRY(body["tool_choice"], parse_json(shaped.choice));
      }
    }
    if (!request.json_schema.empty()) {
      UNDERSTUDY_TRY(Json schema, parse_json(request.json_schema));
      body["tools"].push_back({{"name", kAnswerTool}, {"input_schema", std::move(schema)}});
      body["tool_choice"] = {{"type", "tool"}, {"name", kAnswerTool}};
    }
    return write_json(body, JsonStyle::kCanonical);
  }

  [[nodiscard]] DrawOutcome read_answer(std::string_view body) override {
    const std::optional<element> document = reader_.parse(body);
    if (!document) return Failure{FailureReason::kNotJson, "the body is not JSON"};
    if (!document->is_object()) return Failure{FailureReason::kUnexpectedBody, "not an object"};
    if (holds_error(*document)) {
      return Failure{FailureReason::kErrorInBody, read_error_body(body).code};
    }
    simdjson::dom::array blocks;
    if ((*document)["content"].get(blocks) != SUCCESS) {
      return Failure{FailureReason::kUnexpectedBody, "no content"};
    }
    Completion completion;
    for (const element block : blocks) read_block(block, completion);
    completion.finish = finish_of(string_member(*document, "stop_reason"));
    if (!completion.tool_calls.empty() && completion.tool_calls[0].name == kAnswerTool &&
        completion.content.empty()) {
      // What a schema was demanded for: the call is the answer.
      completion.content = std::move(completion.tool_calls[0].arguments);
      completion.tool_calls.clear();
      if (completion.finish == FinishReason::kToolCalls) completion.finish = FinishReason::kStop;
    }
    element usage;
    if ((*document)["usage"].get(usage) == SUCCESS) {
      // Tokens read from or written to the provider's cache are prompt tokens too.
      completion.usage = {.prompt_tokens = number_member(usage, "input_tokens") +
                                           number_member(usage, "cache_read_input_tokens") +
                                           number_member(usage, "cache_creation_input_tokens"),
                          .completion_tokens = number_member(usage, "output_tokens")};
    }
    return completion;
  }

 private:
  static void read_block(const element& block, Completion& completion) {
    const std::string_view type = string_member(block, "type");
    if (type == "text") {
      completion.content += string_member(block, "text");
    } else if (type == "thinking") {
      completion.reasoning += string_member(block, "thinking");
    } else if (type == "tool_use") {
      completion.tool_calls.push_back({.id = std::string(string_member(block, "id")),
                                       .name = std::string(string_member(block, "name")),
                                       .arguments = text_or_json(block, "input")});
    }
  }

  std::string model_;
  AnswerReader reader_;
};

}  // namespace

std::unique_ptr<ChatProtocol> make_anthropic_protocol(const ModelSpec& spec) {
  return std::make_unique<Anthropic>(spec);
}

}  // namespace understudy
