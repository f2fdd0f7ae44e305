#pragma once
// What answers the tool calls of replayed agents: the chain of environment/, made from the study's
// logs, [tools] and roles.simulator. Shared by all trajectories, each of which has a world of its
// own.

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/study.hpp"
#include "environment/connector_source.hpp"
#include "environment/simulated_tool.hpp"
#include "environment/tool_failures.hpp"
#include "environment/tool_world.hpp"
#include "records/trajectory.hpp"

namespace understudy {

/// The tools of one trajectory. One thread at a time.
class TrajectoryTools {
 public:
  /// Rules and kinds outlive it. Without a simulator, what no source knows is not answered; without
  /// kinds, contradictions are not looked for.
  TrajectoryTools(const ToolRules& rules, std::vector<std::unique_ptr<ToolSource>> sources,
                  std::unique_ptr<ToolSimulator> simulator, const FactKinds* kinds);

  /// What happened before: the calls of the prefix, with what the log holds.
  void observe(const std::vector<ToolStep>& steps);
  /// What an earlier session was answered.
  void restore(const TrajectoryStep& step);
  [[nodiscard]] ToolReply ask(const ToolCall& call) { return world_.ask(call); }
  /// What the simulator said to the question that is open.
  [[nodiscard]] ToolReply accept(const DrawOutcome& outcome) { return world_.accept(outcome); }

 private:
  std::vector<std::unique_ptr<ToolSource>> sources_;
  std::unique_ptr<ToolSimulator> simulator_;
  ToolWorld world_;
};

/// As the record of a draw holds it.
[[nodiscard]] ToolEvent event_of(ToolAnswer answer);

[[nodiscard]] McpServer mcp_server(const StudyConfig::Tools::Server& config);

/// What [tools] says of tools.
[[nodiscard]] ToolRules rules_of(const StudyConfig::Tools& tools);

class ToolChain {
 public:
  /// Reads the tool calls of all logs. Fails with kUsage where a source of [tools] can't be had.
  [[nodiscard]] static Result<std::unique_ptr<ToolChain>> load(Study& study);

  /// The tools after the first `cut` messages. `key`: decides what is drawn in it.
  [[nodiscard]] std::unique_ptr<TrajectoryTools> open(const StoredConversation& conversation,
                                                      std::uint32_t cut, std::uint64_t key) const;
  /// Whether a call may run a program, and so wait for it.
  [[nodiscard]] bool may_wait() const { return !tools_.servers.empty() || tools_.command; }

 private:
  ToolChain(const StudyConfig& config, const Clock& clock);
  Result<void> check_sources() const;

  StudyConfig::Tools tools_;
  bool simulates_;
  std::uint64_t seed_;
  const Clock& clock_;
  ToolRules rules_;
  RecordedCalls calls_;
  LoggedTools logged_;
  ToolFailures failures_;
  std::unordered_map<std::int64_t, std::uint32_t> trajectories_;  // by conversation with calls
  std::vector<std::unique_ptr<ConnectorSource>> connectors_;      // of all trajectories
};

/// Why a trajectory that ran into this call ends, which nobody answered: the tool was not offered,
/// the arguments are no JSON object, or the chain knew no answer.
[[nodiscard]] Termination termination_of(const ToolCall& call, std::string_view offered_tools);

/// Ids that are empty or were given before get new ones: a result names its call.
void make_ids_unique(std::vector<ToolCall>& calls, const std::vector<Message>& before);

}  // namespace understudy
