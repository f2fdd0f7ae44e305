#pragma once
// One run of an external program in bubblewrap, with its stdin given beforehand. Thread rule: one
// thread; the program runs beside it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace understudy {

class SandboxedProcess {
 public:
  /// The arguments of bubblewrap before those of the program. `files` of `folder` are read-only to
  /// it, in its working folder.
  [[nodiscard]] static std::vector<std::string> sandbox(const std::string& folder,
                                                        const std::vector<std::string>& files);
  /// kInfrastructure when no process can be had.
  [[nodiscard]] static Result<SandboxedProcess> start(const std::vector<std::string>& argv,
                                                      std::string_view input);
  SandboxedProcess(SandboxedProcess&& other) noexcept;
  SandboxedProcess& operator=(SandboxedProcess&&) = delete;
  SandboxedProcess(const SandboxedProcess&) = delete;
  SandboxedProcess& operator=(const SandboxedProcess&) = delete;
  /// Kills it, and all that it started, if it still runs.
  ~SandboxedProcess();

  /// Waits at most `timeout_ms` for output or the end, and appends what was written.
  void read(int timeout_ms, std::string& output);
  /// Its output has ended, and it has.
  [[nodiscard]] bool ended() const { return process_ < 0 && output_ < 0; }
  /// Meaningful once it has ended: it exited with 0.
  [[nodiscard]] bool succeeded() const { return succeeded_; }

 private:
  SandboxedProcess(int process, int handle, int output)
      : process_(process), handle_(handle), output_(output) {}
  void reap(bool wait);

  int process_ = -1;  ///< its id; -1: it has ended
  int handle_ = -1;   ///< a file descriptor that becomes readable when it ends
  int output_ = -1;   ///< the read end of its stdout; -1: ended
  bool succeeded_ = false;
};

}  // namespace understudy
