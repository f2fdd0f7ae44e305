#pragma once
// The baseline "challenging prompts": what a worst-case set foretells of the release.

#include <map>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "grading/behavior.hpp"
#include "records/estimate.hpp"

namespace understudy {

/// By behavior; empty where there is no such set. From forecast.challenging_prompts, the user's own
/// table of rates; else, where prefixes were drawn by risk, from the tenth of the draws with the
/// highest risk: the old rate times how much oftener X does it there than Y did, half an event
/// added to both.
[[nodiscard]] Result<std::map<std::string, Rate>> challenging_prompts(
    Study& study, const std::vector<Behavior>& behaviors, const Json& report);

}  // namespace understudy
