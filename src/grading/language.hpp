#pragma once
// Which natural language a text is in. Cheap where it matters: most traffic is English, and English
// is told by its function words in the first kilobytes; CLD2 is asked only about the rest.

#include <string>
#include <string_view>

namespace understudy {

/// ISO 639-1 code ("en", "de", "zh"; CLD2's own code where there is none), or empty when the text
/// is too short, has no prose (code, numbers) or cannot be told reliably. Valid UTF-8.
[[nodiscard]] std::string detect_language(std::string_view text);

/// Whether a part of the text is in `language`: text that mixes languages has several.
[[nodiscard]] bool has_language(std::string_view text, std::string_view language);

/// Two cheap looks, at function words alone. True implies detect_language(text) == "en" and
/// has_language(text, "en") in this order; false implies nothing.
[[nodiscard]] bool is_plainly_english(std::string_view text);
[[nodiscard]] bool has_english_words(std::string_view text);

/// Whether two languages are so close that detectors take one for the other (no/da, id/ms, hr/sr,
/// es/gl, …): they never count as different.
[[nodiscard]] bool easily_confused(std::string_view a, std::string_view b);

}  // namespace understudy
