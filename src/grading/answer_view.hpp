#pragma once
// What a grader sees of an answer: the conversation before it and the answer, cut to the window
// that both arms are graded on. Never which model wrote it, nor which arm it belongs to.

#include <optional>
#include <span>
#include <string_view>

#include "records/conversation.hpp"
#include "records/draw.hpp"

namespace understudy {

struct AnswerView {
  std::span<const Message> prefix;       ///< ends with the user message or tool result answered
  std::string_view tools;                ///< JSON array of tool schemas; empty: none
  std::string_view content;              ///< the answer's text, within the window
  std::span<const ToolCall> tool_calls;  ///< the answer's tool calls
  FinishReason finish = FinishReason::kUnknown;
  bool cut_by_window =
      false;  ///< the text goes on beyond the window: its end is not the answer's end
  /// Where whole trajectories are graded: from this message of `prefix` on they are the model's own
  /// calls and their results, and part of what is graded. Those before are the context.
  std::optional<std::size_t> own_from = {};
  bool ended_early = false;  ///< it was stopped from outside: what is not seen is not absent
};

}  // namespace understudy
