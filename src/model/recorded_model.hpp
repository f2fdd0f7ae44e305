#pragma once
// RecordedModel: answers from an earlier run, by prefix and draw, so that any run can be repeated
// without a server. What was not recorded is a typed failure, never another draw's answer.
//
// The file form is JSONL, one draw a line:
//   {"prefix":"<identity, decimal>","draw":0,"completion":{"content":"…","finish":"stop",
//    "reasoning":"…","tool_calls":[{"id","name","arguments"}],"logprobs":[-0.1],
//    "usage":{"prompt_tokens":1,"completion_tokens":2}}}
//   {"prefix":"…","draw":1,"failure":{"reason":"timeout","detail":"…"}}
// Unknown members and unknown names are errors with their line.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "model/chat_model.hpp"

namespace understudy {

/// Nothing when this answer (`step` of a trajectory, from 0) of this draw of this prefix is not
/// recorded. Fails only on infrastructure.
using RecordedLookup = std::function<std::optional<DrawOutcome>(
    std::uint64_t prefix_identity, std::uint32_t draw, std::uint32_t step)>;

[[nodiscard]] std::unique_ptr<ChatModel> make_recorded_model(std::string identity,
                                                             RecordedLookup lookup);

using RecordedDraws = std::map<std::pair<std::uint64_t, std::uint32_t>, DrawOutcome>;

/// Reads the file form. Fails with kInput on a line that is no such record, or on a second record
/// of a draw.
[[nodiscard]] Result<RecordedDraws> parse_recorded(std::string_view jsonl, std::string_view file);

/// One line of the file form, with its newline.
[[nodiscard]] std::string recorded_line(std::uint64_t prefix_identity, std::uint32_t draw,
                                        const DrawOutcome& outcome);

}  // namespace understudy
