#pragma once
// The whole study: every stage that is not up to date, in order.

#include "engine/study.hpp"

namespace understudy {

/// The report document. Stops at the first error; what was stored stays, and the next call resumes.
[[nodiscard]] Result<Json> run_pipeline(Study& study);

}  // namespace understudy
