#pragma once
// Text at our edges: UTF-8, names that nearly match, text that is safe to show in a terminal.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace understudy {

[[nodiscard]] bool is_valid_utf8(std::string_view text);
/// Every maximal invalid byte becomes U+FFFD.
[[nodiscard]] std::string replace_invalid_utf8(std::string_view text);
/// The longest prefix of at most `size_max` bytes that does not cut a code point.
[[nodiscard]] std::string_view utf8_prefix(std::string_view text, std::size_t size_max);
/// Code points; the text is valid UTF-8.
[[nodiscard]] std::size_t utf8_length(std::string_view text);

/// Control characters (C0, DEL, C1) and bidirectional overrides become U+FFFD, so that log text
/// can't drive a terminal. Newlines become spaces.
[[nodiscard]] std::string terminal_safe(std::string_view text);
/// & < > " ' as entities; safe in HTML text and quoted attributes.
[[nodiscard]] std::string html_escaped(std::string_view text);

/// The candidate with the smallest edit distance, when that is at most a third of the name's
/// length; otherwise empty.
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> candidates);
/// ` (did you mean "x"?)`, or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view name,
                                       std::span<const std::string> candidates);

/// 1234567 → "1,234,567".
[[nodiscard]] std::string with_commas(std::uint64_t value);
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace understudy
