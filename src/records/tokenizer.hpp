#pragma once
// Tokenizer: counts tokens as a model does. Where the model's own is not to be had, sampling/ has
// an estimate that says so in its identity.

#include <cstddef>
#include <string>
#include <string_view>

#include "records/conversation.hpp"

namespace understudy {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Tokens that a message adds to a prompt, template markers included.
  [[nodiscard]] virtual std::size_t message_tokens(const Message& message) const = 0;
  /// Tokens that every prompt has besides its messages (the header of the answer).
  [[nodiscard]] virtual std::size_t prompt_overhead_tokens() const = 0;
  /// The longest prefix of `text` that has at most `tokens_max` tokens, on a code point boundary.
  [[nodiscard]] virtual std::string_view first_tokens(std::string_view text,
                                                      std::size_t tokens_max) const = 0;
  /// Name and version, for the manifest: the same name gives the same counts.
  [[nodiscard]] virtual std::string identity() const = 0;
};

}  // namespace understudy
