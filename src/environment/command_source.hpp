#pragma once
// A tool that runs commands: each trajectory has its own copy of the repository at its commit, in a
// sandbox without a network (base/sandbox.hpp). Commands see what earlier commands did.

#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/sandbox.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

struct CommandTool {
  std::string tool = "bash";         ///< the tool's name in the logs
  std::string argument = "command";  ///< which of its arguments is the shell command
  std::string repository;            ///< a git repository on this machine, which is only read
  std::string commit;                ///< or a branch or tag
  std::string folder = "/repo";      ///< where the copy stands inside the sandbox
  SandboxOptions limits;             ///< mounts and folder are ours to set
};

/// A copy of the repository at the commit, without its remotes. Hooks and filters that come with
/// the repository run in the sandbox or not at all. Fails with kUsage where there is no such
/// repository or commit, or no sandbox.
[[nodiscard]] Result<SandboxFolder> checked_out(const CommandTool& tool, const Clock& clock);

class CommandSource final : public StatefulSource {
 public:
  CommandSource(CommandTool tool, const Clock& clock) : tool_(std::move(tool)), clock_(clock) {}

  /// Set where a command could not be run at all: what the user has to do about it.
  [[nodiscard]] const std::optional<Error>& refusal() const { return refusal_; }

 protected:
  /// Output and, unless it is 0, the exit code in a last line of its own.
  [[nodiscard]] ToolAnswer perform(const ToolCall& call) override;
  [[nodiscard]] bool knows(const std::string& tool) override { return tool == tool_.tool; }
  void restart() override { copy_.reset(); }

 private:
  CommandTool tool_;
  const Clock& clock_;
  std::optional<SandboxFolder> copy_;
  std::optional<Error> refusal_;
};

}  // namespace understudy
