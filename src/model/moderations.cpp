// Moderation endpoints in OpenAI's form, as a protocol like the others: the last message is what is
// moderated, and the answer's text is its scores: {"CATEGORY": 0 … 1, …}.
#include "base/json.hpp"
#include "model/answer_json.hpp"
#include "model/chat_protocol.hpp"

namespace understudy {
namespace {

class Moderations final : public ChatProtocol {
 public:
  explicit Moderations(const ModelSpec& spec) : model_(spec.name) {}

  [[nodiscard]] std::string path() const override { return "/moderations"; }

  [[nodiscard]] Result<std::string> request_body(const ChatRequest& request) override {
    std::string out = R"({"model":)";
    append_json_string(out, model_);
    out += R"(,"input":)";
    append_json_string(out, request.messages.back().content);
    return out + "}";
  }

  [[nodiscard]] DrawOutcome read_answer(std::string_view body) override {
    const auto document = reader_.parse(body);
    if (!document) return Failure{FailureReason::kNotJson, "the body is not JSON"};
    simdjson::dom::array results;
    if ((*document)["results"].get(results) != simdjson::SUCCESS || results.size() == 0) {
      if (holds_error(*document)) {
        return Failure{FailureReason::kErrorInBody, read_error_body(body).code};
      }
      return Failure{FailureReason::kUnexpectedBody, "no results"};
    }
    Completion completion;
    completion.content = text_or_json(*results.begin(), "category_scores");
    completion.finish = FinishReason::kStop;
    if (completion.content.empty()) {
      return Failure{FailureReason::kUnexpectedBody, "no category_scores"};
    }
    return completion;
  }

 private:
  std::string model_;
  AnswerReader reader_;
};

}  // namespace

std::unique_ptr<ChatProtocol> make_moderation_protocol(const ModelSpec& spec) {
  return std::make_unique<Moderations>(spec);
}

}  // namespace understudy
