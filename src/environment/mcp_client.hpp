#pragma once
// A Model Context Protocol server that the user names, over its stdin and stdout or over HTTP
// (mcp_channel.hpp). Answers are matched by id, whatever their order; what the server asks us in
// between is answered or declined. A server that dies, hangs, floods or talks nonsense is a
// ToolTrouble, after which the client is of no more use: start another.
//
// Thread rule: one thread.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "environment/mcp_channel.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

struct McpResult {
  std::string text{};  ///< its text parts, joined by newlines
  bool is_error = false;
  bool has_other_parts = false;  ///< images, audio, resources
};

class McpClient {
 public:
  /// Starts the server, greets it and takes the list of its tools.
  [[nodiscard]] static McpOutcome<McpClient> start(const McpServer& server, const Clock& clock);

  /// The tools with their schemas, as the server lists them: a JSON array.
  [[nodiscard]] const Json& tools() const { return tools_; }
  [[nodiscard]] bool has_tool(std::string_view name) const { return tool(name) != nullptr; }
  /// As the server lists it; null where it does not.
  [[nodiscard]] const Json* tool(std::string_view name) const;

  [[nodiscard]] McpOutcome<McpResult> call(const ToolCall& call);
  /// Calls that are made at once; results in the order of the calls.
  [[nodiscard]] McpOutcome<std::vector<McpResult>> call_all(const std::vector<ToolCall>& calls);

 private:
  McpClient(const McpServer& server, const Clock& clock, std::unique_ptr<McpChannel> channel)
      : server_(server), clock_(&clock), channel_(std::move(channel)) {}
  [[nodiscard]] ToolTrouble send(const Json& message, std::int64_t deadline_ms);
  [[nodiscard]] ToolTrouble request(std::string_view method, Json params, std::int64_t deadline_ms,
                                    std::int64_t& id);
  [[nodiscard]] McpOutcome<Json> response(std::int64_t id, std::int64_t deadline_ms);
  [[nodiscard]] ToolTrouble take(std::string_view text, std::int64_t deadline_ms);
  [[nodiscard]] ToolTrouble greet();
  [[nodiscard]] ToolTrouble list_tools(std::int64_t deadline_ms);

  McpServer server_;
  const Clock* clock_;
  std::unique_ptr<McpChannel> channel_;
  Json tools_ = Json::array();
  std::int64_t last_id_ = 0;
  std::map<std::int64_t, Json> answers_;  // that nobody has waited for yet
};

/// The stateful level of the chain: a server that is the user's own, such as one over a copy of a
/// database, which every call of the trajectory may change. One process or session for one
/// trajectory, started when it is first needed, so that no two trajectories share a world. A server
/// of the real world is a ConnectorSource.
class McpSource final : public StatefulSource {
 public:
  McpSource(McpServer server, const Clock& clock) : server_(std::move(server)), clock_(clock) {}

 protected:
  [[nodiscard]] ToolAnswer perform(const ToolCall& call) override;
  [[nodiscard]] bool knows(const std::string& tool) override;
  void restart() override {
    client_.reset();
    start_trouble_ = ToolTrouble::kNone;
  }

 private:
  [[nodiscard]] ToolTrouble ready();

  McpServer server_;
  const Clock& clock_;
  std::optional<McpClient> client_;
  ToolTrouble start_trouble_ = ToolTrouble::kNone;  ///< it could not be started
};

}  // namespace understudy
