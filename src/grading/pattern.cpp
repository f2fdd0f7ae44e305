#include "grading/pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace understudy {
namespace {

constexpr std::string_view kGap = " ... ";
constexpr int kNestedMax = 4;

bool is_word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// Expands the conveniences of the header. `depth` bounds lists that name each other.
Result<std::string> expand(std::string_view source, const PatternLists& lists,
                           const ErrorContext& where, int depth) {
  std::string out;
  for (std::size_t i = 0; i < source.size();) {
    const char c = source[i];
    if (c == '\\') {
      out += source.substr(i, 2);
      i += 2;
    } else if (c == '[') {
      std::size_t end = source.find(']', i + 2);
      end = end == std::string_view::npos ? source.size() - 1 : end;
      out += source.substr(i, end + 1 - i);
      i = end + 1;
    } else if (source.substr(i).starts_with(kGap)) {
      out += R"(\s(?:[^.!?\n]*\s)?)";
      i += kGap.size();
    } else if (c == ' ') {
      const bool optional = i + 1 < source.size() && (source[i + 1] == '?' || source[i + 1] == '*');
      out += optional ? R"(\s*)" : R"(\s+)";
      i += optional ? 2 : 1;
    } else if (c == '\'') {
      out += "(?:'|\u2019)";
      ++i;
    } else if (c == '{' && i + 1 < source.size() &&
               std::islower(static_cast<unsigned char>(source[i + 1])) != 0) {
      const std::size_t end = source.find('}', i);
      const std::string name(source.substr(i + 1, end - i - 1));
      const auto list = lists.find(name);
      if (end == std::string_view::npos || list == lists.end() || depth >= kNestedMax) {
        return unexpected(ErrorCode::kUsage,
                          fmt::format("a pattern names the list \"{}\", which the file's "
                                      "[rule.patterns] does not have",
                                      name),
                          where);
      }
      out += "(?:";
      for (std::size_t k = 0; k < list->second.size(); ++k) {
        UNDERSTUDY_TRY(const std::string part, expand(list->second[k], lists, where, depth + 1));
        out += (k == 0 ? "" : "|") + part;
      }
      out += ')';
      i = end + 1;
    } else {
      out += c;
      ++i;
    }
  }
  return out;
}

// The end of a quantifier that begins at `at`, or `at` where there is none.
std::size_t quantifier_end(std::string_view source, std::size_t at) {
  std::size_t end = at;
  const std::string_view rest = source.substr(std::min(at, source.size()));
  if (rest.starts_with('?') || rest.starts_with('*') || rest.starts_with('+')) {
    end = at + 1;
  } else if (rest.size() > 1 && rest[0] == '{' && rest[1] >= '0' && rest[1] <= '9') {
    end = std::min(source.find('}', at), source.size() - 1) + 1;
  }
  const bool lazy = end > at && end < source.size() && source[end] == '?';
  return end + (lazy ? 1 : 0);
}

// What every match holds: the pattern without its gaps and without its repeated or optional groups
// of any words. An automaton for such pieces is small, because it need not count words or remember
// all the sentence that a match began.
std::vector<std::string_view> pieces_of(std::string_view source) {
  std::vector<std::string_view> pieces;
  std::size_t piece = 0;  // where the one being read begins
  std::size_t group = 0;
  int depth = 0;
  const auto cut = [&](std::size_t end, std::size_t next) {
    pieces.push_back(source.substr(piece, end - piece));
    piece = next;
  };
  for (std::size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (c == '\\') {
      ++i;
    } else if (c == '[') {
      i = std::min(source.find(']', i + 2), source.size());
    } else if (c == '(') {
      // Flags such as "(?s)" hold for what follows: nothing may be taken from there.
      if (source.substr(i, 2) == "(?" && source.substr(i, 3) != "(?:") return {source};
      if (depth++ == 0) group = i;
    } else if (c == ')') {
      if (--depth > 0) continue;
      const std::string_view held = source.substr(group, i - group);
      const std::size_t next = quantifier_end(source, i + 1);
      if (next == i + 1 || held.find("\\w") == std::string_view::npos) continue;
      cut(group, next);
      i = next - 1;
    } else if (c == '|' && depth == 0) {
      return {source};
    } else if (depth == 0 && source.substr(i).starts_with(kGap)) {
      cut(i, i + kGap.size());
      i = piece - 1;
    }
  }
  cut(source.size(), source.size());
  return pieces;
}

// Bytes of the shortest text that an expanded pattern matches, from `i` to its end or to the
// parenthesis that closes it, where `i` then is.
std::size_t shortest_match(std::string_view regex, std::size_t& i) {
  std::size_t shortest = std::string_view::npos;
  std::size_t size = 0;
  while (i < regex.size() && regex[i] != ')') {
    std::size_t part = 1;
    const char c = regex[i++];
    if (c == '|') {
      shortest = std::min(shortest, size);
      size = 0;
      continue;
    }
    if (c == '(') {
      if (regex.substr(i).starts_with("?:")) i += 2;
      part = shortest_match(regex, i);
      ++i;
    } else if (c == '[') {
      i = std::min(regex.find(']', i + 1), regex.size() - 1) + 1;
    } else if (c == '\\') {
      ++i;
    }
    const std::size_t next = quantifier_end(regex, i);
    const std::string_view quantifier = regex.substr(std::min(i, regex.size()), next - i);
    const bool optional =
        quantifier.starts_with('?') || quantifier.starts_with('*') || quantifier.starts_with("{0");
    if (!optional) size += part;
    i = next;
  }
  return std::min(shortest, size);
}

bool begins_with_word(std::string_view source) {
  return is_word_char(source.front()) || source.front() == '{' || source.front() == '(';
}

bool ends_with_word(std::string_view source) {
  const char last = source.back();
  const bool escaped = source.size() >= 2 && source[source.size() - 2] == '\\';
  return !escaped && (is_word_char(last) || last == '}' || last == ')');
}

std::string with_word_boundaries(std::string_view expanded, bool begins, bool ends) {
  return fmt::format("{}(?:{}){}", begins ? "\\b" : "", expanded, ends ? "\\b" : "");
}

// The piece that says most is found least often where the pattern isn't.
Result<std::string> longest_piece(std::string_view body, const PatternLists& lists,
                                  const ErrorContext& where) {
  std::string longest;
  std::size_t longest_size = 0;
  for (const std::string_view piece : pieces_of(body)) {
    UNDERSTUDY_TRY(const std::string expanded, expand(piece, lists, where, 0));
    std::size_t end = 0;
    const std::size_t size = shortest_match(expanded, end);
    if (size <= longest_size) continue;
    const bool first = piece.data() == body.data();
    const bool last = piece.data() + piece.size() == body.data() + body.size();
    longest = with_word_boundaries(expanded, first && begins_with_word(body),
                                   last && ends_with_word(body));
    longest_size = size;
  }
  return longest;
}

}  // namespace

