#pragma once
// Many tests at once. Both take p-values in any order and give adjusted ones in the same order.

#include <span>
#include <vector>

namespace understudy {

/// Holm's step-down: compare with the level to keep the chance of any false claim below it, under
/// any dependence. Holm 1979.
[[nodiscard]] std::vector<double> holm(std::span<const double> p_values);
/// Benjamini–Hochberg q-values: the expected share of false discoveries among those at or below,
/// under independence or positive dependence. Benjamini & Hochberg 1995.
[[nodiscard]] std::vector<double> benjamini_hochberg(std::span<const double> p_values);

}  // namespace understudy
