#pragma once
// Endpoints in OpenAI's form that take one text as `input`: moderations, embeddings.

#include <string>
#include <utility>

#include "base/json.hpp"
#include "model/chat_protocol.hpp"

namespace understudy {

/// The text is the last message's.
class InputProtocol : public ChatProtocol {
 public:
  InputProtocol(std::string path, const ModelSpec& spec)
      : path_(std::move(path)), model_(spec.name) {}
  [[nodiscard]] std::string path() const override { return path_; }
  [[nodiscard]] Result<std::string> request_body(const ChatRequest& request) override {
    std::string out = R"({"model":)";
    append_json_string(out, model_);
    out += R"(,"input":)";
    append_json_string(out, request.messages.back().content);
    return out + "}";
  }

 private:
  std::string path_;
  std::string model_;
};

}  // namespace understudy
