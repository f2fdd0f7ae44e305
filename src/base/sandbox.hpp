#pragma once
// The one place that says how a program of somebody else's is run: bubblewrap with namespaces of
// its own for everything, no network, no capabilities, nothing writable but the folders named,
// limits on time, memory, processes and output.
//
// As root the usual flags of bubblewrap are no sandbox: a remount reached the host, and limits on
// processes do not hold for root's user id. So root becomes "nobody" before bubblewrap starts, and
// nobody owns the folders it may write. Where user namespaces are not to be had, it refuses.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/child_process.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace understudy {

struct SandboxMount {
  std::string host;  ///< a file or folder; nobody must be able to reach it where we are root
  std::string inside;
  bool writable = false;
};

struct SandboxOptions {
  std::vector<SandboxMount> mounts;
  std::string folder = "/";              ///< where the program begins
  std::vector<std::string> environment;  ///< "NAME=value", beside PATH, LANG and HOME=/tmp
  std::int64_t time_ms = 10'000;
  std::uint64_t memory_bytes = std::uint64_t{1}
                               << 30;  ///< together; no process may even reserve more
  std::uint64_t file_bytes = std::uint64_t{256} << 20;      ///< of each file
  std::uint64_t temporary_bytes = std::uint64_t{64} << 20;  ///< of /tmp and /dev/shm each
  std::uint32_t processes = 64;
  std::size_t output_bytes = std::size_t{1} << 20;
  std::string input{};  ///< of its stdin
};

struct SandboxResult {
  enum class End : std::uint8_t { kExited, kKilled, kTimedOut, kOutputLimit, kMemoryLimit };
  End end = End::kExited;
  int exit_code = 0;   ///< kExited: 0 to 255
  std::string output;  ///< stdout and stderr as they came, up to the limit
};

/// The program with everything before it that makes the sandbox, and the filter of its system
/// calls. Limits on time, output and memory together are for whoever runs it to hold.
[[nodiscard]] ChildOptions sandboxed(const SandboxOptions& options,
                                     const std::vector<std::string>& argv);

/// kUsage, with what to do, where no sandbox can be had: no bubblewrap, no user namespaces. Asks
/// once by running /bin/true.
[[nodiscard]] Result<void> sandbox_available(const Clock& clock);

/// Runs a program to its end or its limit; then nothing of it is left. Fails with kUsage where no
/// sandbox can be had and with kInfrastructure where no process can.
[[nodiscard]] Result<SandboxResult> run_in_sandbox(const SandboxOptions& options,
                                                   const std::vector<std::string>& argv,
                                                   const Clock& clock);

/// A new empty folder that a sandbox may be given to write in, removed with all in it at the end.
/// Links in it are never followed.
class SandboxFolder {
 public:
  [[nodiscard]] static Result<SandboxFolder> create();
  SandboxFolder(SandboxFolder&& other) noexcept;
  SandboxFolder& operator=(SandboxFolder&& other) noexcept;
  SandboxFolder(const SandboxFolder&) = delete;
  SandboxFolder& operator=(const SandboxFolder&) = delete;
  ~SandboxFolder();
  [[nodiscard]] const std::string& path() const { return path_; }
  /// What has been put into it becomes the sandbox's own, links as links.
  [[nodiscard]] Result<void> hand_over() const;

 private:
  explicit SandboxFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace understudy
