#include "cli/forecast_text.hpp"

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/text.hpp"
#include "report/numbers.hpp"
#include "report/terminal.hpp"

namespace understudy {

std::string padded(std::string text, std::size_t width) {
  const std::size_t length = display_width(text);
  if (length < width) text.append(width - length, ' ');
  return text + "  ";
}

std::string rate_cell_text(const Json& rate) {
  return rate_text(rate_view(rate).value_or(RateView()), {});
}

std::string forecast_text(const Json& forecast) {
  std::string text = fmt::format("per 100,000 {} · predictive intervals, 95%\n\n{}{}{}called\n",
                                 unit_plural(forecast["unit"].get<std::string>()), padded("", 28),
                                 padded("old rate", 22), padded("forecast", 24));
  const Json& behaviors = forecast["estimates"]["behaviors"];
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    const Json& one = behaviors[i];
    const auto called = one["direction_called"].get<std::string>();
    text += padded(terminal_safe(one["behavior"].get<std::string>()), 28);
    text += padded(rate_cell_text(forecast["baselines"][i]["persistence"]), 22);
    text += padded(rate_cell_text(one["forecast"]), 24);
    text += (called == "unknown" ? "–" : called == "none" ? "less than 1.5×" : called) + "\n";
  }
  return text + "\n";
}

}  // namespace understudy
