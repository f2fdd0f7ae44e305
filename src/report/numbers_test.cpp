#include "report/numbers.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstdlib>

#include "base/rng.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

std::string shown(double value, double lo, double hi) {
  return rate_text({.per_100k = value, .lo = lo, .hi = hi, .n = {}, .k = {}, .method = {}}, {});
}

double parsed(std::string text) {
  std::erase(text, ',');
  if (text.starts_with("<")) text.erase(0, 1);
  return std::strtod(text.c_str(), nullptr);
}

TEST(IntervalText, RoundsToThePlaceThatTheHalfWidthBears) {
  EXPECT_EQ(shown(1481.2, 1341.9, 1634.4), "1,480 (1,340–1,630)") << "146: two digits";
  EXPECT_EQ(shown(6021.4, 3104.2, 10911.8), "6,000 (3,000–11,000)") << "390: one digit";
  EXPECT_EQ(shown(12.82, 5.93, 24.6), "13 (6–25)") << "933: one digit";
  EXPECT_EQ(shown(50.3, 40.2, 59.6), "50 (40–60)") << "970: rounds up to 1000, two digits";
}

TEST(IntervalText, ALowBoundDoesNotBecomeZero) {
  EXPECT_EQ(shown(700, 2.34, 3100), "700 (2–3,100)");
  EXPECT_EQ(shown(0.07, 0.0103, 0.51), "0.07 (0.01–0.51)");
  EXPECT_EQ(shown(0, 0, 1980.4), "0 (0–2,000)");
  EXPECT_EQ(shown(0.4, 0.001, 3.2), "0.4 (<0.01–3.2)");
}

TEST(IntervalText, AnIntervalWithoutWidthStillRounds) {
  EXPECT_EQ(shown(1234.567, 1234.567, 1234.567), "1,200 (1,200–1,200)");
  EXPECT_EQ(shown(0, 0, 0), "0 (0–0)");
}

TEST(IntervalText, KeepsOrderAndAQuarterOfEachNumber) {
  rc::check([](std::uint64_t seed) {
    Rng rng(seed);
    const double value = std::pow(10.0, -1.5 + 6.4 * rng.uniform());
    const double lo = value * std::pow(rng.uniform_positive(), 3);
    const double hi = std::min(1e5, value / rng.uniform_positive());
    const IntervalText text = interval_text(value, lo, hi);
    RC_ASSERT(parsed(text.lo) <= parsed(text.value));
    RC_ASSERT(parsed(text.value) <= parsed(text.hi));
    for (const auto& [number, words] : {std::pair(value, text.value), std::pair(hi, text.hi)}) {
      if (number >= 0.01) RC_ASSERT(std::abs(parsed(words) - number) <= 0.2501 * number);
    }
  });
}

TEST(RateText, UnknownIsNeverANumber) {
  EXPECT_EQ(rate_text({}, {}), "unknown");
  RateView only_bound;
  only_bound.hi = 1984;
  EXPECT_EQ(rate_text(only_bound, {}), "at most 2,000");
}

TEST(RateText, PlainStyleIsAscii) {
  const RateView rate{.per_100k = 13, .lo = 6, .hi = 25, .n = {}, .k = {}, .method = {}};
  EXPECT_EQ(rate_text(rate, {.unicode = false}), "13 (6-25)");
}

TEST(RatioText, SaysWhichSideIsKnown) {
  ChangeView change;
  EXPECT_EQ(ratio_text(change, {}), "unknown");
  change.lo = 5.23;
  EXPECT_EQ(ratio_text(change, {}), "at least ×5.2");
  change.lo = 0;
  change.hi = 0.412;
  EXPECT_EQ(ratio_text(change, {}), "at most ×0.41");
  change.ratio = 0.21;
  EXPECT_EQ(ratio_text(change, {.unicode = false}), "x0.21 (0-0.41)");
}

TEST(PValueText, SmallOnesAreABound) {
  EXPECT_EQ(p_value_text("p", 0.0000021), "p < 0.0001");
  EXPECT_EQ(p_value_text("q", 0.0312), "q = 0.03");
  EXPECT_EQ(p_value_text("p", 0.4821), "p = 0.48");
}

TEST(RoundedUp, NeverPromisesTooLittle) {
  EXPECT_EQ(rounded_up(0), 0U);
  EXPECT_EQ(rounded_up(0.2), 1U);
  EXPECT_EQ(rounded_up(1841.3), 1900U);
  EXPECT_EQ(rounded_up(1900), 1900U);
  EXPECT_EQ(rounded_up(99.5), 100U);
}

}  // namespace
}  // namespace understudy
