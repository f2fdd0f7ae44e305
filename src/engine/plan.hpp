#pragma once
// `understudy plan`: what a study would ask, cost and take, and what it could show, before a cent
// is spent. Reads the logs, draws the prefixes and lets rules grade the logged answers; asks no
// model anything.

#include <cstdint>
#include <optional>

#include "engine/study.hpp"

namespace understudy {

/// What `discover` is to ask besides, which no run does.
struct PlanOptions {
  std::optional<std::uint64_t> audit;  ///< answers of the candidate
  bool embed = false;
};

/// The document (understudy.plan/1). Brings ingest and sample up to date first. kUsage where a
/// model is to be priced that has no role.
[[nodiscard]] Result<Json> plan_study(Study& study, const PlanOptions& options = {});

}  // namespace understudy
