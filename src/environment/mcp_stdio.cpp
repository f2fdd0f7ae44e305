#include <utility>

#include "base/child_process.hpp"
#include "environment/mcp_channel.hpp"

namespace understudy {
namespace {

class StdioChannel final : public McpChannel {
 public:
  StdioChannel(const McpServer& server, const Clock& clock, ChildProcess process)
      : answer_bytes_max_(server.answer_bytes_max), clock_(clock), process_(std::move(process)) {}

  void begin_question() override { received_bytes_ = 0; }
  ToolTrouble flush(std::int64_t) override { return ToolTrouble::kNone; }

  ToolTrouble send(std::string_view message, std::int64_t deadline_ms) override {
    switch (process_.write(std::string(message) + "\n", clock_, deadline_ms)) {
      case ChildProcess::Io::kDone:
        return ToolTrouble::kNone;
      case ChildProcess::Io::kTimedOut:
        return ToolTrouble::kServerHung;
      case ChildProcess::Io::kClosed:
        break;
    }
    return ToolTrouble::kServerDied;
  }

  ToolTrouble receive(std::string& message, std::int64_t deadline_ms) override {
    for (;;) {
      if (const std::size_t end = received_.find('\n'); end != std::string::npos) {
        message = received_.substr(0, end);
        received_.erase(0, end + 1);
        return ToolTrouble::kNone;
      }
      const std::size_t before = received_.size();
      const ChildProcess::Io io = process_.read(received_, clock_, deadline_ms);
      if (io == ChildProcess::Io::kTimedOut) return ToolTrouble::kServerHung;
      if (io == ChildProcess::Io::kClosed) return ToolTrouble::kServerDied;
      received_bytes_ += received_.size() - before;
      if (received_bytes_ > answer_bytes_max_) return ToolTrouble::kServerFlooded;
    }
  }

 private:
  std::size_t answer_bytes_max_;
  const Clock& clock_;
  ChildProcess process_;
  std::string received_;            // of which no whole line has been taken
  std::size_t received_bytes_ = 0;  // since our last question
};

}  // namespace

McpOutcome<std::unique_ptr<McpChannel>> open_mcp_stdio(const McpServer& server,
                                                       const Clock& clock) {
  ChildOptions options;
  if (server.sandbox) {
    SandboxOptions inside = *server.sandbox;
    inside.environment.insert(inside.environment.end(), server.environment.begin(),
                              server.environment.end());
    options = sandboxed(inside, server.argv);
  } else {
    options.argv = server.argv;
    options.environment.insert(options.environment.end(), server.environment.begin(),
                               server.environment.end());
  }
  options.stdin_open = true;
  Result<ChildProcess> process = ChildProcess::start(options);
  if (!process) return ToolTrouble::kServerDied;
  return std::make_unique<StdioChannel>(server, clock, *std::move(process));
}

McpOutcome<std::unique_ptr<McpChannel>> open_mcp_channel(const McpServer& server,
                                                         const Clock& clock) {
  return server.url.empty() ? open_mcp_stdio(server, clock) : open_mcp_http(server, clock);
}

}  // namespace understudy
