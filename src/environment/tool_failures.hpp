#pragma once
// How often each tool failed in the logs, and what it said then; and the same failures again, at
// the same rate, as a pure function of the seed. A world whose tools never fail is one by which a
// simulated run is told from a real one.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "environment/tool_steps.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

class ToolFailures {
 public:
  void learn(const ToolSteps& steps);

  struct Tool {
    std::uint64_t results = 0;
    std::uint64_t errors = 0;
    std::map<std::string, std::uint64_t> texts;  ///< how often each error text was seen
    [[nodiscard]] double rate() const {
      return results == 0 ? 0.0 : static_cast<double>(errors) / static_cast<double>(results);
    }
  };
  [[nodiscard]] const std::map<std::string, Tool, std::less<>>& tools() const { return tools_; }

  /// The text with which this call fails, or nothing. A function of its arguments alone; calls are
  /// independent of one another. A tool that the logs don't hold never fails.
  [[nodiscard]] std::optional<std::string> draw(std::uint64_t seed, std::uint64_t trajectory,
                                                std::uint32_t number, std::string_view tool) const;

 private:
  std::map<std::string, Tool, std::less<>> tools_;
};

/// Stands in the chain before the sources whose results are made up, which never fail by
/// themselves; what was logged and what a real server says have their own failures.
class FailureSource final : public ToolSource {
 public:
  FailureSource(const ToolFailures& failures, std::uint64_t seed, std::uint64_t trajectory)
      : failures_(failures), seed_(seed), trajectory_(trajectory) {}
  [[nodiscard]] std::optional<ToolAnswer> answer(const ToolQuestion& question) override;

 private:
  const ToolFailures& failures_;
  std::uint64_t seed_;
  std::uint64_t trajectory_;
};

}  // namespace understudy
