#pragma once
// Patterns of behavior files. They are written as plain phrases: RE2 syntax (no look-around), with
// five conveniences that keep the files readable.
//   " "      any white space            "'"      straight or curly apostrophe
//   " ... "  words of the same sentence "{name}" one of the list called `name` of the same file
//   "^…"     only where a sentence begins
// Letters match in either case; a phrase whose first or last character is a letter, digit, brace or
// parenthesis matches whole words there.

#include <re2/re2.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace understudy {

using PatternLists = std::map<std::string, std::vector<std::string>>;

struct Pattern {
  std::string source;     ///< as in the file
  std::string regex;      ///< RE2 syntax, case-insensitive by option
  std::string piece;      ///< regex that every match holds, simple: what one pass looks for
  bool at_start = false;  ///< must begin where a sentence begins
  std::shared_ptr<const RE2> compiled;
};

/// `where` names file and line in the error.
[[nodiscard]] Result<Pattern> compile_pattern(std::string_view source, const PatternLists& lists,
                                              const ErrorContext& where);
[[nodiscard]] Result<std::vector<Pattern>> compile_patterns(const std::vector<std::string>& sources,
                                                            const PatternLists& lists,
                                                            const ErrorContext& where);
[[nodiscard]] RE2::Options pattern_options();

/// Whether any pattern is found in `text`. `at_start` is checked against the text's start.
[[nodiscard]] bool matches_any(const std::vector<Pattern>& patterns, std::string_view text);

}  // namespace understudy
