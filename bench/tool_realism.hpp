#pragma once
// How like real results made-up ones are, and what each part of the simulated level is worth to
// that: the second half of bench_tools.

#include <string>
#include <vector>

#include "environment/tool_rules.hpp"
#include "environment/tool_steps.hpp"

namespace understudy {

struct LoggedRun {
  std::string task;  ///< runs of one task never answer for one another
  ToolSteps steps;
};

/// With the scripted simulator, each part left out in turn. Prints its tables.
void measure_realism(const std::vector<LoggedRun>& runs, const ToolRules& rules);

/// With a model ("llama/…", "vllm/…") on the first runs. False where it can't be had.
bool measure_model(const std::vector<LoggedRun>& runs, const ToolRules& rules,
                   const std::string& spec, std::size_t runs_max);

}  // namespace understudy
