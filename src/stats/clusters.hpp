#pragma once
// Draws of one user are not independent: how much less they say than as many users would.

#include <span>

namespace understudy {

/// Totals of one cluster.
struct ClusterTotal {
  double hits = 0;
  double size = 0;
};

/// (11) Variance of the rate Σhits / Σsize over unequal clusters, linearized:
/// C/(C−1) · Σ(hits_c − rate·size_c)² / (Σsize)². Needs two clusters; unreliable with fewer than
/// ten positive ones. Kish & Hess 1959; Miller 2024 (arXiv 2411.00640).
[[nodiscard]] double cluster_ratio_variance(std::span<const ClusterTotal> clusters);

/// (12) Design effect: that variance over the binomial one, at least 1. 1 where nothing or
/// everything is a hit: then the data say nothing about it.
[[nodiscard]] double design_effect(std::span<const ClusterTotal> clusters);

}  // namespace understudy
