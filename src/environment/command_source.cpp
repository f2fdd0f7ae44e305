#include "environment/command_source.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/json.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::int64_t kCloneMs = 120'000;

Unexpected no_repository(const CommandTool& tool, std::string message) {
  return unexpected(ErrorCode::kUsage, std::move(message),
                    {.file = tool.repository, .line = {}, .byte_offset = {}});
}

/// Git with nothing of this machine's configuration.
const std::vector<std::string> kGitEnvironment = {
    "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0"};

/// --no-local goes through git's own transport, which trusts nothing in the repository.
Result<void> clone(const CommandTool& tool, const std::string& target, const Clock& clock) {
  ChildOptions options;
  options.argv = {"git",           "-c", "safe.directory=*", "clone", "-q", "--no-local",
                  "--no-checkout", "--", tool.repository,    target};
  options.environment.insert(options.environment.end(), kGitEnvironment.begin(),
                             kGitEnvironment.end());
  UNDERSTUDY_TRY(ChildProcess git, ChildProcess::start(options));
  if (git.wait(clock, clock.now_ms() + kCloneMs) == 0) return {};
  return no_repository(tool, "cannot be copied: is it a git repository?");
}

SandboxOptions inside(const CommandTool& tool, const std::string& copy) {
  SandboxOptions options = tool.limits;
  options.mounts = {{.host = copy, .inside = tool.folder, .writable = true}};
  options.folder = tool.folder;
  options.environment.insert(options.environment.end(), kGitEnvironment.begin(),
                             kGitEnvironment.end());
  return options;
}

/// The shell command of a call; nothing where the argument is not there.
std::optional<std::string> command_of(const CommandTool& tool, const ToolCall& call) {
  const Result<Json> arguments = parse_json(call.arguments);
  if (!arguments || !arguments->is_object()) return std::nullopt;
  const auto found = arguments->find(tool.argument);
  if (found == arguments->end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::string described(const SandboxResult& result, std::int64_t time_ms) {
  std::string text = result.output;
  if (!text.empty() && text.back() == '\n') text.pop_back();
  const auto add = [&](const std::string& line) { text += (text.empty() ? "" : "\n") + line; };
  switch (result.end) {
    case SandboxResult::End::kExited:
      if (result.exit_code != 0) add(fmt::format("[exit code {}]", result.exit_code));
      break;
    case SandboxResult::End::kKilled:
      add("[killed]");
      break;
    case SandboxResult::End::kTimedOut:
      add(fmt::format("[stopped after {} s]", time_ms / 1000));
      break;
    case SandboxResult::End::kMemoryLimit:
      add("[stopped: out of memory]");
      break;
    case SandboxResult::End::kOutputLimit:
      add("[output cut off]");
      break;
  }
  return text;
}

}  // namespace

Result<SandboxFolder> checked_out(const CommandTool& tool, const Clock& clock) {
  UNDERSTUDY_CHECK(sandbox_available(clock));
  if (tool.commit.starts_with('-') || tool.commit.empty()) {
    return no_repository(tool, "needs the commit that its trajectories were recorded at");
  }
  UNDERSTUDY_TRY(SandboxFolder copy, SandboxFolder::create());
  UNDERSTUDY_CHECK(clone(tool, copy.path(), clock));
  UNDERSTUDY_CHECK(copy.hand_over());
  SandboxOptions options = inside(tool, copy.path());
  options.time_ms = kCloneMs;
  UNDERSTUDY_TRY(const SandboxResult done,
                 run_in_sandbox(options,
                                {"/bin/sh", "-c",
                                 "git -c core.hooksPath=/dev/null -c advice.detachedHead=false "
                                 "checkout -q \"$0\" && git remote remove origin",
                                 tool.commit},
                                clock));
  if (done.end == SandboxResult::End::kExited && done.exit_code == 0) return copy;
  return no_repository(tool, fmt::format("has no commit \"{}\"", terminal_safe(tool.commit)));
}

ToolAnswer CommandSource::perform(const ToolCall& call) {
  const std::optional<std::string> command = command_of(tool_, call);
  if (!command) {
    return {.level = ToolLevel::kCommand,
            .result = fmt::format("Error: the argument \"{}\" is missing", tool_.argument),
            .trouble = ToolTrouble::kNone};
  }
  if (!copy_) {
    Result<SandboxFolder> copy = checked_out(tool_, clock_);
    if (!copy) {
      refusal_ = copy.error();
      return {.trouble = ToolTrouble::kSandboxRefused};
    }
    copy_ = *std::move(copy);
  }
  const Result<SandboxResult> done =
      run_in_sandbox(inside(tool_, copy_->path()), {"/bin/bash", "-c", *command}, clock_);
  if (!done) {
    refusal_ = done.error();
    return {.trouble = ToolTrouble::kSandboxRefused};
  }
  return {.level = ToolLevel::kCommand,
          .result = described(*done, tool_.limits.time_ms),
          .trouble = ToolTrouble::kNone};
}

}  // namespace understudy
