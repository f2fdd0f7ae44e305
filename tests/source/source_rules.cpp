#include "source_rules.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <optional>

#include "base/text.hpp"

namespace understudy::source_rules {
namespace {

constexpr std::size_t kColumnsMax = 100;
// The limits that we write by are 600 lines a file and 70 a function. These are where it stops
// being a matter of taste.
constexpr std::size_t kFileLinesMax = 700;
constexpr std::size_t kFunctionLinesMax = 90;

/// A place where a banned call is at home, and why. A path that ends in / is a folder, one that
/// begins with _ is how the names of such files end.
struct Home {
  const char* path;
  const char* reason;
};

struct Banned {
  const char* pattern;  ///< RE2, over code without comments and literals
  const char* instead;
  std::vector<Home> homes;
};

const std::vector<Banned>& banned_calls() {
  static const std::vector<Banned> kBanned = {
      {R"(\b(secure_)?getenv\b)",
       "the environment is read in one place; pass the value in",
       {{"src/cli/", "keys, base URLs and the cache folder come from the environment"},
        {"src/grading/rule_golden_test.cpp", "UNDERSTUDY_UPDATE rewrites expected files"},
        {"tests/", "UNDERSTUDY_UPDATE rewrites expected files"}}},
      {R"(\b(system|steady|high_resolution)_clock\s*::\s*now\b|\b(clock_gettime|gettimeofday)\b)",
       "time is passed in (base/clock.hpp), so that a simulated one can stand in for it",
       {{"src/base/clock.cpp", "the clock that all others stand in for"},
        {"src/testing/", "the mock server's real latency"},
        {"tests/", "drives real processes and measures them"},
        {"bench/", "measures"}}},
      {R"(\b(sleep_for|sleep_until|usleep|nanosleep)\b|\bsleep\s*\()",
       "nothing sleeps: wait for an event with a timeout",
       {{"src/base/clock.cpp", "the clock that all others stand in for"},
        {"src/testing/", "the mock server's latency"},
        {"tests/", "kills real processes at random moments"}}},
      {R"(\bstd::rand\b|\bsrand\s*\(|\b(random_device|mt19937)\b|\bstd::\w+_distribution\b)"
       R"(|#\s*include\s*<random>)",
       "the sequences of <random> differ by library: use base/rng.hpp",
       {}},
      {R"(\bcatch\s*\(\s*\.\.\.\s*\)\s*\{\s*\})", "an exception that nobody hears of", {}},
      {R"(\b(quiet_NaN|signaling_NaN|NAN)\b|\bstd::nan\s*\()",
       "missing is a value: std::optional or a typed reason, never NaN",
       {}},
      {R"(\b(std::)?(stod|stof|stold|strtod|strtof|strtold|atof|setlocale)\s*\()",
       "depends on the locale: use std::from_chars",
       {{"_test.cpp", "reads what the test itself has written, in the locale that it runs in"}}},
      {R"(\busing\s+namespace\s+std\b)", "name what is used", {}},
  };
  return kBanned;
}

/// Over the whole text of every file, comments included.
const std::vector<Banned>& banned_words() {
  static const std::vector<Banned> kBanned = {
      {R"(\b(TODO|FIXME|XXX)\b)",
       "unfinished work is an issue, not a comment",
       {{"tests/source/", "names what it forbids"}}},
      {R"((^|[^\w.~$})>-])/(work|root|home|Users)/)",
       "a path of one machine",
       {{"tests/source/", "plants one"}}},
      {R"((?i)\b(pypi\.org|pythonhosted\.org|deb\.debian\.org|registry\.npmjs\.org|crates\.io)\b)",
       "downloads go through the system's package clients, which know their registries",
       {{"tests/source/", "names what it forbids"}}},
  };
  return kBanned;
}

bool is_home(std::string_view path, const std::vector<Home>& homes) {
  return std::any_of(homes.begin(), homes.end(), [&](const Home& home) {
    const std::string_view at = home.path;
    if (at.starts_with('_')) return path.ends_with(at);
    return at.ends_with('/') ? path.starts_with(at) : path == at;
  });
}

bool is_cpp(std::string_view path) {
  return path.ends_with(".cpp") || path.ends_with(".hpp");
}
bool is_test(std::string_view path) {
  return path.starts_with("tests/") || path.ends_with("_test.cpp");
}
/// Where a line is as long as it has to be: prose, data, and what a program has written.
bool has_free_lines(std::string_view path) {
  return path.ends_with(".md") || path.ends_with(".json") || path.ends_with(".toml") ||
         path.ends_with(".css") || path.ends_with(".js") || path.ends_with(".html") ||
         path.starts_with("tests/cases/");
}

std::size_t line_of(std::string_view text, std::size_t offset) {
  return 1 + static_cast<std::size_t>(std::count(
                 text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

bool is_raw_literal(std::string_view cpp, std::size_t i) {
  return cpp[i] == '"' && i > 0 && cpp[i - 1] == 'R';
}

/// The end of the literal whose opening quote is at `i`: one past its closing quote.
std::size_t literal_end(std::string_view cpp, std::size_t i) {
  if (is_raw_literal(cpp, i)) {
    const std::size_t open = cpp.find('(', i);
    if (open == std::string_view::npos) return cpp.size();
    const std::string close = ")" + std::string(cpp.substr(i + 1, open - i - 1)) + "\"";
    const std::size_t end = cpp.find(close, open);
    return end == std::string_view::npos ? cpp.size() : end + close.size();
  }
  const char quote = cpp[i];
  for (++i; i < cpp.size() && cpp[i] != quote && cpp[i] != '\n'; ++i) {
    if (cpp[i] == '\\') ++i;
  }
  return std::min(i + 1, cpp.size());
}

/// Calls f(from, to, is_raw) for comments and for what stands between the quotes of literals.
template <class F>
void for_each_silent(std::string_view cpp, F f) {
  const auto is_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  std::size_t i = 0;
  while (i < cpp.size()) {
    if (cpp.substr(i, 2) == "//") {
      const std::size_t end = std::min(cpp.find('\n', i), cpp.size());
      f(i, end, false);
      i = end;
    } else if (cpp.substr(i, 2) == "/*") {
      const std::size_t close = cpp.find("*/", i + 2);
      const std::size_t end = close == std::string_view::npos ? cpp.size() : close + 2;
      f(i, end, false);
      i = end;
    } else if (cpp[i] == '"' || (cpp[i] == '\'' && (i == 0 || !is_word(cpp[i - 1])))) {
      const std::size_t end = literal_end(cpp, i);
      f(i + 1, end - 1, is_raw_literal(cpp, i));
      i = end;
    } else {
      ++i;  // a ' after a word character separates digits
    }
  }
}

void check_banned(const File& file, std::string_view text, const std::vector<Banned>& rules,
                  std::vector<Violation>& found) {
  for (const Banned& rule : rules) {
    if (is_home(file.path, rule.homes)) continue;
    RE2::Options options;
    options.set_never_nl(false);
    options.set_log_errors(true);
    const RE2 pattern(std::string("(?m)(") + rule.pattern + ")", options);
    re2::StringPiece rest(text.data(), text.size());
    re2::StringPiece hit;
    while (RE2::FindAndConsume(&rest, pattern, &hit)) {
      const auto offset = static_cast<std::size_t>(hit.data() - text.data());
      found.push_back(
          {file.path, line_of(text, offset),
           "\"" + std::string(trimmed({hit.data(), hit.size()})) + "\": " + rule.instead});
    }
  }
}

void check_lengths(const File& file, std::vector<Violation>& found) {
  const std::vector<std::string_view> lines = split(file.text, '\n');
  if (!has_free_lines(file.path)) {
    // A pattern in a raw literal is as long as it is.
    std::set<std::size_t> raw_lines;
    if (is_cpp(file.path)) {
      for_each_silent(file.text, [&](std::size_t from, std::size_t to, bool is_raw) {
        if (!is_raw) return;
        const std::size_t last = line_of(file.text, to);
        for (std::size_t line = line_of(file.text, from); line <= last; ++line) {
          raw_lines.insert(line);
        }
      });
    }
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::size_t columns = utf8_length(lines[i]);
      // A pinned digest cannot be broken.
      if (columns <= kColumnsMax || raw_lines.contains(i + 1)) continue;
      if (lines[i].find("sha256:") != std::string_view::npos) continue;
      found.push_back(
          {file.path, i + 1,
           std::to_string(columns) + " columns; the limit is " + std::to_string(kColumnsMax)});
    }
  }
  if (is_cpp(file.path) && lines.size() > kFileLinesMax) {
    found.push_back(
        {file.path, 0,
         std::to_string(lines.size()) + " lines: split it by what it does (600 is long)"});
  }
}

/// Code is formatted: what begins in column 0 and is closed by a lone } in column 0 is a function
/// (types end in "};", namespaces in a comment).
void check_function_lengths(const File& file, std::string_view code,
                            std::vector<Violation>& found) {
  if (is_test(file.path)) return;
  const std::vector<std::string_view> lines = split(code, '\n');
  std::optional<std::size_t> start;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    if (line.empty() || line.front() == ' ' || line.front() == '#') continue;
    if (line.front() != '}') {
      start = i;
      continue;
    }
    if (trimmed(line) == "}" && start && i - *start + 1 > kFunctionLinesMax) {
      found.push_back({file.path, *start + 1,
                       "a function of " + std::to_string(i - *start + 1) +
                           " lines: give its parts names (70 is long)"});
    }
    start.reset();
  }
}

void check_includes(const File& file, const Modules& modules, std::vector<Violation>& found) {
  if (!file.path.starts_with("src/")) return;
  const std::vector<std::string_view> parts = split(file.path, '/');
  const auto own = modules.find(parts[1]);
  if (own == modules.end()) return;  // src/cli stands above all modules
  static const RE2 kInclude(R"((?m)^\s*#\s*include\s*"([^"/]*)(/?)[^"]*")");
  re2::StringPiece rest(file.text);
  re2::StringPiece module;
  std::string slash;
  while (RE2::FindAndConsume(&rest, kInclude, &module, &slash)) {
    const auto offset = static_cast<std::size_t>(module.data() - file.text.data());
    const std::string name(module.data(), module.size());
    if (slash.empty()) {
      found.push_back({file.path, line_of(file.text, offset),
                       "includes are written from src/: \"" + own->first + "/" + name + "\""});
    } else if (name != own->first && !own->second.contains(name)) {
      found.push_back({file.path, line_of(file.text, offset),
                       "module " + own->first + " does not list " + name +
                           " among its DEPS in CMakeLists.txt"});
    }
  }
}

void check_path(const File& file, std::vector<Violation>& found) {
  static const std::set<std::string_view> kNoNames = {"utils",   "util",    "common", "helper",
                                                      "helpers", "manager", "misc"};
  for (std::string_view part : split(file.path, '/')) {
    const std::string_view stem = part.substr(0, part.find('.'));
    if (kNoNames.contains(stem)) {
      found.push_back({file.path, 0, "\"" + std::string(stem) + "\" says nothing: find the noun"});
    }
  }
  if (file.path.ends_with(".hpp") && !file.text.starts_with("#pragma once\n")) {
    found.push_back({file.path, 1, "a header begins with #pragma once"});
  }
}

}  // namespace

Modules parse_modules(std::string_view cmake_lists) {
  Modules modules;
  static const RE2 kModule(R"(understudy_module\((\w+)\s+DEPS\s+([^)]*)\))");
  re2::StringPiece rest(cmake_lists.data(), cmake_lists.size());
  std::string name;
  std::string dependencies;
  while (RE2::FindAndConsume(&rest, kModule, &name, &dependencies)) {
    std::replace(dependencies.begin(), dependencies.end(), '\n', ' ');
    std::set<std::string>& list = modules[name];
    for (std::string_view one : split(dependencies, ' ')) {
      if (!one.empty()) list.emplace(one);
    }
  }
  return modules;
}

std::string code_only(std::string_view cpp) {
  std::string code(cpp);
  for_each_silent(cpp, [&](std::size_t from, std::size_t to, bool) {
    for (std::size_t i = from; i < std::min(to, code.size()); ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
  });
  return code;
}

std::vector<Violation> check(const std::vector<File>& files, const Modules& modules) {
  std::vector<Violation> found;
  for (const File& file : files) {
    check_path(file, found);
    check_lengths(file, found);
    check_banned(file, file.text, banned_words(), found);
    if (!is_cpp(file.path)) continue;
    const std::string code = code_only(file.text);
    check_banned(file, code, banned_calls(), found);
    check_function_lengths(file, code, found);
    check_includes(file, modules, found);
  }
  return found;
}

}  // namespace understudy::source_rules
