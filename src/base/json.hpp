#pragma once
// JSON at our edges. `Json` builds and reads documents; logs are read with simdjson (ingest/).
// `write_json` is the only way a document of ours is written.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.hpp"

// Compiled once, in json.cpp: a seventh of the time that every other file would take.
extern template class nlohmann::basic_json<>;

namespace understudy {

using Json = nlohmann::json;  // object keys are kept sorted by bytes

/// Parses one document; the error says at which byte.
[[nodiscard]] Result<Json> parse_json(std::string_view text);

enum class JsonStyle {
  kCanonical,  ///< RFC 8785 (JCS): no space, keys in UTF-16 order, ECMAScript numbers
  kPretty,     ///< the same, with two-space indentation and a final newline
};

/// Numbers are written as RFC 8785 demands; NaN and infinities are programmer errors: missing is
/// null. Invalid UTF-8 is replaced by U+FFFD.
[[nodiscard]] std::string write_json(const Json& document, JsonStyle style);

/// Appends the text as a JSON string with its quotes, escaped as RFC 8785 demands: for bodies that
/// are written without building a document first.
void append_json_string(std::string& out, std::string_view text);

/// The value rounded to 9 significant digits: what documents hold, because the last bits of `exp`
/// and `pow` differ between machines.
[[nodiscard]] double rounded(double value);

}  // namespace understudy
