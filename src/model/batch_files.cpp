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

Failure no_answer(std::string_view code) {
  const bool late = code == "batch_expired" || code == "expired";
  code = safe_word(code);
  return {late ? FailureReason::kTimeout : FailureReason::kServerError,
          std::string(code.empty() ? "no response" : code)};
}

// A request that never got an answer: the batch ended before its turn, or the provider gave up.
void read_without_response(const element& document, BatchAnswer& answer) {
  element error;
  std::string_view code;
  if (document["error"].get(error) == SUCCESS) code = string_member(error, "code");
  answer.outcome = no_answer(code);
  answer.ask_again = true;
}

void take_attempt(const HttpResult& result, ChatProtocol& protocol, BatchAnswer& answer) {
  AttemptReading reading = read_attempt(result, protocol, {});
  answer.outcome = std::move(reading.outcome);
  answer.ask_again =
      std::holds_alternative<Failure>(answer.outcome) && reading.failure != AttemptFailure::kFinal;
}

void read_response(const element& response, ChatProtocol& protocol, BatchAnswer& answer) {
  HttpResult result;
  result.status = static_cast<int>(number_member(response, "status_code"));
  result.body = text_or_json(response, "body");
  take_attempt(result, protocol, answer);
}

// Anthropic's: "succeeded" holds the message, "errored" the body of an error without its status.
void read_result(const element& result, ChatProtocol& protocol, BatchAnswer& answer) {
  const std::string_view type = string_member(result, "type");
  HttpResult http;
  if (type == "succeeded") {
    http.status = 200;
    http.body = text_or_json(result, "message");
  } else if (type == "errored") {
    http.body = text_or_json(result, "error");
    const std::string code = read_error_body(http.body).code;
    http.status = code == "invalid_request_error" || code == "not_found_error"   ? 400
                  : code == "authentication_error" || code == "permission_error" ? 401
                  : code == "request_too_large"                                  ? 413
                                                                                 : 500;
  } else {
    answer.outcome = no_answer(type);
    answer.ask_again = true;
    return;
  }
  take_attempt(http, protocol, answer);
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

BatchForm batch_form(const ModelSpec& spec) {
  return spec.kind == ModelKind::kAnthropic ? BatchForm::kAnthropic : BatchForm::kOpenAi;
}

Result<std::string> batch_line(std::string_view custom_id, const ChatRequest& request,
                               ChatProtocol& protocol, BatchForm form) {
  UNDERSTUDY_TRY(const std::string body, protocol.request_body(request));
  std::string line = R"({"custom_id":)";
  append_json_string(line, custom_id);
  if (form == BatchForm::kAnthropic) return line + R"(,"params":)" + body + "}\n";
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
  element part;
  if ((*document)["response"].get(part) == SUCCESS && part.is_object()) {
    read_response(part, protocol, answer);
  } else if ((*document)["result"].get(part) == SUCCESS && part.is_object()) {
    read_result(part, protocol, answer);
  } else {
    read_without_response(*document, answer);
  }
  return answer;
}

std::string custom_id_of(const CustomId& id) {
  return fmt::format("{}-{}-{}", id.tag, id.prefix_identity, id.draw_index);
}

Result<CustomId> read_custom_id(std::string_view custom_id) {
  CustomId id;
  const std::size_t first = custom_id.find('-');
  const std::size_t second = custom_id.find('-', first + 1);
  if (first == 8 && second != std::string_view::npos) {
    id.tag = custom_id.substr(0, first);
    const bool read =
        read_number(custom_id.substr(first + 1, second - first - 1), id.prefix_identity) &&
        read_number(custom_id.substr(second + 1), id.draw_index);
    if (read && custom_id_of(id) == custom_id) return id;
  }
  return unexpected(ErrorCode::kInput, "a \"custom_id\" that this program did not write");
}

}  // namespace understudy
