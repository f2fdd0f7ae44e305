#include "model/answer_json.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <sstream>

#include "base/text.hpp"
#include "model/chat_protocol.hpp"

namespace understudy {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;

// The code unit of "\uXXXX" at `at`, or nothing.
std::optional<unsigned> escape_at(std::string_view json, std::size_t at) {
  if (json.size() < at + 6 || json[at] != '\\' || json[at + 1] != 'u') return std::nullopt;
  unsigned unit = 0;
  const char* const first = json.data() + at + 2;
  const auto [end, error] = std::from_chars(first, first + 4, unit, 16);
  if (error != std::errc() || end != first + 4) return std::nullopt;
  return unit;
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> words) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

}  // namespace

std::string replace_lone_surrogates(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (std::size_t i = 0; i < json.size();) {
    if (json[i] != '\\') {
      out += json[i++];
      continue;
    }
    const std::optional<unsigned> unit = escape_at(json, i);
    if (!unit || (*unit & 0xF800U) != 0xD800U) {
      const std::size_t length = std::min<std::size_t>(unit ? 6 : 2, json.size() - i);
      out.append(json.substr(i, length));
      i += length;
      continue;
    }
    const std::optional<unsigned> next = escape_at(json, i + 6);
    if (*unit < 0xDC00 && next && (*next & 0xFC00U) == 0xDC00U) {
      out.append(json.substr(i, 12));
      i += 12;
    } else {
      out += "\\ufffd";
      i += 6;
    }
  }
  return out;
}

std::optional<element> AnswerReader::parse(std::string_view body) {
  element document;
  simdjson::error_code error = parser_.parse(body.data(), body.size()).get(document);
  if (error == simdjson::UTF8_ERROR) {
    repaired_ = replace_invalid_utf8(body);
    body = repaired_;
    error = parser_.parse(body.data(), body.size()).get(document);
  }
  if (error == simdjson::STRING_ERROR) {
    std::string without = replace_lone_surrogates(body);
    repaired_ = std::move(without);
    error = parser_.parse(repaired_.data(), repaired_.size()).get(document);
  }
  if (error != SUCCESS) return std::nullopt;
  return document;
}

std::string_view string_member(const element& object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == SUCCESS ? text : std::string_view();
}

std::uint64_t number_member(const element& object, std::string_view key) {
  std::uint64_t number = 0;
  return object[key].get(number) == SUCCESS ? number : 0;
}

std::string text_or_json(const element& object, std::string_view key) {
  element member;
  if (object[key].get(member) != SUCCESS || member.is_null()) return {};
  std::string_view text;
  if (member.get(text) == SUCCESS) return std::string(text);
  return simdjson::minify(member);
}

void read_logprobs(const element& object, std::string_view key, std::vector<double>& logprobs) {
  simdjson::dom::array entries;
  if (object[key].get(entries) != SUCCESS) return;
  for (const element entry : entries) {
    double value = 0;
    if (entry["logprob"].get(value) != SUCCESS) continue;
    logprobs.push_back(rounded_logprob(value));
  }
}

bool holds_error(const element& document) {
  element error;
  if (document["error"].get(error) == SUCCESS && !error.is_null()) return true;
  return string_member(document, "type") == "error" || string_member(document, "object") == "error";
}

std::string_view safe_word(std::string_view word) {
  constexpr std::size_t kWordMax = 64;
  const bool safe = word.size() <= kWordMax && std::all_of(word.begin(), word.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
                    });
  return safe ? word : std::string_view();
}

ErrorBody read_error_body(std::string_view body) {
  ErrorBody read;
  AnswerReader reader;
  const std::optional<element> document = reader.parse(body);
  if (!document || !document->is_object()) return read;
  read.is_json = true;
  element error;
  if ((*document)["error"].get(error) != SUCCESS || !error.is_object()) error = *document;
  const std::string code = text_or_json(error, "code");
  const std::string_view type = string_member(error, "type");
  read.code = safe_word(code);
  if (read.code.empty() || read.code == "null") read.code = safe_word(type);
  int status = 0;
  const auto parsed = std::from_chars(code.data(), code.data() + code.size(), status);
  if (parsed.ec == std::errc() && status >= 400 && status < 600) read.status = status;
  // Only looked at, never passed on.
  const std::string message = text_or_json(error, "message") + text_or_json(*document, "detail") +
                              text_or_json(*document, "error");
  read.context_overflow =
      code == "context_length_exceeded" || type == "exceed_context_size_error" ||
      contains_any(message, {"maximum context length", "context length", "context window",
                             "prompt is too long", "too many input tokens"});
  read.quota = code == "insufficient_quota" || type == "insufficient_quota" ||
               type == "billing_error" || code == "billing_hard_limit_reached";
  read.content_filter = code == "content_filter" || code == "content_policy_violation";
  return read;
}

}  // namespace understudy
