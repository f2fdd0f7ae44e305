#pragma once
// How messages of the Model Context Protocol get to a server and back: over its stdin and stdout,
// a line each, or as HTTP posts ("streamable HTTP"), each answered by JSON or by a stream of
// events.
//
// Thread rule: one thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/sandbox.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

/// A program that is started, or a URL; one of the two.
struct McpServer {
  std::vector<std::string> argv{};
  std::vector<std::string> environment{};   ///< "NAME=value", beside PATH and LANG
  std::optional<SandboxOptions> sandbox{};  ///< the program runs in it, without a network
  /// http or https. Whether anything may be sent to its host is for the caller to know. Redirects
  /// are not followed, and no proxy of the environment is asked.
  std::string url{};
  std::vector<std::string> headers{};  ///< "Name: value"; may hold a key, so never printed
  std::int64_t start_ms = 30'000;      ///< until it has said what it is and which tools it has
  std::int64_t call_ms = 30'000;       ///< for each call
  std::size_t answer_bytes_max = std::size_t{4} << 20;  ///< between two of our questions
};

template <class T>
using McpOutcome = std::variant<T, ToolTrouble>;

class McpChannel {
 public:
  virtual ~McpChannel() = default;
  /// Bytes are counted anew: a question of ours is about to be sent.
  virtual void begin_question() = 0;
  [[nodiscard]] virtual ToolTrouble send(std::string_view message, std::int64_t deadline_ms) = 0;
  /// Until what was sent has arrived; for notifications, which have no answer.
  [[nodiscard]] virtual ToolTrouble flush(std::int64_t deadline_ms) = 0;
  /// The next message of the server, whichever it is.
  [[nodiscard]] virtual ToolTrouble receive(std::string& message, std::int64_t deadline_ms) = 0;
  /// The version of the protocol that both sides speak.
  virtual void agreed(std::string_view /*version*/) {}
};

[[nodiscard]] McpOutcome<std::unique_ptr<McpChannel>> open_mcp_channel(const McpServer& server,
                                                                       const Clock& clock);

/// The two kinds; open_mcp_channel chooses.
[[nodiscard]] McpOutcome<std::unique_ptr<McpChannel>> open_mcp_stdio(const McpServer& server,
                                                                     const Clock& clock);
[[nodiscard]] McpOutcome<std::unique_ptr<McpChannel>> open_mcp_http(const McpServer& server,
                                                                    const Clock& clock);

}  // namespace understudy
