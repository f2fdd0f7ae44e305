#include "grading/feature_tokens.hpp"

#include <algorithm>

namespace understudy {
namespace {

constexpr std::uint64_t kFnvOffset = 14695981039346656037U;
constexpr std::uint64_t kFnvPrime = 1099511628211U;

enum class Script { kLetter, kAlone, kSeparator };

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t size = 1;
};

CodePoint read_code_point(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<std::uint8_t>(text[at + i]) : 0U;
  };
  const std::uint32_t first = byte(0);
  if (first >= 0xF0) {
    return {((first & 7U) << 18U) | ((byte(1) & 63U) << 12U) | ((byte(2) & 63U) << 6U) |
                (byte(3) & 63U),
            4};
  }
  if (first >= 0xE0) {
    return {((first & 15U) << 12U) | ((byte(1) & 63U) << 6U) | (byte(2) & 63U), 3};
  }
  return {((first & 31U) << 6U) | (byte(1) & 63U), 2};
}

Script script_of(std::uint32_t c) {
  if (c < 0xC0 || (c >= 0x2000 && c < 0x2190) || (c >= 0x3000 && c < 0x3040)) {
    return Script::kSeparator;
  }
  // Thai to Myanmar, Khmer, kana, Han, and symbols: a character says as much as a word.
  const bool alone = (c >= 0x0E00 && c < 0x10A0) || (c >= 0x1780 && c < 0x1800) ||
                     (c >= 0x2190 && c < 0x2C00) || (c >= 0x3040 && c < 0xA000) ||
                     (c >= 0xF900 && c < 0xFB00) || c >= 0x10000;
  if (alone) return Script::kAlone;
  return c >= 0xFE00 && c < 0xFE10 ? Script::kSeparator : Script::kLetter;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char lower_letter(char c) {
  if (c >= 'a' && c <= 'z') return c;
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c + 32);
  return 0;
}

}  // namespace

std::size_t mark_size(std::string_view text, std::size_t at) {
  const char c = text[at];
  if (static_cast<std::uint8_t>(c) < 0x80) {
    const bool mark = c > ' ' && c != '\x7f' && lower_letter(c) == 0 && !is_digit(c);
    return mark ? 1 : 0;
  }
  const CodePoint point = read_code_point(text, at);
  const std::uint32_t value = point.value;
  const bool mark = (value > 0xA0 && value < 0xC0) || (value > 0x200F && value < 0x2C00) ||
                    (value > 0x3000 && value < 0x3040) || value >= 0x1F000;
  return mark ? std::min(point.size, text.size() - at) : 0;
}

std::uint64_t token_hash(std::string_view token) {
  std::uint64_t hash = kFnvOffset;
  for (const char c : token) hash = (hash ^ static_cast<std::uint8_t>(c)) * kFnvPrime;
  return hash;
}

void Tokens::assign(std::string_view source) {
  text.clear();
  tokens.clear();
  bool open = false;  // a word is being read
  bool number = false;
  const auto begin_token = [&] {
    if (!text.empty()) text += ' ';
    tokens.push_back({text.size(), 0, 0});
  };
  const auto end_token = [&] {
    Token& token = tokens.back();
    token.end = text.size();
    token.hash = token_hash(std::string_view(text).substr(token.begin));
    open = number = false;
  };
  const auto letter = [&](std::string_view bytes) {
    if (number) end_token();
    if (!open) begin_token();
    open = true;
    text += bytes;
  };
  for (std::size_t i = 0; i < source.size();) {
    const char c = source[i];
    if (const char small = lower_letter(c); small != 0) {
      letter({&small, 1});
      ++i;
    } else if (is_digit(c)) {
      // Letters and digits together ("gpt4") stay a word; a number of any size is one token.
      if (open) {
        if (!number) text += 'N';
      } else {
        begin_token();
        text += 'N';
        open = number = true;
      }
      while (i < source.size() &&
             (is_digit(source[i]) || ((source[i] == '.' || source[i] == ',') &&
                                      i + 1 < source.size() && is_digit(source[i + 1])))) {
        ++i;
      }
    } else if (static_cast<std::uint8_t>(c) < 0x80) {
      const bool joins =
          c == '\'' && open && !number && i + 1 < source.size() && lower_letter(source[i + 1]) != 0;
      if (joins) {
        text += '\'';
      } else if (open) {
        end_token();
      }
      ++i;
    } else {
      const CodePoint point = read_code_point(source, i);
      const std::string_view bytes = source.substr(i, point.size);
      const bool quote = point.value == 0x2019 && open && !number &&
                         i + point.size < source.size() &&
                         lower_letter(source[i + point.size]) != 0;
      const Script script = script_of(point.value);
      if (quote) {
        text += '\'';
      } else if (script == Script::kLetter) {
        letter(bytes);
      } else {
        if (open) end_token();
        if (script == Script::kAlone) {
          begin_token();
          text += bytes;
          end_token();
        }
      }
      i += bytes.size();
    }
  }
  if (open) end_token();
}

}  // namespace understudy
