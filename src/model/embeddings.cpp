// Embedding endpoints in OpenAI's form, as a protocol like the others: the last message is what is
// embedded, and the answer's text is its vector: [0.1, …], to be read by whoever asked.
#include "model/answer_json.hpp"
#include "model/input_protocol.hpp"

namespace understudy {
namespace {

class Embeddings final : public InputProtocol {
 public:
  explicit Embeddings(const ModelSpec& spec) : InputProtocol("/embeddings", spec) {}

  [[nodiscard]] DrawOutcome read_answer(std::string_view body) override {
    Completion completion;
    completion.finish = FinishReason::kStop;
    const auto document = reader_.parse(body);
    if (!document) {
      // JSON has no NaN, but servers write it: an answer, which asking again would only repeat.
      for (const char* const word : {"NaN", "Infinity"}) {
        if (body.find(word) == std::string_view::npos) continue;
        completion.content = word;
        return completion;
      }
      return Failure{FailureReason::kNotJson, "the body is not JSON"};
    }
    simdjson::dom::array data;
    if ((*document)["data"].get(data) != simdjson::SUCCESS || data.size() != 1) {
      if (holds_error(*document)) {
        return Failure{FailureReason::kErrorInBody, read_error_body(body).code};
      }
      return Failure{FailureReason::kUnexpectedBody, "not one embedding"};
    }
    completion.content = text_or_json(*data.begin(), "embedding");
    if (completion.content.empty()) {
      return Failure{FailureReason::kUnexpectedBody, "no embedding"};
    }
    simdjson::dom::element usage;
    if ((*document)["usage"].get(usage) == simdjson::SUCCESS) {
      completion.usage.prompt_tokens = number_member(usage, "prompt_tokens");
    }
    return completion;
  }

 private:
  AnswerReader reader_;
};

}  // namespace

std::unique_ptr<ChatProtocol> make_embedding_protocol(const ModelSpec& spec) {
  return std::make_unique<Embeddings>(spec);
}

}  // namespace understudy
