#pragma once
// Reading JSON bodies with simdjson: for the .cpp files of protocols only.

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "records/draw.hpp"

namespace understudy {

/// Parses a body, repairing what can be repaired: lone surrogate escapes and invalid UTF-8 become
/// U+FFFD. The element lives as long as the reader and until its next parse.
class AnswerReader {
 public:
  [[nodiscard]] std::optional<simdjson::dom::element> parse(std::string_view body);

 private:
  simdjson::dom::parser parser_;
  std::string repaired_;
};

/// The string member, or empty.
[[nodiscard]] std::string_view string_member(const simdjson::dom::element& object,
                                             std::string_view key);
/// The non-negative integer member, or 0.
[[nodiscard]] std::uint64_t number_member(const simdjson::dom::element& object,
                                          std::string_view key);
/// A member's value as JSON text when it is not a string, its text when it is; empty if absent.
[[nodiscard]] std::string text_or_json(const simdjson::dom::element& object, std::string_view key);

/// Appends the "logprob" of each entry of the array member, rounded to thousandths; none where a
/// provider offers none.
void read_logprobs(const simdjson::dom::element& object, std::string_view key,
                   std::vector<double>& logprobs);

/// 200 with {"error": …}, {"type": "error", …} or {"object": "error", …} inside.
[[nodiscard]] bool holds_error(const simdjson::dom::element& document);

}  // namespace understudy
