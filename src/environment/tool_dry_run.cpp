#include "environment/tool_dry_run.hpp"

namespace understudy {

void ToolDryRun::count(std::uint32_t trajectory, const ToolSteps& steps) {
  WorldState state;
  for (std::size_t i = 0; i < steps.steps.size(); ++i) {
    const ToolStep& step = steps.steps[i];
    const std::string canonical = rules_.canonical(step.call);
    const Digest question = state.question(canonical);
    Tool& tool = tools_[step.call.name];
    ++tool.calls;
    tool.errors += step.result && is_error_result(*step.result) ? 1U : 0U;
    ToolLevel level = ToolLevel::kNone;
    if (recorded_.in_trajectory(trajectory, question, static_cast<std::uint32_t>(i))) {
      level = ToolLevel::kRecorded;
    } else if (recorded_.elsewhere(trajectory, question)) {
      level = ToolLevel::kKeyed;
    } else {
      level = beyond_(step.call.name, !state.changes().empty());
    }
    ++tool.by_level[static_cast<std::size_t>(level)];
    state.took(rules_, step.call, canonical, step.result);
  }
}

}  // namespace understudy
