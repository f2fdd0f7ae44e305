#pragma once
// How much of what happens has not been seen: from how often each kind of failure was met
// (statistics.md (64)). `sizes`: failures per kind, each at least 1. The failures are verified and
// drawn uniformly; adaptive draws break this.

#include <cstdint>
#include <span>

namespace understudy {

/// Good–Turing: the share of failures that are of kinds never met, f₁/n. Good 1953.
[[nodiscard]] double unseen_share_good_turing(std::span<const std::uint64_t> sizes);
/// The same with Chao & Jost's (2012) correction: (f₁/n) · (n−1)f₁ / ((n−1)f₁ + 2f₂).
[[nodiscard]] double unseen_share_chao(std::span<const std::uint64_t> sizes);
/// Lower bound of the number of kinds, seen or not, bias-corrected. Chao 1987.
[[nodiscard]] double kinds_chao1(std::span<const std::uint64_t> sizes);

}  // namespace understudy
