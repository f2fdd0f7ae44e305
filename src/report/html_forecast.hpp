#pragma once
// A frozen forecast, and what became of it, as pages like the report's: one file each, no script,
// nothing from elsewhere.

#include <string>

#include "report/json_fwd.hpp"

namespace understudy {

/// understudy.forecast/1: every behavior's rate with its predictive interval, the old rate and what
/// else it will be compared with, and which way it is called. The document is one of ours.
[[nodiscard]] std::string html_forecast(const Json& forecast);

/// understudy.verification/1: foretold and happened side by side, errors beside those of the
/// baselines, and where the error comes from, as a waterfall.
[[nodiscard]] std::string html_verification(const Json& verification);

/// "×1.45 (×1.1–×1.9)" from logarithms, `key` with its "lo" and "hi"; "unknown".
[[nodiscard]] std::string factor_text(const Json& part, const char* key = "log");

}  // namespace understudy
