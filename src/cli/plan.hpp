#pragma once
// What `plan` prints; `run` prints it too when a pilot has ended.

#include <string>

#include "base/json.hpp"

namespace understudy {

/// The plan (understudy.plan/1) for people.
[[nodiscard]] std::string plan_text(const Json& plan);

}  // namespace understudy
