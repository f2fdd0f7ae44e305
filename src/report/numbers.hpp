#pragma once
// Numbers for people: as many digits as the interval bears, and no more.

#include <cstdint>
#include <string>
#include <string_view>

#include "report/view.hpp"

namespace understudy {

struct NumberStyle {
  bool unicode = true;  ///< otherwise ASCII only: "x3.1 (2-5)"
};

/// A value with its interval, each rounded and with thousands separators.
struct IntervalText {
  std::string value;
  std::string lo;
  std::string hi;
};

/// Rounds to the place that the interval's half-width bears, by the rule of the Particle Data Group
/// (two digits of the half-width where its first three are 100 to 354, one where they are 355 to
/// 949, two after rounding up to 1000 otherwise). A number that this would round by more than a
/// quarter keeps its own leading digits, so that a low bound does not turn into 0. Everything >= 0.
[[nodiscard]] IntervalText interval_text(double value, double lo, double hi);

/// "212 (163–271)"; "unknown" where there is no value, "at most 1,980" where only that is known.
[[nodiscard]] std::string rate_text(const RateView& rate, NumberStyle style);

/// "×19 (7.5–46)"; "at least ×5" where the previous rate may be 0; "unknown".
[[nodiscard]] std::string ratio_text(const ChangeView& change, NumberStyle style);

/// Two significant digits, thousands separated: for floors and bounds that stand alone.
[[nodiscard]] std::string bound_text(double value);

/// "p = 0.03", "p < 0.0001".
[[nodiscard]] std::string p_value_text(std::string_view name, double value);

/// Rounded up to two significant digits.
[[nodiscard]] std::uint64_t rounded_up(double value);

}  // namespace understudy
