#pragma once
// The real world, read only: a server that others use as well. What reaches it is on a list that
// the user wrote, reads as far as anybody knows, and comes from a trajectory that has changed
// nothing yet, since a server that has not heard of a change can't show it. Everything else is for
// the levels after it; nothing that a replayed agent does is ever carried out there.
//
// One connector serves all worlds of a study, from any thread; one call at a time.

#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/clock.hpp"
#include "environment/mcp_client.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

class ConnectorSource final : public ToolSource {
 public:
  /// `allowed`: names of tools. The rules outlive it.
  ConnectorSource(McpServer server, std::set<std::string> allowed, const ToolRules& rules,
                  const Clock& clock)
      : server_(std::move(server)), allowed_(std::move(allowed)), rules_(rules), clock_(clock) {}

  [[nodiscard]] std::optional<ToolAnswer> answer(const ToolQuestion& question) override;

  /// Whether a call of this tool could ever reach the server, by what is known without asking it.
  [[nodiscard]] bool admits(const std::string& tool) const {
    return allowed_.contains(tool) && rules_.effect(tool) == ToolEffect::kRead;
  }
  /// Calls that it had to leave to others because the server could not be asked, and why the last.
  [[nodiscard]] std::uint64_t failed() const;
  [[nodiscard]] ToolTrouble trouble() const;

 private:
  [[nodiscard]] bool ready();

  McpServer server_;
  std::set<std::string> allowed_;
  const ToolRules& rules_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // of all below
  std::optional<McpClient> client_;
  int starts_ = 0;
  std::uint64_t failed_ = 0;
  ToolTrouble trouble_ = ToolTrouble::kNone;
};

/// What a server says of its own tool: readOnlyHint false or destructiveHint true.
[[nodiscard]] bool says_it_changes(const Json& tool);

}  // namespace understudy
