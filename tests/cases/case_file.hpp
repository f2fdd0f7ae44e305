#pragma once
// A case file: what it shows (lines that begin with #), options (`key value`), then sections that
// begin with `---- name`.
//
// In a section `{{hex 00 0d}}` stands for bytes, `{{repeat 100 x}}` for a text repeated, and
// `{{cut}}` at the end of the last line for its missing newline.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace understudy::cases {

struct CaseFile {
  std::string path;
  std::string head;  ///< everything before the first section, as it stands
  std::vector<std::pair<std::string, std::string>> options;  ///< in order; a key may come again
  std::map<std::string, std::string> sections;               ///< as they stand
};

[[nodiscard]] CaseFile read_case(const std::string& path);
/// The bytes that a section stands for.
[[nodiscard]] std::string expanded(std::string_view section);
/// Writes the case with this as its `expect` section.
void rewrite_expected(const CaseFile& file, const std::string& expected);
/// Every case in a folder, in order of name.
[[nodiscard]] std::vector<std::string> case_paths(const std::string& folder);
/// Whether expected results are to be rewritten.
[[nodiscard]] bool updating();

}  // namespace understudy::cases
