#pragma once
// One program run beside this one, with its stdin and output in our hands. It gets the environment
// that it is given and nothing else of ours: no keys, no open files.
//
// Thread rule: one thread.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace understudy {

struct ChildOptions {
  std::vector<std::string> argv;  ///< argv[0] is looked for in /usr/local/bin, /usr/bin and /bin
  std::vector<std::string> environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"};
  bool keep_stderr = false;  ///< into the output, as it comes; else it is dropped
  bool stdin_open = false;   ///< write() may be used; else stdin is `input`
  std::string input{};
  std::string extra_input{};  ///< if not empty: what it reads from descriptor 3
};

class ChildProcess {
 public:
  /// Fails with kInfrastructure where no process can be had. A program that is not there ends at
  /// once with exit code 127.
  [[nodiscard]] static Result<ChildProcess> start(const ChildOptions& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Kills it if it still runs.
  ~ChildProcess() { kill(); }

  enum class Io : std::uint8_t { kDone, kTimedOut, kClosed };
  /// All bytes, before the deadline on the clock.
  [[nodiscard]] Io write(std::string_view bytes, const Clock& clock, std::int64_t deadline_ms);
  /// Appends what there is, at most 64 KiB; waits for it until the deadline. kClosed: there will be
  /// no more.
  [[nodiscard]] Io read(std::string& out, const Clock& clock, std::int64_t deadline_ms);

  /// Its end: exit code, or minus the signal that ended it. Waits for it until the deadline.
  [[nodiscard]] std::optional<int> wait(const Clock& clock, std::int64_t deadline_ms);
  /// Ends it and its process group at once. Nothing on one that has ended.
  void kill();
  [[nodiscard]] pid_t id() const { return process_; }

 private:
  ChildProcess() = default;
  bool reap(bool block);

  pid_t process_ = -1;  ///< -1: ended
  int handle_ = -1;     ///< becomes readable when it ends
  int input_ = -1;
  int output_ = -1;
  std::optional<int> status_;
};

}  // namespace understudy
