#pragma once
// Weights that make one population look like another: post-stratification and raking to known
// margins, and what they leave of a sample.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace understudy {

/// Kish's effective sample as a share of the units: (Σw)² / (n Σw²); 0 where all weights are 0.
/// Weights >= 0. Kish 1965.
[[nodiscard]] double kish_share(std::span<const double> weights);

/// One way of dividing the units: which stratum each is in, and what share the target has there.
struct Margin {
  std::vector<std::uint32_t> stratum_of;  ///< index in shares, by unit
  std::vector<double> shares;             ///< >= 0, sum 1
};

/// (49) Multiplies `weights` (> 0) until every margin holds, each stratum in turn (iterative
/// proportional fitting: Deming & Stephan 1940). One margin is post-stratification. Sums to the
/// number of units. Empty where a stratum with a share has no unit, or where no weights meet all
/// margins within 10^-6: they contradict each other.
[[nodiscard]] std::optional<std::vector<double>> raked(std::vector<double> weights,
                                                       std::span<const Margin> margins);

}  // namespace understudy
