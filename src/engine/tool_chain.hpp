#pragma once
// What answers the tool calls of replayed agents: the chain of environment/, made from the study's
// logs and [tools]. Shared by all trajectories, each of which has a world of its own.

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/study.hpp"
#include "environment/tool_world.hpp"
#include "records/trajectory.hpp"

namespace understudy {

/// The tools of one trajectory. One thread at a time.
class TrajectoryTools {
 public:
  TrajectoryTools(const ToolRules& rules, std::vector<std::unique_ptr<ToolSource>> sources);

  /// What happened before: the calls of the prefix, with what the log holds.
  void observe(const std::vector<Message>& messages, std::size_t count);
  /// What an earlier session was answered.
  void restore(const TrajectoryStep& step);
  /// An event for each call, in order. Behind one that nobody answers, none is asked any more.
  [[nodiscard]] std::vector<ToolEvent> answer(const std::vector<ToolCall>& calls);

 private:
  std::vector<std::unique_ptr<ToolSource>> sources_;
  ToolWorld world_;
};

class ToolChain {
 public:
  /// Reads the tool calls of all logs. Fails with kUsage where a source of [tools] can't be had.
  [[nodiscard]] static Result<std::unique_ptr<ToolChain>> load(Study& study);

  [[nodiscard]] std::unique_ptr<TrajectoryTools> open(std::int64_t conversation) const;
  /// Whether a call may run a program, and so wait for it.
  [[nodiscard]] bool may_wait() const { return !tools_.servers.empty() || tools_.command; }

 private:
  ToolChain(const StudyConfig::Tools& tools, const Clock& clock) : tools_(tools), clock_(clock) {}
  Result<void> check_sources() const;

  StudyConfig::Tools tools_;
  const Clock& clock_;
  ToolRules rules_;
  RecordedCalls calls_;
  std::unordered_map<std::int64_t, std::uint32_t> trajectories_;  // by conversation with calls
};

/// Why a trajectory that ran into this event ends: a call of a tool that was not offered, one whose
/// arguments are no JSON object, or one that the chain could not answer.
[[nodiscard]] Termination termination_of(const ToolCall& call, std::string_view offered_tools);

/// Ids that are empty or were given before get new ones: a result names its call.
void make_ids_unique(std::vector<ToolCall>& calls, const std::vector<Message>& before);

}  // namespace understudy
