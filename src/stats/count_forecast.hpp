#pragma once
// The predictive law of a count that has not been seen yet, from a forecast of its rate: Poisson
// given the rate, and the rate log-normal with a spread of its own on each side, because intervals
// of rare rates are skewed. Unlike scores of the rate itself it has no trouble with a count of zero
// (statistics.md (57)).

#include <array>
#include <cstddef>

namespace understudy {

/// ln rate of a forecast: two half-normals that meet at the median.
struct LogRate {
  double median = 0;                              ///< of ln rate
  double sd_lo = 0;                               ///< >= 0, below the median
  double sd_hi = 0;                               ///< >= 0, above
  [[nodiscard]] double quantile(double p) const;  ///< p in (0, 1)
};

/// From a point with its two-sided interval at `level`; point > 0, 0 <= lo <= point <= hi. A lower
/// end at zero is taken at a ten-thousandth of the upper one.
[[nodiscard]] LogRate log_rate(double point, double lo, double hi, double level);

class CountForecast {
 public:
  /// `exposure` > 0 draws are to come; rates are shares.
  CountForecast(const LogRate& law, double exposure);
  /// P(K <= count), P(K >= count) and ln P(K = count); count >= 0 may be fractional (the effective
  /// count of clustered data), the law is then the incomplete gamma function's.
  [[nodiscard]] double at_most(double count) const;
  [[nodiscard]] double at_least(double count) const;
  [[nodiscard]] double log_probability(double count) const;
  /// The smallest whole count that the law does not exceed with probability p, in (0, 1).
  [[nodiscard]] double quantile(double p) const;
  /// Whether the count lies within the central `level` of the law.
  [[nodiscard]] bool holds(double count, double level) const;

 private:
  static constexpr std::size_t kNodes = 200;  // midpoints in probability
  std::array<double, kNodes> means_{};
};

/// ln P(K = count) of a Poisson law; mean > 0.
[[nodiscard]] double poisson_log_probability(double mean, double count);

}  // namespace understudy
