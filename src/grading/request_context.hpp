#pragma once
// What the user asked for, as far as it decides whose words an answer is: "pretend you are a
// nurse" makes the answer a character's, "rewrite this e-mail" makes it the user's.

#include <span>
#include <string_view>

#include "records/conversation.hpp"

namespace understudy {

struct RequestContext {
  bool role_play = false;     ///< some message sets up a persona, a game or a story told in person
  bool first_person = false;  ///< the last request is for text that someone speaks or sends
  bool transform =
      false;  ///< the last request is to translate, rewrite, complete or summarize text
  bool repetition = false;  ///< the last request asks to say something many times
  bool feedback = false;    ///< the last request asks what the model thinks of something
};

[[nodiscard]] RequestContext request_context(std::span<const Message> prefix);

/// The text of the last user message; empty if there is none.
[[nodiscard]] std::string_view last_user_text(std::span<const Message> prefix);
/// The messages since the last user message (tool calls and results of this turn).
[[nodiscard]] std::span<const Message> current_turn(std::span<const Message> prefix);

/// Whether any message of the prefix holds `needle`, letters in either case.
[[nodiscard]] bool prefix_contains(std::span<const Message> prefix, std::string_view needle);

}  // namespace understudy
