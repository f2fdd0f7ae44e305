#include "report/numbers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace understudy {
namespace {

// Decimal place as an exponent of ten: 2 rounds to hundreds, -1 to tenths.
int place_of_leading_digit(double value) {
  return static_cast<int>(std::floor(std::log10(value)));
}

int place_borne_by(double half_width) {
  const int leading = place_of_leading_digit(half_width);
  const double first_three = std::round(half_width / std::pow(10.0, leading - 2));
  if (first_three < 355) return leading - 1;
  return leading;  // 950 to 999 round up to 1000, whose second digit stands at this place too
}

// Below this nothing that a log can hold is meant; the text says "<0.01".
constexpr double kSmallest = 0.01;

std::string at_place(double value, int place) {
  if (value == 0) return "0";
  if (value < kSmallest) return fmt::format("<{}", kSmallest);
  const int borne = place;
  while (value < 2 * std::pow(10.0, place)) --place;
  place = std::max(place, -3);
  if (place < 0) {
    std::string text = fmt::format("{:.{}f}", value, -place);
    // A zero that the interval bears says something; one that only the small value brought doesn't.
    while (place < borne && (text.back() == '0' || text.back() == '.')) {
      const bool was_point = text.back() == '.';
      text.pop_back();
      if (was_point) return with_commas(std::stoull(text));
    }
    const std::size_t point = text.find('.');
    const std::string whole = with_commas(std::stoull(text.substr(0, point)));
    return whole + text.substr(point);
  }
  const double unit = std::pow(10.0, place);
  return with_commas(static_cast<std::uint64_t>(std::llround(value / unit) * std::llround(unit)));
}

}  // namespace

IntervalText interval_text(double value, double lo, double hi) {
  const double half_width = (hi - lo) / 2;
  const int place = half_width > 0 ? place_borne_by(half_width)
                    : value > 0    ? place_of_leading_digit(value) - 1
                                   : 0;
  return {at_place(value, place), at_place(lo, place), at_place(hi, place)};
}

std::string rate_text(const RateView& rate, NumberStyle style) {
  const std::string_view dash = style.unicode ? "–" : "-";
  if (!rate.hi) return "unknown";
  if (!rate.per_100k || !rate.lo) return "at most " + bound_text(*rate.hi);
  const IntervalText text = interval_text(*rate.per_100k, *rate.lo, *rate.hi);
  return fmt::format("{} ({}{}{})", text.value, text.lo, dash, text.hi);
}

std::string ratio_text(const ChangeView& change, NumberStyle style) {
  const std::string_view dash = style.unicode ? "–" : "-";
  const std::string_view times = style.unicode ? "×" : "x";
  if (change.ratio && change.lo && change.hi) {
    const IntervalText text = interval_text(*change.ratio, *change.lo, *change.hi);
    return fmt::format("{}{} ({}{}{})", times, text.value, text.lo, dash, text.hi);
  }
  if (change.lo && *change.lo > 0) {
    return fmt::format("at least {}{}", times, bound_text(*change.lo));
  }
  if (change.hi) return fmt::format("at most {}{}", times, bound_text(*change.hi));
  return "unknown";
}

std::string bound_text(double value) {
  return at_place(value, value > 0 ? place_of_leading_digit(value) - 1 : 0);
}

std::string p_value_text(std::string_view name, double value) {
  if (value < 0.0001) return fmt::format("{} < 0.0001", name);
  return fmt::format("{} = {:.{}g}", name, value, value < 0.1 ? 1 : 2);
}

std::uint64_t rounded_up(double value) {
  if (value <= 0) return 0;
  const double unit = std::max(1.0, std::pow(10.0, place_of_leading_digit(value) - 1));
  return static_cast<std::uint64_t>(std::llround(std::ceil(value / unit) * unit));
}

}  // namespace understudy
