#include "case_file.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace understudy::cases {
namespace {

constexpr std::string_view kRuler = "---- ";

std::string directive(std::string_view text) {
  const std::size_t space = std::min(text.find(' '), text.size());
  const std::string_view name = text.substr(0, space);
  std::istringstream words{std::string(text.substr(space))};
  std::string out;
  if (name == "hex") {
    for (std::string word; words >> word;) {
      unsigned value = 0;
      std::from_chars(word.data(), word.data() + word.size(), value, 16);
      out += static_cast<char>(value);
    }
  } else if (name == "repeat") {
    std::size_t count = 0;
    std::string what;
    words >> count >> what;
    while (count-- > 0) out += what;
  }
  return out;
}

}  // namespace

CaseFile read_case(const std::string& path) {
  CaseFile file{.path = path, .head = {}, .options = {}, .sections = {}};
  std::ifstream in(path, std::ios::binary);
  std::string* section = nullptr;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(kRuler)) {
      section = &file.sections[line.substr(kRuler.size())];
    } else if (section != nullptr) {
      *section += line + "\n";
    } else {
      file.head += line + "\n";
      const std::size_t space = line.find(' ');
      if (line.starts_with('#') || space == std::string::npos) continue;
      file.options.emplace_back(line.substr(0, space), line.substr(space + 1));
    }
  }
  return file;
}

std::string expanded(std::string_view section) {
  constexpr std::string_view kCut = "{{cut}}\n";
  if (section.ends_with(kCut)) section.remove_suffix(kCut.size());
  std::string out;
  for (;;) {
    const std::size_t open = section.find("{{");
    out += section.substr(0, open);
    if (open == std::string_view::npos) return out;
    const std::size_t close = section.find("}}", open);
    out += directive(section.substr(open + 2, close - open - 2));
    section.remove_prefix(close + 2);
  }
}

void rewrite_expected(const CaseFile& file, const std::string& expected) {
  std::ofstream out(file.path, std::ios::binary);
  out << file.head << kRuler << "input\n" << file.sections.at("input") << kRuler << "expect\n";
  out << expected;
}

std::vector<std::string> case_paths(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".case") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool updating() {
  return std::getenv("UNDERSTUDY_UPDATE") != nullptr;
}

}  // namespace understudy::cases
