#pragma once
// ChatProtocol: how one provider's API writes a chat request and reads its answer. Pure functions
// on text; sending is http_model's. An answer that is not what the protocol promises is a typed
// failure. No text of an answer or of an error message gets into a failure's detail: servers quote
// prompts and keys in them.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/chat_model.hpp"
#include "model/model_spec.hpp"

namespace understudy {

class ChatProtocol {
 public:
  virtual ~ChatProtocol() = default;
  /// Appended to the base URL: "/chat/completions".
  [[nodiscard]] virtual std::string path() const = 0;
  /// Header lines, the key included where there is one: as a bearer token, unless overridden.
  [[nodiscard]] virtual std::vector<std::string> headers(const std::string& key) const {
    std::vector<std::string> lines = {"Content-Type: application/json"};
    if (!key.empty()) lines.push_back("Authorization: Bearer " + key);
    return lines;
  }
  /// Fails with kInput when the request can't be written for this API (tools that are not JSON).
  [[nodiscard]] virtual Result<std::string> request_body(const ChatRequest& request) = 0;
  /// The body of a 200. Failures: kNotJson, kUnexpectedBody, kErrorInBody.
  [[nodiscard]] virtual DrawOutcome read_answer(std::string_view body) = 0;
};

/// For providers that speak OpenAI's chat completions; `spec.provider` decides on dialect: only
/// OpenAI itself knows the role "developer" and "max_completion_tokens".
[[nodiscard]] std::unique_ptr<ChatProtocol> make_openai_chat_protocol(const ModelSpec& spec);

/// Anthropic's Messages. It has no seed; a JSON schema is demanded as the input of a tool that must
/// be called; system messages, wherever they stand, become the one system prompt.
[[nodiscard]] std::unique_ptr<ChatProtocol> make_anthropic_protocol(const ModelSpec& spec);

/// OpenAI's Responses. It has no seed; nothing is stored at the provider.
[[nodiscard]] std::unique_ptr<ChatProtocol> make_openai_responses_protocol(const ModelSpec& spec);

/// OpenAI's moderations, for providers that have the endpoint.
[[nodiscard]] std::unique_ptr<ChatProtocol> make_moderation_protocol(const ModelSpec& spec);

/// OpenAI's embeddings, for providers that have the endpoint. The answer's text is a JSON array of
/// numbers, or whatever the server put in its place.
[[nodiscard]] std::unique_ptr<ChatProtocol> make_embedding_protocol(const ModelSpec& spec);

/// The protocol of a spec's kind, which is one behind HTTP.
[[nodiscard]] std::unique_ptr<ChatProtocol> make_chat_protocol(const ModelSpec& spec);

/// What the body of an error says, in any of the shapes that servers use.
struct ErrorBody {
  bool is_json = false;
  std::string code;  ///< "rate_limit_exceeded", an error's code or else type; checked by safe_word
  bool context_overflow = false;
  bool quota = false;           ///< money or quota is used up: waiting does not help
  bool content_filter = false;  ///< the prompt was withheld by a filter
  int status = 0;               ///< an HTTP status inside the body, as gateways write; 0: none
};
[[nodiscard]] ErrorBody read_error_body(std::string_view body);

/// The word if it can't be a key or a text: at most 64 letters, digits, "_", "-" and "."; else
/// empty.
[[nodiscard]] std::string_view safe_word(std::string_view word);

/// Escapes of lone surrogates ("\ud800") become "�": JSON readers refuse them, and one broken
/// emoji must not cost an answer.
[[nodiscard]] std::string replace_lone_surrogates(std::string_view json);

}  // namespace understudy
