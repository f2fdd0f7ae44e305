#include "report/html_text.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace understudy {
namespace {

// Whether a cut at this byte would be inside a code point.
bool is_inside_code_point(std::string_view text, std::size_t at) {
  return at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

}  // namespace

std::string html_line(std::string_view text) {
  return html_escaped(terminal_safe(text));
}

std::string html_lines(std::string_view text) {
  std::string out;
  for (std::string_view line : split(text, '\n')) {
    if (!out.empty() || line.data() != text.data()) out += '\n';
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    out += html_line(line);
  }
  return out;
}

std::string html_marked(std::string_view text, std::vector<TextRange> evidence) {
  for (TextRange& range : evidence) {
    range.end = std::min(range.end, text.size());
    range.begin = std::min(range.begin, range.end);
    while (is_inside_code_point(text, range.begin)) --range.begin;
    while (is_inside_code_point(text, range.end)) ++range.end;
  }
  std::sort(evidence.begin(), evidence.end(),
            [](const TextRange& a, const TextRange& b) { return a.begin < b.begin; });
  std::string out;
  std::size_t done = 0;
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    const std::size_t begin = std::max(evidence[i].begin, done);
    std::size_t end = evidence[i].end;
    while (i + 1 < evidence.size() && evidence[i + 1].begin <= end) {
      end = std::max(end, evidence[++i].end);
    }
    if (begin >= end) continue;
    out += html_lines(text.substr(done, begin - done));
    out += "<mark>" + html_lines(text.substr(begin, end - begin)) + "</mark>";
    done = end;
  }
  return out + html_lines(text.substr(done));
}

std::string html_name(std::string_view text) {
  std::string out;
  for (const char c : html_line(text)) {
    out += c;
    if (c == '_' || c == '/') out += "<wbr>";
  }
  return out;
}

std::string html_id(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += kept ? c : '-';
  }
  return out;
}

}  // namespace understudy