RE2::Options pattern_options() {
  RE2::Options options;
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_max_mem(64 << 20);
  return options;
}

Result<Pattern> compile_pattern(std::string_view source, const PatternLists& lists,
                                const ErrorContext& where) {
  Pattern pattern;
  pattern.source = source;
  std::string_view body = source;
  if (body.starts_with('^')) {
    pattern.at_start = true;
    body.remove_prefix(1);
  }
  if (body.empty()) return unexpected(ErrorCode::kUsage, "a pattern is empty", where);
  UNDERSTUDY_TRY(const std::string expanded, expand(body, lists, where, 0));
  pattern.regex = with_word_boundaries(expanded, begins_with_word(body), ends_with_word(body));
  auto compiled = std::make_shared<RE2>(pattern.regex, pattern_options());
  if (!compiled->ok()) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("the pattern \"{}\" is not valid: {}", source, compiled->error()),
                      where);
  }
  pattern.compiled = std::move(compiled);
  UNDERSTUDY_TRY(pattern.piece, longest_piece(body, lists, where));
  return pattern;
}

Result<std::vector<Pattern>> compile_patterns(const std::vector<std::string>& sources,
                                              const PatternLists& lists,
                                              const ErrorContext& where) {
  std::vector<Pattern> patterns;
  patterns.reserve(sources.size());
  for (const std::string& source : sources) {
    UNDERSTUDY_TRY(Pattern pattern, compile_pattern(source, lists, where));
    patterns.push_back(std::move(pattern));
  }
  return patterns;
}

bool matches_any(const std::vector<Pattern>& patterns, std::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const Pattern& pattern) {
    return pattern.compiled->Match(
        text, 0, text.size(), pattern.at_start ? RE2::ANCHOR_START : RE2::UNANCHORED, nullptr, 0);
  });
}

}  // namespace understudy
