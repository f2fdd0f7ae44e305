// Moderation endpoints in OpenAI's form, as a protocol like the others: the last message is what is
// moderated, and the answer's text is its scores: {"CATEGORY": 0 … 1, …}.
#include "model/answer_json.hpp"
#include "model/input_protocol.hpp"

namespace understudy {
namespace {

class Moderations final : public InputProtocol {
 public:
  explicit Moderations(const ModelSpec& spec) : InputProtocol("/moderations", spec) {}

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
  AnswerReader reader_;
};

}  // namespace

std::unique_ptr<ChatProtocol> make_moderation_protocol(const ModelSpec& spec) {
  return std::make_unique<Moderations>(spec);
}

}  // namespace understudy
