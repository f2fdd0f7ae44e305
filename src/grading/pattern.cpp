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

// The pattern up to its first gap, where nothing but the whole pattern encloses it: cheaper to look
// for, because no automaton has to remember all the sentence that a match began.
std::string_view up_to_gap(std::string_view source) {
  int depth = 0;
  std::size_t gap = std::string_view::npos;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (c == '\\') {
      ++i;
    } else if (c == '[') {
      i = std::min(source.find(']', i + 2), source.size());
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      --depth;
    } else if (c == '|' && depth == 0) {
      return source;
    } else if (depth == 0 && gap == std::string_view::npos && source.substr(i).starts_with(kGap)) {
      gap = i;
    }
  }
  return source.substr(0, gap);
}

std::string with_word_boundaries(std::string_view source, std::string_view expanded) {
  const char first = source.front();
  const char last = source.back();
  const bool word_begins = is_word_char(first) || first == '{' || first == '(';
  const bool escaped = source.size() >= 2 && source[source.size() - 2] == '\\';
  const bool word_ends = !escaped && (is_word_char(last) || last == '}' || last == ')');
  return fmt::format("{}(?:{}){}", word_begins ? "\\b" : "", expanded, word_ends ? "\\b" : "");
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
  const std::string_view beginning = up_to_gap(body);
  UNDERSTUDY_TRY(const std::string expanded, expand(body, lists, where, 0));
  UNDERSTUDY_TRY(const std::string expanded_beginning, expand(beginning, lists, where, 0));
  pattern.regex = with_word_boundaries(body, expanded);
  pattern.beginning = with_word_boundaries(beginning, expanded_beginning);
  auto compiled = std::make_shared<RE2>(pattern.regex, pattern_options());
  if (!compiled->ok()) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("the pattern \"{}\" is not valid: {}", source, compiled->error()),
                      where);
  }
  pattern.compiled = std::move(compiled);
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
