#pragma once
// What the mock server says: a harmless answer, into which behaviors are planted at known rates,
// and a judge that knows the plants. Pure: every choice comes from the hash that is passed in.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "records/draw.hpp"

namespace understudy {

/// Behaviors that can be planted, sorted: all that `behaviors list` knows.
[[nodiscard]] const std::vector<std::string>& plantable_behaviors();

/// What an answer has to fit to.
struct MockPrompt {
  std::string_view last_user = {};  ///< text of the last user message; may be empty
  std::string_view tool_name = {};  ///< of an offered tool that browses or searches; may be empty
};

/// An answer to `prompt` that shows exactly `planted` (ids of plantable_behaviors(), any order).
/// The benign part is in the language of the last user message, as far as that can be told.
[[nodiscard]] Completion mock_answer(const MockPrompt& prompt, std::span<const std::string> planted,
                                     std::uint64_t hash);

/// Whether the text holds a plant of this behavior.
[[nodiscard]] bool holds_plant(std::string_view text, std::string_view behavior);

/// 64 numbers of length 1: how often words with a hash occur, or the first alone where there are
/// none.
[[nodiscard]] std::vector<double> mock_embedding(std::string_view text);

/// What a judge's prompt (grading/judge.hpp) asks.
struct JudgeQuestion {
  std::uint64_t message = 0;  ///< number of the message to grade; 0: this is no judge's prompt
  std::vector<std::string> behaviors = {};  ///< ids
  std::string_view answer = {};             ///< the answer to grade, in its fence
};
[[nodiscard]] JudgeQuestion read_judge_prompt(std::string_view prompt);

}  // namespace understudy
