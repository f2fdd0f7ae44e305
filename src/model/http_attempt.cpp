// What one HTTP answer means: every way a server can fail has a name here.

#include <fmt/format.h>

#include "model/http_model.hpp"

namespace understudy {
namespace {

AttemptReading failed(FailureReason reason, std::string detail, AttemptFailure failure,
                      bool server_ill = false) {
  return {
      .outcome = Failure{reason, std::move(detail)}, .failure = failure, .server_ill = server_ill};
}

AttemptReading read_transport_error(const HttpResult& result) {
  switch (result.error) {
    case TransportError::kTls:
      return failed(FailureReason::kTls, result.detail, AttemptFailure::kFinal);
    case TransportError::kTimeout:
      return failed(FailureReason::kTimeout, result.detail, AttemptFailure::kBroken, true);
    case TransportError::kBodyTooLarge:
      return failed(FailureReason::kBodyTooLarge, result.detail, AttemptFailure::kFinal);
    default:
      return failed(FailureReason::kConnection, result.detail, AttemptFailure::kBroken, true);
  }
}

AttemptReading read_bad_request(const HttpResult& result, const ErrorBody& error,
                                std::string detail) {
  if (error.context_overflow || result.status == 413) {
    return failed(FailureReason::kContextOverflow, std::move(detail), AttemptFailure::kFinal);
  }
  if (error.content_filter) {
    // The provider withheld the answer because of the prompt: that is an answer of this model.
    Completion withheld;
    withheld.finish = FinishReason::kContentFilter;
    return {.outcome = std::move(withheld)};
  }
  return failed(FailureReason::kBadRequest, std::move(detail), AttemptFailure::kFinal);
}

AttemptReading read_status(const HttpResult& result, std::string_view key) {
  const int status = result.status;
  if (status >= 300 && status < 400) {
    return failed(FailureReason::kRedirect, fmt::format("HTTP {}, not followed", status),
                  AttemptFailure::kFinal);
  }
  ErrorBody error = read_error_body(result.body);
  if (!key.empty() && error.code.find(key) != std::string::npos) error.code.clear();
  std::string detail = error.code.empty() ? fmt::format("HTTP {}", status)
                                          : fmt::format("HTTP {} {}", status, error.code);
  if (status == 429) {
    return failed(FailureReason::kRateLimited, std::move(detail),
                  error.quota ? AttemptFailure::kFinal : AttemptFailure::kRateLimited);
  }
  if (status == 401 || status == 403) {
    return failed(FailureReason::kUnauthorized, std::move(detail), AttemptFailure::kFinal);
  }
  if (status == 408 || status == 409 || status == 425 || status >= 500) {
    return failed(FailureReason::kServerError, std::move(detail), AttemptFailure::kOverloaded,
                  true);
  }
  return read_bad_request(result, error, std::move(detail));
}

}  // namespace

AttemptReading read_attempt(const HttpResult& result, ChatProtocol& protocol,
                            std::string_view key) {
  if (result.error != TransportError::kNone) return read_transport_error(result);
  if (result.status < 200 || result.status >= 300) return read_status(result, key);
  AttemptReading reading{.outcome = protocol.read_answer(result.body)};
  auto* const failure = std::get_if<Failure>(&reading.outcome);
  if (failure == nullptr) return reading;
  reading.failure = AttemptFailure::kBroken;
  if (!key.empty() && failure->detail.find(key) != std::string::npos) failure->detail.clear();
  if (failure->reason == FailureReason::kErrorInBody) {
    const ErrorBody error = read_error_body(result.body);
    if (error.context_overflow) {
      failure->reason = FailureReason::kContextOverflow;
      reading.failure = AttemptFailure::kFinal;
    } else if (error.status == 429 && !error.quota) {
      reading.failure = AttemptFailure::kRateLimited;
    } else if (error.quota || (error.status >= 400 && error.status < 500)) {
      reading.failure = AttemptFailure::kFinal;
    }
  }
  return reading;
}

}  // namespace understudy
