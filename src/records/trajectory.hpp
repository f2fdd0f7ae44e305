#pragma once
// A trajectory: what a model did from a prefix on with its tools, until it answered without a call
// or was stopped. Its last answer is the draw's outcome; before it stand steps.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "records/conversation.hpp"
#include "records/draw.hpp"

namespace understudy {

/// How a tool call was answered.
struct ToolEvent {
  std::string level{};    ///< of the chain: "recorded", "keyed", …; "none": by nobody
  std::string trouble{};  ///< why by nobody: "no_source", "server_died", …
  std::string result{};
  bool repeated = false;             ///< asked before in this state: the answer given then
  std::uint32_t contradictions = 0;  ///< facts in it that contradict what was said before
  bool operator==(const ToolEvent&) const = default;
};

/// An answer that called tools, and what they gave.
struct TrajectoryStep {
  Completion answer{};
  std::vector<ToolEvent> events{};  ///< parallel to answer.tool_calls; fewer: not yet known
  std::uint32_t attempts = 1;       ///< requests sent for the answer
  bool operator==(const TrajectoryStep&) const = default;
};

/// Why a trajectory went no further. The names are part of the report (`ended{reason}`).
enum class Termination : std::uint8_t {
  kAnswered = 0,          ///< the model answered without a call
  kMaxSteps = 1,          ///< tools.max_steps; the logged answers are cut at as many
  kMaxTokens = 2,         ///< tools.max_tokens
  kMaxSeconds = 3,        ///< tools.max_seconds
  kMaxCost = 4,           ///< tools.max_cost
  kToolFailed = 5,        ///< no level of the chain could answer a call
  kUnknownTool = 6,       ///< a call of a tool that it was not offered, and nobody answered it
  kArgumentsNotJson = 7,  ///< a call whose arguments are no JSON object, and nobody answered it
  kContextOverflow = 8,   ///< the conversation no longer fits the model
};
inline constexpr std::uint8_t kTerminationCount = 9;
/// "answered", "max_steps", …, "tool_simulation_failed", "unknown_tool", …
[[nodiscard]] std::string_view termination_name(Termination termination);
/// Whether the model might have gone on, in a way that the deployed model's logs don't share: then
/// what was not seen is not absent.
[[nodiscard]] constexpr bool ended_early(Termination termination) {
  return termination > Termination::kMaxSteps;
}

/// What a draw is beside its last answer.
struct Trajectory {
  std::vector<TrajectoryStep> steps{};   ///< before the last answer
  std::vector<ToolEvent> last_events{};  ///< of calls of the last answer, where one went wrong
  Termination end = Termination::kAnswered;
  bool operator==(const Trajectory&) const = default;
};

/// The step as the messages that the model is shown next: its answer, and a result for each call.
void append_messages(const TrajectoryStep& step, std::vector<Message>& messages);

[[nodiscard]] std::string encode_step(const TrajectoryStep& step);
[[nodiscard]] Result<TrajectoryStep> decode_step(std::string_view bytes);
/// All but the steps, which are records of their own.
[[nodiscard]] std::string encode_end(const Trajectory& trajectory);
[[nodiscard]] Result<Trajectory> decode_end(std::string_view bytes);

}  // namespace understudy
