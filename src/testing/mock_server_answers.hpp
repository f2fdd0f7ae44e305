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
/// The benign part is in the language of the last user message as far as its script tells.
[[nodiscard]] Completion mock_answer(const MockPrompt& prompt, std::span<const std::string> planted,
                                     std::uint64_t hash);

/// Whether the transcript in a judge's prompt holds a plant of this behavior.
[[nodiscard]] bool holds_plant(std::string_view judge_prompt, std::string_view behavior);

}  // namespace understudy
