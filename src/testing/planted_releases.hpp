#pragma once
// Releases whose error is planted part by part, through what `forecast` and `verify` use: Y's logs,
// X and Y replayed with a bias of 1.5× that they share, X's own production after a shift of traffic
// (sd 0.3 of ln rate), X replayed on its own prefixes; three past releases as history. Twenty
// behaviors; changes as in §4b of docs/statistics.md.

#include <cstdint>
#include <string_view>
#include <vector>

#include "testing/calibration.hpp"

namespace understudy {

inline constexpr std::string_view kPlantedReleases = "planted-releases";

/// Rows "persistence" and "forecast"; the latter with coverage of production's counts, and with how
/// often each pooled part of the error split holds what was planted.
[[nodiscard]] std::vector<CalibrationRow> calibrate_planted(std::uint64_t seed,
                                                            std::uint64_t repeats);

}  // namespace understudy
