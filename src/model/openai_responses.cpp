// OpenAI's Responses: the wire words live here only.

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

Json input_items(const std::vector<Message>& messages) {
  Json items = Json::array();
  CallIds ids;
  for (const Message& message : messages) {
    if (message.role == Role::kTool) {
      items.push_back({{"type", "function_call_output"},
                       {"call_id", ids.of_result(message)},
                       {"output", message.content}});
      continue;
    }
    if (!message.content.empty() || message.tool_calls.empty()) {
      items.push_back({{"role", role_name(message.role)}, {"content", message.content}});
    }
    for (const ToolCall& call : message.tool_calls) {
      items.push_back({{"type", "function_call"},
                       {"call_id", ids.of_call(call)},
                       {"name", call.name},
                       {"arguments", call.arguments}});
    }
  }
  return items;
}

class OpenAiResponses final : public ChatProtocol {
 public:
  explicit OpenAiResponses(const ModelSpec& spec) : model_(spec.name) {}

  [[nodiscard]] std::string path() const override { return "/responses"; }

  [[nodiscard]] Result<std::string> request_body(const ChatRequest& request) override {
    Json body = {{"model", model_}, {"input", input_items(request.messages)}, {"store", false}};
    const SamplingOptions& sampling = request.sampling;
    if (sampling.temperature) body["temperature"] = *sampling.temperature;
    if (sampling.top_p) body["top_p"] = *sampling.top_p;
    if (sampling.max_tokens) body["max_output_tokens"] = *sampling.max_tokens;
    if (!request.tools.empty()) {
      UNDERSTUDY_TRY(const ShapedTools shaped,
                     tools_in_shape(request.tools, ToolShape::kOpenAiResponses));
      UNDERSTUDY_TRY(body["tools"], parse_json(shaped.tools));
      if (!shaped.choice.empty()) {
        UNDERSTUDY_TRY(body["tool_choice"], parse_json(shaped.choice));
      }
    }
    if (sampling.logprobs) body["include"] = {"message.output_text.logprobs"};
    if (!request.json_schema.empty()) {
      UNDERSTUDY_TRY(Json schema, parse_json(request.json_schema));
      body["text"]["format"] = {{"type", "json_schema"},
                                {"name", "answer"},
                                {"strict", true},
                                {"schema", std::move(schema)}};
    }
    return write_json(body, JsonStyle::kCanonical);
  }

  [[nodiscard]] DrawOutcome read_answer(std::string_view body) override {
    const std::optional<element> document = reader_.parse(body);
    if (!document) return Failure{FailureReason::kNotJson, "the body is not JSON"};
    if (!document->is_object()) return Failure{FailureReason::kUnexpectedBody, "not an object"};
    const std::string_view status = string_member(*document, "status");
    if (holds_error(*document) || status == "failed" || status == "cancelled") {
      return Failure{FailureReason::kErrorInBody, read_error_body(body).code};
    }
    simdjson::dom::array output;
    if ((*document)["output"].get(output) != SUCCESS) {
      return Failure{FailureReason::kUnexpectedBody, "no output"};
    }
    Completion completion;
    for (const element item : output) read_item(item, completion);
    completion.finish = finish_of(*document, status, completion);
    element usage;
    if ((*document)["usage"].get(usage) == SUCCESS) {
      completion.usage = {.prompt_tokens = number_member(usage, "input_tokens"),
                          .completion_tokens = number_member(usage, "output_tokens")};
    }
    return completion;
  }

 private:
  static FinishReason finish_of(const element& document, std::string_view status,
                                const Completion& completion) {
    element details;
    if (status == "incomplete" && document["incomplete_details"].get(details) == SUCCESS) {
      const std::string_view reason = string_member(details, "reason");
      if (reason == "max_output_tokens") return FinishReason::kLength;
      if (reason == "content_filter") return FinishReason::kContentFilter;
    }
    if (status != "completed") return FinishReason::kUnknown;
    return completion.tool_calls.empty() ? FinishReason::kStop : FinishReason::kToolCalls;
  }

  static void read_item(const element& item, Completion& completion) {
    const std::string_view type = string_member(item, "type");
    if (type == "function_call") {
      completion.tool_calls.push_back({.id = std::string(string_member(item, "call_id")),
                                       .name = std::string(string_member(item, "name")),
                                       .arguments = text_or_json(item, "arguments")});
      return;
    }
    simdjson::dom::array parts;
    if (type == "reasoning") {
      for (const char* key : {"summary", "content"}) {
        if (item[key].get(parts) != SUCCESS) continue;
        for (const element part : parts) completion.reasoning += string_member(part, "text");
      }
      return;
    }
    if (type == "message" && item["content"].get(parts) == SUCCESS) {
      for (const element part : parts) {
        completion.content += string_member(part, "text");
        completion.content += string_member(part, "refusal");
        read_logprobs(part, "logprobs", completion.logprobs);
      }
    }
  }

  std::string model_;
  AnswerReader reader_;
};

}  // namespace

std::unique_ptr<ChatProtocol> make_openai_responses_protocol(const ModelSpec& spec) {
  return std::make_unique<OpenAiResponses>(spec);
}

}  // namespace understudy
