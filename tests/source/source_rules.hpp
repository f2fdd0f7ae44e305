#pragma once
// Rules about the source text that no compiler checks: line and file lengths, calls that have one
// home, the direction of includes, words and paths that must not be committed. Pure functions over
// texts, so that the test can plant a violation of each.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::source_rules {

struct File {
  std::string path;  ///< from the root of the repository, with /
  std::string text;
};

struct Violation {
  std::string path;
  std::size_t line = 0;  ///< from 1; 0: the file as a whole
  std::string what;
};

/// Module → modules that it may include, from the understudy_module(NAME DEPS …) lines.
using Modules = std::map<std::string, std::set<std::string>, std::less<>>;
[[nodiscard]] Modules parse_modules(std::string_view cmake_lists);

/// C++ with comments and the insides of literals replaced by spaces; lines stay where they are.
[[nodiscard]] std::string code_only(std::string_view cpp);

/// Every violation of every rule, in the order of the files.
[[nodiscard]] std::vector<Violation> check(const std::vector<File>& files, const Modules& modules);

}  // namespace understudy::source_rules
