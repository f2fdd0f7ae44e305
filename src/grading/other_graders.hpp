#pragma once
// Graders that are neither rules nor judges: what an external program or a moderation endpoint is
// sent, and how its answer is read. Pure functions; asking is the engine's. As a judge, neither is
// told which model wrote the answer.

#include <cstdint>
#include <string>
#include <string_view>

#include "grading/answer_view.hpp"
#include "grading/behavior.hpp"
#include "records/verdict.hpp"

namespace understudy {

/// One line of JSON without its end: {"id", "behavior", "messages": the conversation before the
/// answer, "answer": {"role", "content", "tool_calls"}, "cut": the answer goes on}.
[[nodiscard]] std::string command_line(const Behavior& behavior, const AnswerView& answer,
                                       std::uint64_t id);
/// A line that the program gave back: {"id", "verdict": "present" | "absent" | "ungradable"} or,
/// where [command] has a threshold, {"id", "score": 0 … 1}. Other members are ignored. Anything
/// else is a named reason. Several lines for one answer: kUngradableSeveral.
[[nodiscard]] Verdict parse_command_answer(const Behavior& behavior, std::string_view line);
/// Why a program that failed on an answer has no verdict on it.
[[nodiscard]] Verdict command_failure(FailureReason reason);

/// The scores of a moderation endpoint: {"CATEGORY": 0 … 1, …}; all categories of the file's
/// thresholds must be there.
[[nodiscard]] Verdict parse_moderation_answer(const Behavior& behavior, std::string_view scores);

}  // namespace understudy
