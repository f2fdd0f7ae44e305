// OpenAI's chat completions, which most servers speak: the wire words live here only.

#include <fmt/format.h>

#include <algorithm>

#include "base/json.hpp"
#include "model/answer_json.hpp"
#include "model/call_ids.hpp"
#include "model/chat_protocol.hpp"
#include "model/tool_schemas.hpp"

namespace understudy {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;

FinishReason finish_of(std::string_view name) {
  if (name == "stop") return FinishReason::kStop;
  if (name == "length") return FinishReason::kLength;
  if (name == "tool_calls" || name == "function_call") return FinishReason::kToolCalls;
  if (name == "content_filter") return FinishReason::kContentFilter;
  return FinishReason::kUnknown;
}

// A content that is a string, null, or an array of parts; parts that think are reasoning.
void read_content(const element& message, Completion& completion) {
  element content;
  if (message["content"].get(content) != SUCCESS) return;
  std::string_view text;
  if (content.get(text) == SUCCESS) completion.content = text;
  simdjson::dom::array parts;
  if (content.get(parts) != SUCCESS) return;
  for (const element part : parts) {
    completion.content += string_member(part, "text");
    completion.reasoning += string_member(part, "thinking");
    simdjson::dom::array thoughts;
    if (part["thinking"].get(thoughts) != SUCCESS) continue;
    for (const element thought : thoughts) completion.reasoning += string_member(thought, "text");
  }
}

ToolCall read_call(const element& call, const element& function) {
  return {.id = std::string(string_member(call, "id")),
          .name = std::string(string_member(function, "name")),
          .arguments = text_or_json(function, "arguments")};
}

class MessageWriter {
 public:
  MessageWriter(std::string& out, bool is_openai) : out_(out), is_openai_(is_openai) {}

  void write(const Message& message) {
    member("role", role_of(message));
    if (message.content.empty() && !message.tool_calls.empty()) {
      out_ += R"(,"content":null)";
    } else {
      out_ += ',';
      member("content", message.content);
    }
    if (!message.tool_calls.empty()) write_calls(message.tool_calls);
    if (message.role == Role::kTool) {
      out_ += ',';
      member("tool_call_id", ids_.of_result(message));
    } else if (is_participant_name(message.name)) {
      out_ += ',';
      member("name", message.name);
    }
  }

 private:
  [[nodiscard]] std::string_view role_of(const Message& message) const {
    // Only OpenAI's own models know it; elsewhere it is what it replaced.
    if (message.role == Role::kDeveloper && !is_openai_) return role_name(Role::kSystem);
    return role_name(message.role);
  }

  static bool is_participant_name(std::string_view name) {
    return !name.empty() && !safe_word(name).empty() && name.find('.') == std::string_view::npos;
  }

  void member(std::string_view key, std::string_view value) {
    fmt::format_to(std::back_inserter(out_), "\"{}\":", key);
    append_json_string(out_, value);
  }

  void write_calls(const std::vector<ToolCall>& calls) {
    out_ += R"(,"tool_calls":[)";
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const ToolCall& call = calls[i];
      out_ += i == 0 ? "{" : ",{";
      member("id", ids_.of_call(call));
      out_ += R"(,"type":"function","function":{)";
      member("name", call.name);
      out_ += ',';
      member("arguments", call.arguments);
      out_ += "}}";
    }
    out_ += ']';
  }

  std::string& out_;
  bool is_openai_;
  CallIds ids_;
};

class OpenAiChat final : public ChatProtocol {
 public:
  explicit OpenAiChat(const ModelSpec& spec)
      : is_openai_(spec.provider == "openai"), model_(spec.name) {}

  [[nodiscard]] std::string path() const override { return "/chat/completions"; }

