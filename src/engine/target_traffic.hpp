#pragma once
// Weights that make the logs look like the traffic the rates are to be of ([target] in study.toml):
// a table of shares (raking), unlabeled recent logs (density ratio), or both. That is also how
// public conversations stand in for traffic that cannot be read here: [logs] are the public ones,
// [target] says what one's own are like.
//
// Weights can only choose among what the logs hold. What they leave of the sample is printed, and
// below a tenth nothing is estimated.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "engine/study.hpp"
#include "engine/units.hpp"

namespace understudy {

struct TargetTraffic {
  std::vector<double> weights;  ///< of every turn of the frame, by conversation and cut; mean 1
  Json detail;                  ///< `shift.target` of report.json
  Digest content{};             ///< of the table and the target's texts, for the manifest
};

/// Empty where no target is set. Needs the frame. Fails with kUsage or kInput: the table
/// (target_table.hpp), margins that contradict each other, target logs without enough usable turns.
[[nodiscard]] Result<std::optional<TargetTraffic>> target_traffic(Study& study);

/// Multiplies the weights of the units by those of their turns; `frame` are the logged answers'
/// units, in the order of the weights.
void weigh_by_target(const TargetTraffic& target, const Units& frame, Units& units);

/// The least share of the sample that weights may leave (Kish).
inline constexpr double kEffectiveShareMin = 0.1;
/// kInput where the units' weights leave less: what the target holds, the logs hardly do.
[[nodiscard]] Result<void> check_effective_share(const Units& units);

}  // namespace understudy
