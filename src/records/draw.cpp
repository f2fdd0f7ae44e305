#include "records/draw.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/hash.hpp"
#include "records/codec.hpp"

namespace understudy {

std::string_view arm_name(Arm arm) {
  // Beyond kArmCount: what the engine keeps apart from every estimate.
  static constexpr std::array<std::string_view, kArmCount + 3> kNames = {
      "candidate",  "deployed", "deployed_replay", "production",
      "known_case", "repeated", "benchmark"};
  return kNames[static_cast<std::size_t>(arm)];
}

std::string_view failure_name(FailureReason reason) {
  static constexpr std::array<std::string_view, kFailureReasonCount> kNames = {
      "rate_limited", "server_error",    "timeout",          "connection",     "tls",
      "not_json",     "unexpected_body", "error_in_body",    "body_too_large", "redirect",
      "unauthorized", "bad_request",     "context_overflow", "not_recorded",   "egress_denied",
      "model_error"};
  return kNames[static_cast<std::size_t>(reason)];
}

namespace {
constexpr std::uint8_t kCompletionTag = 1;
constexpr std::uint8_t kFailureTag = 2;

std::uint64_t thousandths(double logprob) {
  return static_cast<std::uint64_t>(std::llround(std::clamp(-logprob, 0.0, 1000.0) * 1000));
}
}  // namespace

double rounded_logprob(double logprob) {
  return thousandths(logprob) == 0 ? 0 : -static_cast<double>(thousandths(logprob)) / 1000;
}

std::string encode_outcome(const DrawOutcome& outcome) {
  Encoder out;
  if (const auto* failure = std::get_if<Failure>(&outcome)) {
    out.byte(kFailureTag).byte(static_cast<std::uint8_t>(failure->reason)).text(failure->detail);
    return std::move(out).bytes();
  }
  const auto& completion = std::get<Completion>(outcome);
  out.byte(kCompletionTag).byte(static_cast<std::uint8_t>(completion.finish));
  out.number(completion.usage.prompt_tokens).number(completion.usage.completion_tokens);
  out.text(completion.content).text(completion.reasoning).number(completion.tool_calls.size());
  for (const ToolCall& call : completion.tool_calls) {
    out.text(call.id).text(call.name).text(call.arguments);
  }
  if (!completion.logprobs.empty()) {
    out.number(completion.logprobs.size());
    for (const double logprob : completion.logprobs) out.number(thousandths(logprob));
  }
  return std::move(out).bytes();
}

Result<DrawOutcome> decode_outcome(std::string_view bytes) {
  Decoder in(bytes);
  DrawOutcome outcome;
  const std::uint8_t tag = in.byte();
  if (tag == kFailureTag) {
    Failure failure;
    failure.reason = static_cast<FailureReason>(in.byte() % kFailureReasonCount);
    failure.detail = in.text();
    outcome = std::move(failure);
  } else {
    Completion completion;
    completion.finish = static_cast<FinishReason>(in.byte());
    completion.usage.prompt_tokens = in.number();
    completion.usage.completion_tokens = in.number();
    completion.content = in.text();
    completion.reasoning = in.text();
    completion.tool_calls = in.tool_calls();
    if (in.ok() && !in.at_end()) {
      const std::uint64_t count = in.count();
      for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
        completion.logprobs.push_back(rounded_logprob(-static_cast<double>(in.number()) / 1000));
      }
    }
    outcome = std::move(completion);
  }
  if (!in.ok() || !in.at_end() || (tag != kCompletionTag && tag != kFailureTag)) {
    return unexpected(ErrorCode::kInfrastructure, "a stored draw is damaged");
  }
  return outcome;
}

std::uint64_t draw_seed(std::string_view run_seed, std::string_view stage, Arm arm,
                        std::uint64_t prefix_identity, std::uint32_t index) {
  return first64(Sha256()
                     .field(run_seed)
                     .field(stage)
                     .field(arm_name(arm))
                     .number(prefix_identity)
                     .number(index)
                     .finish());
}

}  // namespace understudy