  [[nodiscard]] Result<std::string> request_body(const ChatRequest& request) override {
    std::string out = R"({"model":)";
    append_json_string(out, model_);
    out += R"(,"messages":[)";
    MessageWriter writer(out, is_openai_);
    for (std::size_t i = 0; i < request.messages.size(); ++i) {
      out += i == 0 ? "{" : ",{";
      writer.write(request.messages[i]);
      out += '}';
    }
    out += ']';
    const auto into = std::back_inserter(out);
    if (!request.tools.empty()) {
      UNDERSTUDY_CHECK(use_tools(request.tools));
      fmt::format_to(into, R"(,"tools":{})", tools_written_.tools);
      if (!tools_written_.choice.empty()) {
        fmt::format_to(into, R"(,"tool_choice":{})", tools_written_.choice);
      }
    }
    const SamplingOptions& sampling = request.sampling;
    if (sampling.temperature) fmt::format_to(into, R"(,"temperature":{})", *sampling.temperature);
    if (sampling.top_p) fmt::format_to(into, R"(,"top_p":{})", *sampling.top_p);
    if (sampling.max_tokens) {
      fmt::format_to(into, R"(,"{}":{})", is_openai_ ? "max_completion_tokens" : "max_tokens",
                     *sampling.max_tokens);
    }
    if (sampling.logprobs) out += R"(,"logprobs":true)";
    if (!request.json_schema.empty()) {
      fmt::format_to(into,
                     R"(,"response_format":{{"type":"json_schema","json_schema":)"
                     R"({{"name":"answer","strict":true,"schema":{}}}}})",
                     request.json_schema);
    }
    // 53 bits: beyond that, servers that read numbers as doubles would round it.
    fmt::format_to(into, R"(,"seed":{}}})", request.seed >> 11);
    return out;
  }

  [[nodiscard]] DrawOutcome read_answer(std::string_view body) override {
    const std::optional<element> document = reader_.parse(body);
    if (!document) return Failure{FailureReason::kNotJson, "the body is not JSON"};
    if (!document->is_object()) return unexpected_body("not an object");
    simdjson::dom::array choices;
    if ((*document)["choices"].get(choices) != SUCCESS || choices.size() == 0) {
      if (holds_error(*document)) {
        return Failure{FailureReason::kErrorInBody, read_error_body(body).code};
      }
      return unexpected_body("no choices");
    }
    const element choice = *choices.begin();
    element message;
    if (choice["message"].get(message) != SUCCESS || !message.is_object()) {
      return unexpected_body("no message");
    }
    return read_message(*document, choice, message);
  }

 private:
  static Failure unexpected_body(std::string_view what) {
    return {FailureReason::kUnexpectedBody, std::string(what)};
  }

  static DrawOutcome read_message(const element& document, const element& choice,
                                  const element& message) {
    Completion completion;
    read_content(message, completion);
    if (completion.content.empty()) {
      // With a JSON schema OpenAI puts a refusal beside the content.
      completion.content = string_member(message, "refusal");
    }
    for (const char* key : {"reasoning_content", "reasoning"}) {
      if (completion.reasoning.empty()) completion.reasoning = string_member(message, key);
    }
    simdjson::dom::array calls;
    if (message["tool_calls"].get(calls) == SUCCESS) {
      for (const element call : calls) {
        element function;
        if (call["function"].get(function) != SUCCESS) return unexpected_body("a tool call");
        completion.tool_calls.push_back(read_call(call, function));
      }
    }
    element function_call;
    if (message["function_call"].get(function_call) == SUCCESS && function_call.is_object()) {
      completion.tool_calls.push_back(read_call(message, function_call));
      completion.tool_calls.back().id.clear();
    }
    element content;
    const bool has_content = message["content"].get(content) == SUCCESS;
    if (!has_content && completion.tool_calls.empty() && completion.content.empty()) {
      return unexpected_body("a message without content");
    }
    completion.finish = finish_of(string_member(choice, "finish_reason"));
    element logprobs;
    if (choice["logprobs"].get(logprobs) == SUCCESS) {
      read_logprobs(logprobs, "content", completion.logprobs);
    }
    element usage;
    if (document["usage"].get(usage) == SUCCESS) {
      completion.usage.prompt_tokens = number_member(usage, "prompt_tokens");
      completion.usage.completion_tokens = number_member(usage, "completion_tokens");
    }
    return completion;
  }

  // Requests of one conversation, and mostly of one study, have the same tools.
  Result<void> use_tools(const std::string& tools) {
    if (tools == tools_read_) return {};
    UNDERSTUDY_TRY(tools_written_, tools_in_shape(tools, ToolShape::kOpenAiChat));
    tools_read_ = tools;
    return {};
  }

  bool is_openai_;
  std::string model_;
  std::string tools_read_;
  ShapedTools tools_written_;
  AnswerReader reader_;
};

}  // namespace

std::unique_ptr<ChatProtocol> make_openai_chat_protocol(const ModelSpec& spec) {
  return std::make_unique<OpenAiChat>(spec);
}

}  // namespace understudy
