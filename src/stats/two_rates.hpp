#pragma once
// Is one rate higher than another? Tests and intervals that hold at one or two events. Effective
// (real-valued) counts are welcome where it says so: tail sums become incomplete beta functions.

#include <cstdint>

#include "stats/intervals.hpp"

namespace understudy {

/// Hits among n draws; real-valued for weighted or clustered data.
struct RateCount {
  double hits = 0;
  double n = 0;
};

/// Fisher's exact test of two binomial shares, two-sided (sum of the tables that are at most as
/// likely). Integer counts. Conditional on the total, hence conservative. Fisher 1934.
[[nodiscard]] double fisher_exact(std::uint64_t hits_a, std::uint64_t n_a, std::uint64_t hits_b,
                                  std::uint64_t n_b);

/// Two-sided mid-p test that two rare rates are equal: hits_a given the total is
/// Bin(total, n_a / (n_a + n_b)). Less conservative than Fisher: error may pass the level slightly.
/// Real counts allowed. 1 where there is no event. Przyborowski & Wilenski 1940; Lancaster 1961.
[[nodiscard]] double conditional_mid_p(const RateCount& a, const RateCount& b);

/// Interval of rate_a / rate_b from the same conditional law (Clopper–Pearson on the share of the
/// events that are a's). hi is infinite without an event in b; [0, ∞) without any.
[[nodiscard]] Interval rate_ratio_interval(const RateCount& a, const RateCount& b, double level);

/// McNemar's exact test, two-sided mid-p: pairs where only a / only b is present. Fagerland 2013.
[[nodiscard]] double paired_mid_p(std::uint64_t only_a, std::uint64_t only_b);

/// Exact sign test, two-sided: twice the tail of Bin(more + fewer, ½), at most 1. Never above its
/// level where each sign is as likely as the other.
[[nodiscard]] double exact_sign_test(std::uint64_t more, std::uint64_t fewer);

/// Power of Fisher's test at significance alpha when the true shares are as given, by exact
/// enumeration: O((n_a + n_b)² log) steps.
[[nodiscard]] double fisher_power(std::uint64_t n_a, double share_a, std::uint64_t n_b,
                                  double share_b, double alpha);

}  // namespace understudy
