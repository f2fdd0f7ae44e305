#pragma once
// The only way that text gets into the HTML report.

#include <string>
#include <string_view>
#include <vector>

#include "report/html.hpp"

namespace understudy {

/// One line of text: invalid UTF-8, control characters and bidirectional overrides become U+FFFD,
/// newlines become spaces, and & < > " ' become entities. Safe between tags and in quoted
/// attributes.
[[nodiscard]] std::string html_line(std::string_view text);

/// The same, with line breaks kept as newlines (shown by `white-space: pre-wrap`).
[[nodiscard]] std::string html_lines(std::string_view text);

/// Lines with the evidence inside <mark>…</mark>; ranges are cut to the text, moved outward to
/// whole code points and merged.
[[nodiscard]] std::string html_marked(std::string_view text, std::vector<TextRange> evidence);

/// A name that may be broken after `_` and `/`.
[[nodiscard]] std::string html_name(std::string_view text);

/// For id attributes and fragments: letters, digits and `-` only.
[[nodiscard]] std::string html_id(std::string_view text);

}  // namespace understudy
