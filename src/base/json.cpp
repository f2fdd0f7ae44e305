#include "base/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/text.hpp"

template class nlohmann::basic_json<>;

namespace understudy {
namespace {

// ECMAScript Number::toString, from the shortest digits that round-trip (to_chars).
void append_number(std::string& out, double value) {
  UNDERSTUDY_ASSERT(std::isfinite(value));
  if (value == 0) {
    out += '0';
    return;
  }
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const std::size_t e = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  int exponent = 0;  // of the first digit
  const char* first = text.data() + e + 1;
  if (*first == '+') ++first;
  std::from_chars(first, text.data() + text.size(), exponent);
  if (value < 0) out += '-';
  const int count = static_cast<int>(digits.size());
  const int point = exponent + 1;  // digits before the decimal point
  if (point > 21 || point <= -6) {
    out += digits[0];
    if (count > 1) out.append(".").append(digits, 1, std::string::npos);
    out += fmt::format("e{}{}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (point <= 0) {
    out.append("0.").append(static_cast<std::size_t>(-point), '0').append(digits);
  } else if (point >= count) {
    out.append(digits).append(static_cast<std::size_t>(point - count), '0');
  } else {
    out.append(digits, 0, static_cast<std::size_t>(point)).append(".");
    out.append(digits, static_cast<std::size_t>(point), std::string::npos);
  }
}

// UTF-8 bytes order as code points do; UTF-16 puts U+E000…U+FFFF after the surrogate pairs.
bool utf16_less(std::string_view a, std::string_view b) {
  const auto mismatch = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (mismatch.first == a.end() || mismatch.second == b.end()) return a.size() < b.size();
  const auto rank = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0xF0) return 0xEDU * 2 + 1;  // a surrogate pair sorts as U+D800…, before U+E000
    return byte * 2U;
  };
  return rank(*mismatch.first) < rank(*mismatch.second);
}

void append_value(std::string& out, const Json& value, JsonStyle style, int depth) {
  const auto line = [&](int levels) {
    if (style == JsonStyle::kPretty) {
      out.append("\n").append(static_cast<std::size_t>(2 * levels), ' ');
    }
  };
  switch (value.type()) {
    case Json::value_t::object: {
      std::vector<const std::string*> keys;
      for (auto it = value.begin(); it != value.end(); ++it) keys.push_back(&it.key());
      std::sort(keys.begin(), keys.end(),
                [](const std::string* a, const std::string* b) { return utf16_less(*a, *b); });
      out += '{';
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i > 0) out += ',';
        line(depth + 1);
        append_json_string(out, *keys[i]);
        out += style == JsonStyle::kPretty ? ": " : ":";
        append_value(out, value.at(*keys[i]), style, depth + 1);
      }
      if (!keys.empty()) line(depth);
      out += '}';
      break;
    }
    case Json::value_t::array:
      out += '[';
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (i > 0) out += ',';
        line(depth + 1);
        append_value(out, value[i], style, depth + 1);
      }
      if (!value.empty()) line(depth);
      out += ']';
      break;
    case Json::value_t::string:
      append_json_string(out, value.get_ref<const std::string&>());
      break;
    case Json::value_t::number_float:
      append_number(out, value.get<double>());
      break;
    default:
      out += value.dump();
  }
}

bool needs_escape(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
}

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\b':
      out += "\\b";
      break;
    case '\f':
      out += "\\f";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
}

// How many bytes at the front need no escape; eight at a time, since prompts are long.
std::size_t plain_prefix(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
  const auto has_zero = [](std::uint64_t word) { return (word - kOnes) & ~word & kHighs; };
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    const std::uint64_t controls = (word - kOnes * 0x20) & ~word & kHighs;
    if ((controls | has_zero(word ^ (kOnes * '"')) | has_zero(word ^ (kOnes * '\\'))) != 0) break;
  }
  while (i < text.size() && !needs_escape(text[i])) ++i;
  return i;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  const std::string valid = is_valid_utf8(text) ? std::string() : replace_invalid_utf8(text);
  std::string_view rest = valid.empty() ? text : std::string_view(valid);
  out += '"';
  while (true) {
    const std::size_t plain = plain_prefix(rest);
    out.append(rest.substr(0, plain));
    if (plain == rest.size()) break;
    append_escaped(out, rest[plain]);
    rest.remove_prefix(plain + 1);
  }
  out += '"';
}

Result<Json> parse_json(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    // The library's own text may quote the input: only the position is passed on.
    return unexpected(
        ErrorCode::kInput, "not valid JSON",
        {.file = {}, .line = {}, .byte_offset = error.byte == 0 ? 0 : error.byte - 1});
  } catch (const Json::out_of_range&) {
    return unexpected(ErrorCode::kInput, "a number in this JSON is out of range");
  }
}

std::string write_json(const Json& document, JsonStyle style) {
  std::string out;
  append_value(out, document, style, 0);
  if (style == JsonStyle::kPretty) out += '\n';
  return out;
}

double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific, 8);
  double result = 0;
  std::from_chars(buffer, end.ptr, result);
  return result;
}

}  // namespace understudy
