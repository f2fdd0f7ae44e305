#pragma once
// What several noisy measurements of things that differ say of their mean and of their spread.

#include <optional>
#include <span>

#include "stats/intervals.hpp"

namespace understudy {

struct RandomEffects {
  double mean = 0;
  Interval mean_interval;
  double sd = 0;  ///< between the things, measurement noise taken out
  Interval sd_interval;
};

/// values[i] ~ N(m_i, variances[i]), m_i ~ N(mean, sd²); variances > 0. Spread by Paule & Mandel
/// 1982, its interval by inverting the generalized Q (Viechtbauer 2007, exact under normality), the
/// mean's by Hartung & Knapp 2001. Values nearer to each other than their noise foretells would
/// give a spread of "at most 0": its upper end is then no lower than that of values that lie as far
/// apart as noise foretells. Empty with fewer than three values. Else `rma(method = "PM", test =
/// "knha")` of R's metafor.
[[nodiscard]] std::optional<RandomEffects> random_effects(std::span<const double> values,
                                                          std::span<const double> variances,
                                                          double level);

}  // namespace understudy
