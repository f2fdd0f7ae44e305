#pragma once
// The lines that `forecast` and `verify` print alike.

#include <string>
#include <string_view>

#include "report/json_fwd.hpp"

namespace understudy {

/// Filled up with spaces to the width, two more behind it.
[[nodiscard]] std::string padded(std::string text, std::size_t width);
/// "212 (163–271)" of a rate object; "unknown".
[[nodiscard]] std::string rate_cell_text(const Json& rate);
/// What `forecast` prints: a line for each behavior, of an understudy.forecast/1.
[[nodiscard]] std::string forecast_text(const Json& forecast);

}  // namespace understudy
