#pragma once
// What a study could show, before anything is spent: power of a direction call, draws that it
// takes, and what labels would buy. All from the deployed model's rate, which the logs already
// tell.

#include <optional>

#include "stats/two_rates.hpp"

namespace understudy {

/// Probability that the interval of candidate over deployed at `level` excludes 1 on the side of
/// `ratio`, when that is the truth: the candidate's events are Poisson, the deployed model's are
/// those that were seen. ratio > 0 and not 1. 0 where deployed has no event.
[[nodiscard]] double direction_power(const RateCount& deployed, double draws, double ratio,
                                     double level);

/// The fewest draws (within 1%) that give such power; empty where 10^9 do not.
[[nodiscard]] std::optional<double> draws_for_power(const RateCount& deployed, double ratio,
                                                    double level, double power);

/// How wide what labels say is, as upper end over lower end at 95%: of the share of flags that are
/// right, from `labels` of them of which `present` were.
[[nodiscard]] double flag_label_spread(double present, double labels);
/// Of the rate itself, when what the screen passed may hold up to the bound that `labels` uniform
/// labels without a find leave: (rate + bound) / rate. rate in (0, 1).
[[nodiscard]] double passed_label_spread(double rate, double labels);

}  // namespace understudy
