#pragma once
// Random variates for worlds with known truth, by inversion: the same key gives the same worlds on
// every machine, which the distributions of <random> do not promise.

#include <cstdint>

#include "base/rng.hpp"

namespace understudy {

[[nodiscard]] double draw_normal(Rng& rng);
/// n trials of the given probability in [0, 1]. About sqrt(n · share) steps.
[[nodiscard]] std::uint64_t draw_binomial(Rng& rng, std::uint64_t n, double share);
/// mean >= 0. About sqrt(mean) steps.
[[nodiscard]] std::uint64_t draw_poisson(Rng& rng, double mean);

}  // namespace understudy
