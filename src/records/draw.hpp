#pragma once
// A draw: one independent continuation of a prefix, and how it ended. A failure is a typed outcome
// that reaches the estimator, never a missing row.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "records/conversation.hpp"

namespace understudy {

/// Whose answers: the candidate on the deployed model's prefixes (X→Y), the deployed model's logged
/// answers, the deployed model replayed (Y→Y), the candidate's own traffic after launch.
enum class Arm : std::uint8_t {
  kCandidate = 0,
  kDeployed = 1,
  kDeployedReplay = 2,
  kProduction = 3
};
inline constexpr std::size_t kArmCount = 4;
[[nodiscard]] std::string_view arm_name(Arm arm);

enum class FinishReason : std::uint8_t {
  kStop = 0,           ///< the model ended its answer
  kLength = 1,         ///< cut at max_tokens
  kToolCalls = 2,      ///< the model wants tool results
  kContentFilter = 3,  ///< the provider cut or withheld it
  kUnknown = 4,        ///< the provider gave no reason
};

struct Usage {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  bool operator==(const Usage&) const = default;
};

struct Completion {
  std::string content;  ///< valid UTF-8
  std::string reasoning;
  std::vector<ToolCall> tool_calls;
  FinishReason finish = FinishReason::kUnknown;
  Usage usage;  ///< zeros where the provider does not say
  /// Natural logarithms, one for each token of the content, in thousandths; empty where they were
  /// not asked for or not offered.
  std::vector<double> logprobs = {};
  bool operator==(const Completion&) const = default;
};

/// Why a draw has no completion. The names are part of the report (`failed{reason}`).
enum class FailureReason : std::uint8_t {
  kRateLimited = 0,     ///< 429 until the deadline
  kServerError = 1,     ///< 5xx until retries were used up
  kTimeout = 2,         ///< no answer before the deadline
  kConnection = 3,      ///< refused, reset, name not found
  kTls = 4,             ///< certificate or handshake
  kNotJson = 5,         ///< the body is not JSON (HTML, empty, half a document)
  kUnexpectedBody = 6,  ///< JSON without the expected members
  kErrorInBody = 7,     ///< 200 with an error inside
  kBodyTooLarge = 8,
  kRedirect = 9,          ///< never followed: the key would go to another host
  kUnauthorized = 10,     ///< 401, 403
  kBadRequest = 11,       ///< other 4xx
  kContextOverflow = 12,  ///< the prefix does not fit the model
  kNotRecorded = 13,      ///< a recorded model has no answer for this prefix and draw
  kEgressDenied = 14,     ///< the host is not on the egress list
  kModelError = 15,       ///< the embedded engine failed
};
inline constexpr std::uint8_t kFailureReasonCount = 16;
[[nodiscard]] std::string_view failure_name(FailureReason reason);

struct Failure {
  FailureReason reason = FailureReason::kConnection;
  std::string detail;  ///< HTTP status, library error: no conversation text, no keys
  bool operator==(const Failure&) const = default;
};

using DrawOutcome = std::variant<Completion, Failure>;

/// To the thousandth that a record keeps, within [-1000, 0]: some servers send -9999 for "never".
[[nodiscard]] double rounded_logprob(double logprob);

[[nodiscard]] std::string encode_outcome(const DrawOutcome& outcome);
[[nodiscard]] Result<DrawOutcome> decode_outcome(std::string_view bytes);

/// Seed of a draw: the same whatever order draws finish in.
[[nodiscard]] std::uint64_t draw_seed(std::string_view run_seed, std::string_view stage, Arm arm,
                                      std::uint64_t prefix_identity, std::uint32_t index);

}  // namespace understudy
