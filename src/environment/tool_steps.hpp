#pragma once
// The tool events of a logged conversation: which result answers which call, and what is wrong with
// them. Nothing here is dropped from the conversation; a fault says what can't be learned from it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "records/conversation.hpp"

namespace understudy {

/// What logs get wrong about tools. The names are for reports.
enum class ToolFault : std::uint8_t {
  kResultWithoutCall,  ///< names a call that is not there or is answered already: left out
  kCallWithoutResult,  ///< kept as a step without a result
  kDuplicateCallId,    ///< an id that an earlier call has: paired in order
  kArgumentsNotJson,   ///< not a JSON object: compared as text
};
inline constexpr std::size_t kToolFaultCount = 4;
/// "result_without_call", …
[[nodiscard]] std::string_view tool_fault_name(ToolFault fault);

struct ToolStep {
  ToolCall call{};
  std::optional<std::string> result{};
  std::size_t call_message = 0;    ///< index of the assistant message
  std::size_t result_message = 0;  ///< index of the result, where there is one
};

struct ToolSteps {
  std::vector<ToolStep> steps;  ///< in the order of the calls
  std::array<std::uint64_t, kToolFaultCount> faults{};

  [[nodiscard]] std::uint64_t count(ToolFault fault) const {
    return faults[static_cast<std::size_t>(fault)];
  }
};

/// A result answers the oldest open call of its id; one without an id, the oldest open call (of its
/// tool's name, where it has one). Parallel calls may be answered in any order.
[[nodiscard]] ToolSteps tool_steps_of(const std::vector<Message>& messages);

}  // namespace understudy
