#pragma once
// What each tool of the logs would be answered by, without asking anybody: every logged call is
// left out in turn, and the first level of the chain that could answer it is counted. A replayed
// agent that does what the deployed one did finds all of it recorded; this is about one that
// doesn't.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "environment/recorded_calls.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

class ToolDryRun {
 public:
  /// The level behind recorded and keyed that would take a call of this tool; `changed`: the
  /// trajectory has changed its world before. kNone: nobody.
  using Beyond = std::function<ToolLevel(const std::string& tool, bool changed)>;

  /// The rules outlive it.
  ToolDryRun(const ToolRules& rules, Beyond beyond) : rules_(rules), beyond_(std::move(beyond)) {}

  /// A tool that agents were offered, whether they called it or not.
  void offer(const std::string& tool) { tools_[tool].offered = true; }
  /// First all trajectories …
  std::uint32_t learn(const ToolSteps& steps) { return recorded_.add(rules_, {}, steps); }
  /// … then each once more, by its number from learn().
  void count(std::uint32_t trajectory, const ToolSteps& steps);

  struct Tool {
    bool offered = false;
    std::uint64_t calls = 0;
    std::uint64_t errors = 0;  ///< results that say that the call failed
    std::array<std::uint64_t, kToolLevelCount> by_level{};
    [[nodiscard]] std::uint64_t by(ToolLevel level) const {
      return by_level[static_cast<std::size_t>(level)];
    }
  };
  [[nodiscard]] const std::map<std::string, Tool>& tools() const { return tools_; }

 private:
  const ToolRules& rules_;
  Beyond beyond_;
  RecordedCalls recorded_;
  std::map<std::string, Tool> tools_;
};

}  // namespace understudy
