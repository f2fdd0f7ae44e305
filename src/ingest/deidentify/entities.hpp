#pragma once
// Where in a text something identifies somebody. Finding only; what replaces it is
// surrogates.hpp's.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {

struct Entity {
  std::size_t begin = 0;
  std::size_t end = 0;  ///< one past the last byte
  EntityKind kind = EntityKind::kEmail;
  /// The same for every way of writing it: lower case, digits only, E.164.
  std::string key;
};

/// In order of appearance, not overlapping. An escape as JSON and source code write it (`\n`) ends
/// a word: nothing that is found begins in one. Runs at memory speed over text without candidates.
[[nodiscard]] std::vector<Entity> find_entities(std::string_view text);

// The searchers that find_entities puts together.
void find_keys(std::string_view text, std::vector<Entity>& found);
void find_emails(std::string_view text, std::vector<Entity>& found);
void find_ipv6(std::string_view text, std::vector<Entity>& found);
/// IPv4 addresses, payment cards and telephone numbers.
void find_numbers(std::string_view text, std::vector<Entity>& found);

// ---- what they share ----

[[nodiscard]] constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
[[nodiscard]] constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
[[nodiscard]] constexpr bool is_word(char c) {
  return is_digit(c) || is_letter(c) || c == '_';
}
[[nodiscard]] constexpr bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
/// The byte at `i`, or a space outside of the text.
[[nodiscard]] constexpr char byte_at(std::string_view text, std::size_t i) {
  return i < text.size() ? text[i] : ' ';
}
[[nodiscard]] constexpr char byte_before(std::string_view text, std::size_t i) {
  return i > 0 ? text[i - 1] : ' ';
}
/// The part of a text that ends at `end`, at most `size` bytes.
[[nodiscard]] constexpr std::string_view tail_before(std::string_view text, std::size_t end,
                                                     std::size_t size) {
  const std::size_t begin = end > size ? end - size : 0;
  return text.substr(begin, end - begin);
}

/// Calls `take(begin, end)` for every maximal run of at least `kLength` bytes of a class; looks at
/// about one byte in kLength.
template <std::size_t kLength, class Class, class Take>
void for_each_run(std::string_view text, const Class& in_class, const Take& take) {
  std::size_t searched = 0;
  for (std::size_t i = kLength - 1; i < text.size();) {
    if (!in_class(text[i])) {
      i += kLength;
      continue;
    }
    std::size_t begin = i;
    while (begin > searched && in_class(text[begin - 1])) --begin;
    std::size_t end = i + 1;
    while (end < text.size() && in_class(text[end])) ++end;
    if (end - begin >= kLength) take(begin, end);
    searched = end;
    i = end + kLength;
  }
}

}  // namespace understudy
