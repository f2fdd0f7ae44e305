#pragma once
// What the user asked for, as far as it decides whose words an answer is: "pretend you are a
// nurse" makes the answer a character's, "rewrite this e-mail" makes it the user's.

#include <optional>
#include <span>
#include <string_view>

#include "records/conversation.hpp"

namespace understudy {

/// Each answer is worked out when it is first asked for: a prefix may be long.
class RequestContext {
 public:
  explicit RequestContext(std::span<const Message> prefix) : prefix_(prefix) {}

  /// Some message sets up a persona, a game or a story told in person.
  [[nodiscard]] bool role_play();
  /// The last request is for text that someone speaks or sends.
  [[nodiscard]] bool first_person();
  /// The last request is to translate, rewrite, complete or summarize text.
  [[nodiscard]] bool transform();
  /// The last request asks to say something many times.
  [[nodiscard]] bool repetition();
  /// The last request asks what the model thinks of something.
  [[nodiscard]] bool feedback();

 private:
  std::span<const Message> prefix_;
  std::optional<bool> role_play_;
  std::optional<bool> first_person_;
  std::optional<bool> transform_;
  std::optional<bool> repetition_;
  std::optional<bool> feedback_;
};

/// The text of the last user message; empty if there is none.
[[nodiscard]] std::string_view last_user_text(std::span<const Message> prefix);
/// The messages since the last user message (tool calls and results of this turn).
[[nodiscard]] std::span<const Message> current_turn(std::span<const Message> prefix);

/// Whether any message of the prefix holds `needle`, letters in either case.
[[nodiscard]] bool prefix_contains(std::span<const Message> prefix, std::string_view needle);

}  // namespace understudy
