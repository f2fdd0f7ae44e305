#pragma once
// Text of logs inside a prompt: data to whoever reads it, never instructions.

#include <cstddef>
#include <string>
#include <string_view>

namespace understudy {

/// The text as lines that begin with "| ": whatever it holds, none of its lines can begin
/// otherwise. Hidden and reordering characters become U+FFFD, and markers of chat templates get a
/// space after their first character, so that a server that reads special tokens in text doesn't
/// find any.
[[nodiscard]] std::string fenced_lines(std::string_view text);

/// The head and the tail of a text that is too long, and how much is left out between.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t size_max);

}  // namespace understudy
