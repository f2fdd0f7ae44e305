#pragma once
// `understudy tools`: the dry run of a study's tools. Reads the logs, and starts
// servers of one's own for the list of their tools; no tool is called, no model
// is asked, nothing leaves the machine.

#include <string>

#include "base/json.hpp"
#include "base/result.hpp"
#include "engine/study.hpp"

namespace understudy {

/// understudy.tools/1: per tool what it does, how often it was called and failed, and how many of
/// its logged calls each level would answer if they came from somewhere else.
[[nodiscard]] Result<Json> tools_of_study(Study& study);
[[nodiscard]] std::string tools_text(const Json& document);

}  // namespace understudy
