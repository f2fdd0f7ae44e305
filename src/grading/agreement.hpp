#pragma once
// How far people agree on labels: Cohen's kappa for two annotators, Krippendorff's alpha for any
// number with gaps. Nominal labels (any small integers; a verdict is one).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace understudy {

/// An agreement with a percentile bootstrap interval over units (what was labeled), 95%.
struct Agreement {
  double value = 0;  ///< 1: always the same; 0: as often as by chance; below: less often
  double lo = 0;
  double hi = 0;
  std::size_t units = 0;  ///< that had at least two labels
};

/// Labels of two annotators on the same units. Empty where it is undefined: no units, or both
/// gave one and the same label throughout. Cohen (1960).
[[nodiscard]] std::optional<double> cohen_kappa(std::span<const std::pair<int, int>> labels);

/// For each unit the labels that it got, in any number; units with fewer than two don't count.
/// Empty where it is undefined: nothing to compare, or only one label in use. Krippendorff (2011),
/// "Computing Krippendorff's Alpha-Reliability", nominal data.
[[nodiscard]] std::optional<double> krippendorff_alpha(std::span<const std::vector<int>> units);

/// The same with intervals: `resamples` >= 1 resamples of units by Rng(seed). Resamples in which
/// the figure is undefined are left out.
[[nodiscard]] std::optional<Agreement> cohen_agreement(std::span<const std::pair<int, int>> labels,
                                                       std::uint64_t seed,
                                                       std::size_t resamples = 2000);
[[nodiscard]] std::optional<Agreement> krippendorff_agreement(
    std::span<const std::vector<int>> units, std::uint64_t seed, std::size_t resamples = 2000);

}  // namespace understudy
