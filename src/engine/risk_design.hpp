#pragma once
// sample.design = "risk": what the deployed model's logged flags say about which prefixes are worth
// more draws. Needs the frame and the rule verdicts of the logged answers, and no generation.

#include <vector>

#include "engine/study.hpp"

namespace understudy {

/// For each of the `frame` turns, in canonical order, what its chance of being drawn is to be
/// proportional to (sampling/risk_score.hpp). A turn is never scored by a model that was trained
/// on its own conversation. All equal where no rule has flagged enough.
[[nodiscard]] Result<std::vector<float>> risk_sizes(Study& study, std::uint64_t frame);

}  // namespace understudy
