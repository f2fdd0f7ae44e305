#pragma once
// A Model Context Protocol server that the user names, over its stdin and stdout: one JSON-RPC
// message a line. Answers are matched by id, whatever their order; what the server asks us in
// between is answered or declined. A server that dies, hangs, floods or talks nonsense is a
// ToolTrouble, after which the client is of no more use: start another.
//
// Thread rule: one thread.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/child_process.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

struct McpServer {
  std::vector<std::string> argv{};
  std::vector<std::string> environment{};  ///< "NAME=value", beside PATH and LANG
  std::int64_t start_ms = 30'000;          ///< until it has said what it is and which tools it has
  std::int64_t call_ms = 30'000;           ///< for each call
  std::size_t answer_bytes_max = std::size_t{4} << 20;  ///< written between two of our messages
};

struct McpResult {
  std::string text{};  ///< its text parts, joined by newlines
  bool is_error = false;
  bool has_other_parts = false;  ///< images, audio, resources
};

template <class T>
using McpOutcome = std::variant<T, ToolTrouble>;

class McpClient {
 public:
  /// Starts the server, greets it and takes the list of its tools.
  [[nodiscard]] static McpOutcome<McpClient> start(const McpServer& server, const Clock& clock);

  /// The tools with their schemas, as the server lists them: a JSON array.
  [[nodiscard]] const Json& tools() const { return tools_; }
  [[nodiscard]] bool has_tool(std::string_view name) const;

  [[nodiscard]] McpOutcome<McpResult> call(const ToolCall& call);
  /// Calls that are made at once; results in the order of the calls.
  [[nodiscard]] McpOutcome<std::vector<McpResult>> call_all(const std::vector<ToolCall>& calls);

 private:
  McpClient(const McpServer& server, const Clock& clock, ChildProcess process)
      : server_(server), clock_(&clock), process_(std::move(process)) {}
  [[nodiscard]] ToolTrouble send(const Json& message, std::int64_t deadline_ms);
  [[nodiscard]] ToolTrouble request(std::string_view method, Json params, std::int64_t deadline_ms,
                                    std::int64_t& id);
  [[nodiscard]] McpOutcome<Json> response(std::int64_t id, std::int64_t deadline_ms);
  [[nodiscard]] ToolTrouble take_line(std::string_view line, std::int64_t deadline_ms);
  [[nodiscard]] ToolTrouble greet();
  [[nodiscard]] ToolTrouble list_tools(std::int64_t deadline_ms);

  McpServer server_;
  const Clock* clock_;
  ChildProcess process_;
  Json tools_ = Json::array();
  std::int64_t last_id_ = 0;
  std::string received_;                  // of which no whole line has been taken
  std::size_t received_bytes_ = 0;        // since our last message
  std::map<std::int64_t, Json> answers_;  // that nobody has waited for yet
};

/// The stateful level of the chain: one server process for one trajectory, started when it is first
/// needed, so that no two trajectories share a world.
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
