#pragma once
// Placebo deployments of a study (estimate/placebo.hpp): how far its behaviors' rates drift, from
// when its logged answers were given. Only behaviors with a rule have verdicts for all of them.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "engine/study.hpp"
#include "engine/units.hpp"
#include "estimate/placebo.hpp"
#include "grading/behavior.hpp"

namespace understudy {

/// The period of each logged answer, from 0 for the earliest; -1 where its conversation has no
/// time. All -1 where there are no times. `frame`: units of the logged answers.
[[nodiscard]] Result<std::vector<std::int64_t>> periods_of(StudyStore& store, const Units& frame,
                                                           std::uint32_t period_days);

struct PlaceboDeployments {
  std::optional<ShiftSpread> spread;
  Json detail;  ///< `shift.placebo` of report.json
};
/// Needs the rules' verdicts of the logged answers.
[[nodiscard]] Result<PlaceboDeployments> placebo_deployments(Study& study,
                                                             const std::vector<Behavior>& behaviors,
                                                             const Units& frame);

}  // namespace understudy
