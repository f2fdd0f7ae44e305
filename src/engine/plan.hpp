#pragma once
// `understudy plan`: what a study would ask, cost and take, and what it could show, before a cent
// is spent. Reads the logs, draws the prefixes and lets rules grade the logged answers; asks no
// model anything.

#include "engine/study.hpp"

namespace understudy {

/// The document (understudy.plan/1). Brings ingest and sample up to date first.
[[nodiscard]] Result<Json> plan_study(Study& study);

}  // namespace understudy
