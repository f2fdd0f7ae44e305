#include "csv_rows.hpp"

#include <fstream>
#include <iterator>

namespace understudy {

std::vector<CsvRow> csv_rows(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  std::vector<std::vector<std::string>> lines(1);
  std::string field;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',' || c == '\n') {
      lines.back().push_back(std::move(field));
      field.clear();
      if (c == '\n') lines.emplace_back();
    } else if (c != '\r') {
      field += c;
    }
  }
  if (!field.empty() || !lines.back().empty()) lines.back().push_back(std::move(field));
  std::vector<CsvRow> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].size() != lines[0].size()) continue;
    CsvRow row;
    for (std::size_t k = 0; k < lines[0].size(); ++k) row[lines[0][k]] = std::move(lines[i][k]);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace understudy
