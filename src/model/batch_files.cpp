#include "model/batch_files.hpp"

#include <fmt/format.h>

#include <charconv>

#include "base/json.hpp"
#include "model/answer_json.hpp"
#include "model/http_model.hpp"

namespace understudy {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

// A request that never got an answer: the batch ended before its turn, or the provider gave up.
Failure without_response(const element& document) {
  element error;
  std::string_view code;
  if (document["error"].get(error) == SUCCESS) code = safe_word(string_member(error, "code"));
  const FailureReason reason =
      code == "batch_expired" ? FailureReason::kTimeout : FailureReason::kServerError;
  return {reason, std::string(code.empty() ? "no response" : code)};
}

}  // namespace

Result<std::size_t> BatchSplitter::file_of(std::size_t line_bytes) {
  if (line_bytes > limits_.bytes_max) {
    return unexpected(ErrorCode::kInput,
                      fmt::format("a request of {} bytes is more than a batch file may hold ({})",
                                  line_bytes, limits_.bytes_max));
  }
  if (requests_ + 1 > limits_.requests_max || bytes_ + line_bytes > limits_.bytes_max) {
    ++file_;
    requests_ = 0;
    bytes_ = 0;
  }
  ++requests_;
  bytes_ += line_bytes;
  return file_;
}

Result<std::string> batch_line(std::string_view custom_id, const ChatRequest& request,
                               ChatProtocol& protocol) {
  UNDERSTUDY_TRY(const std::string body, protocol.request_body(request));
  std::string line = R"({"custom_id":)";
  append_json_string(line, custom_id);
  return line +
         fmt::format(R"(,"method":"POST","url":"/v1{}","body":{}}})", protocol.path(), body) + "\n";
}

Result<BatchAnswer> read_batch_line(std::string_view line, ChatProtocol& protocol) {
  AnswerReader reader;
  const std::optional<element> document = reader.parse(line);
  if (!document || !document->is_object()) {
    return unexpected(ErrorCode::kInput, "not a line of a batch file: no JSON object");
  }
  BatchAnswer answer;
  answer.custom_id = string_member(*document, "custom_id");
  if (answer.custom_id.empty()) {
    return unexpected(ErrorCode::kInput, "not a line of a batch file: no \"custom_id\"");
  }
  element response;
  if ((*document)["response"].get(response) != SUCCESS || !response.is_object()) {
    answer.outcome = without_response(*document);
    return answer;
  }
  HttpResult result;
  result.status = static_cast<int>(number_member(response, "status_code"));
  result.body = text_or_json(response, "body");
  answer.outcome = read_attempt(result, protocol, {}).outcome;
  return answer;
}

std::string custom_id_of(std::uint64_t prefix_identity, std::uint32_t draw_index) {
  return fmt::format("{}-{}", prefix_identity, draw_index);
}

Result<CustomId> read_custom_id(std::string_view custom_id) {
  CustomId id;
  const std::size_t dash = custom_id.find('-');
  if (dash == std::string_view::npos ||
      !read_number(custom_id.substr(0, dash), id.prefix_identity) ||
      !read_number(custom_id.substr(dash + 1), id.draw_index) ||
      custom_id_of(id.prefix_identity, id.draw_index) != custom_id) {
    return unexpected(ErrorCode::kInput, "a \"custom_id\" that this program did not write");
  }
  return id;
}

}  // namespace understudy
