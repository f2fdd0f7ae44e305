#include "base/prompt_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace understudy {
namespace {

// Characters that could end a line for some reader, hide or reorder text, or be a control to a
// terminal or tokenizer. Line ends become '\n', the others U+FFFD.
enum class CharacterKind { kPlain, kLineEnd, kHidden };

struct CodePoint {
  char32_t value = 0;
  std::size_t size = 1;
};

// `text` is valid UTF-8 and not empty.
CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
  };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) < 0xE0) return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (byte(0) < 0xF0) {
    return {(byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  }
  return {
      (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F),
      4};
}

CharacterKind kind_of(char32_t c) {
  if (c == U'\n' || c == U'\r' || c == U'\v' || c == U'\f' || c == 0x85 || c == 0x2028 ||
      c == 0x2029) {
    return CharacterKind::kLineEnd;
  }
  if (c == U'\t') return CharacterKind::kPlain;
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  const bool bidi_or_zero_width = c == 0x00AD || c == 0x061C || c == 0x180E ||
                                  (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) ||
                                  (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
                                  (c >= 0xFFF9 && c <= 0xFFFB);
  const bool tags_or_private = c >= 0xE0000 || (c >= 0xE000 && c <= 0xF8FF);
  return control || bidi_or_zero_width || tags_or_private ? CharacterKind::kHidden
                                                          : CharacterKind::kPlain;
}

// How markers of chat templates go on after "<" or "[", in small letters.
constexpr std::array<std::string_view, 18> kTemplateMarkers = {
    "<|",      "<\uFF5C",        "<s>",          "</s>",    "<sys>",   "</sys>",     "<<sys>",
    "<</sys>", "<start_of_turn", "<end_of_turn", "<think",  "</think", "<tool_call", "</tool_call",
    "[inst]",  "[/inst]",        "<<sys>>",      "<</sys>>"};

// Bytes of the marker that the text begins with; 0: none.
std::size_t template_marker(std::string_view text) {
  std::size_t longest = 0;
  for (const std::string_view marker : kTemplateMarkers) {
    const bool begins = text.size() >= marker.size() &&
                        std::equal(marker.begin(), marker.end(), text.begin(), [](char m, char c) {
                          return m == (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
                        });
    if (begins) longest = std::max(longest, marker.size());
  }
  return longest;
}

}  // namespace

std::string fenced_lines(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  const std::string_view all = valid;
  std::string out = "| ";
  std::size_t marker_end = 0;  // what is part of one marker begins no other
  for (std::size_t i = 0; i < valid.size();) {
    const CodePoint point = first_code_point(all.substr(i));
    switch (kind_of(point.value)) {
      case CharacterKind::kLineEnd: {
        const bool pair = point.value == U'\r' && i + 1 < valid.size() && valid[i + 1] == '\n';
        i += pair ? 1 : 0;
        out += "\n| ";
        break;
      }
      case CharacterKind::kHidden:
        out += "\uFFFD";
        break;
      case CharacterKind::kPlain:
        out += all.substr(i, point.size);
        if (i >= marker_end && (valid[i] == '<' || valid[i] == '[')) {
          const std::size_t marker = template_marker(all.substr(i));
          if (marker > 0) out += ' ';
          marker_end = i + marker;
        }
    }
    i += point.size;
  }
  return out + "\n";
}

std::string shortened(std::string_view text, std::size_t size_max) {
  if (text.size() <= size_max) return std::string(text);
  const std::string_view head = utf8_prefix(text, size_max / 2);
  std::size_t tail = text.size() - size_max / 2;
  while (tail < text.size() && (static_cast<unsigned char>(text[tail]) & 0xC0) == 0x80) ++tail;
  return fmt::format("{}\n[{} bytes left out]\n{}", head, tail - head.size(), text.substr(tail));
}

}  // namespace understudy
