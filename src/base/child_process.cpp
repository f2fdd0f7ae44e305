#include "base/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

namespace understudy {
namespace {

constexpr std::size_t kReadBytes = 65'536;

void close_once(int& descriptor) {
  if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
}

/// A socket instead of a pipe for stdin: writing to a program that has ended is then an error and
/// not a signal. -1 twice when there are none left.
std::array<int, 2> socket_pair() {
  std::array<int, 2> ends = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return {-1, -1};
  return ends;
}

/// A file of this text that no folder holds, at its beginning; -1 where there is no room for it.
int memory_file(std::string_view text) {
  const int file = ::memfd_create("understudy_input", MFD_CLOEXEC);
  while (file >= 0 && !text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      ::close(file);
      return -1;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (file >= 0) ::lseek(file, 0, SEEK_SET);
  return file;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

std::string found_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  for (const char* folder : {"/usr/local/bin/", "/usr/bin/"}) {
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  return "/bin/" + name;
}

constexpr int kExtraInput = STDERR_FILENO + 1;

pid_t spawn(const ChildOptions& options, int input, int output, int extra) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  if (input >= 0) {
    posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  if (options.keep_stderr) {
    posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  // Last of all: it may take the place of one of those above.
  if (extra >= 0) posix_spawn_file_actions_adddup2(&files, extra, kExtraInput);
  posix_spawn_file_actions_addclosefrom_np(&files, extra >= 0 ? kExtraInput + 1 : kExtraInput);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A group of its own: Ctrl-C is ours to handle, and it ends with us. Signals as a program expects
  // them, whatever we block or ignore.
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> arguments = options.argv;
  std::vector<std::string> environment = options.environment;
  pid_t process = -1;
  const int failed =
      ::posix_spawn(&process, found_program(arguments.front()).c_str(), &files, &attributes,
                    pointers(arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return failed == 0 ? process : -failed;
}

/// Waits for an event; false at the deadline.
bool wait_for(int descriptor, short events, const Clock& clock, std::int64_t deadline_ms) {
  for (;;) {
    const std::int64_t left = deadline_ms - clock.now_ms();
    pollfd one = {descriptor, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
    if (ready > 0) return true;
    if (left <= 0 && ready == 0) return false;
  }
}

}  // namespace

Result<ChildProcess> ChildProcess::start(const ChildOptions& options) {
  UNDERSTUDY_ASSERT(!options.argv.empty());
  ChildProcess child;
  std::array<int, 2> input = {-1, -1};
  std::array<int, 2> output = {-1, -1};
  const bool has_input = options.stdin_open || !options.input.empty();
  if (options.stdin_open) {
    input = socket_pair();
  } else if (has_input) {
    input[1] = memory_file(options.input);
  }
  const bool has_extra = !options.extra_input.empty();
  int extra = has_extra ? memory_file(options.extra_input) : -1;
  const bool piped = ::pipe2(output.data(), O_CLOEXEC) == 0;
  child.input_ = input[0];
  child.output_ = output[0];
  pid_t process = -EMFILE;
  if (piped && (!has_input || input[1] >= 0) && (!has_extra || extra >= 0)) {
    ::fcntl(output[0], F_SETFL, O_NONBLOCK);
    process = spawn(options, input[1], output[1], extra);
  }
  close_once(extra);
  close_once(input[1]);
  close_once(output[1]);
  if (process == -ENOENT || process == -EACCES) {
    close_once(child.output_);
    child.status_ = 127;
    return child;
  }
  if (process < 0) {
    return unexpected(ErrorCode::kInfrastructure,
                      "cannot start another process: no processes or file descriptors left");
  }
  child.process_ = process;
  child.handle_ = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)),
      handle_(std::exchange(other.handle_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      status_(other.status_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this == &other) return *this;
  kill();
  process_ = std::exchange(other.process_, -1);
  handle_ = std::exchange(other.handle_, -1);
  input_ = std::exchange(other.input_, -1);
  output_ = std::exchange(other.output_, -1);
  status_ = other.status_;
  return *this;
}

ChildProcess::Io ChildProcess::write(std::string_view bytes, const Clock& clock,
                                     std::int64_t deadline_ms) {
  while (!bytes.empty()) {
    if (input_ < 0) return Io::kClosed;
    const ssize_t sent = ::send(input_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      close_once(input_);
    } else if (!wait_for(input_, POLLOUT, clock, deadline_ms)) {
      return Io::kTimedOut;
    }
  }
  return Io::kDone;
}

ChildProcess::Io ChildProcess::read(std::string& out, const Clock& clock,
                                    std::int64_t deadline_ms) {
  if (output_ < 0) return Io::kClosed;
  std::array<char, kReadBytes> buffer;
  for (;;) {
    const ssize_t count = ::read(output_, buffer.data(), buffer.size());
    if (count > 0) {
      out.append(buffer.data(), static_cast<std::size_t>(count));
      return Io::kDone;
    }
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      close_once(output_);
      return Io::kClosed;
    }
    if (!wait_for(output_, POLLIN, clock, deadline_ms)) return Io::kTimedOut;
  }
}

bool ChildProcess::reap(bool block) {
  int status = 0;
  pid_t reaped = -1;
  do {
    reaped = ::waitpid(process_, &status, block ? 0 : WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  if (reaped == 0) return false;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  process_ = -1;
  close_once(handle_);
  return true;
}

std::optional<int> ChildProcess::wait(const Clock& clock, std::int64_t deadline_ms) {
  if (process_ >= 0 && !reap(false) && handle_ >= 0 &&
      wait_for(handle_, POLLIN, clock, deadline_ms)) {
    reap(true);
  }
  return status_;
}

void ChildProcess::kill() {
  if (process_ >= 0) {
    ::kill(-process_, SIGKILL);
    ::kill(process_, SIGKILL);
    reap(true);
  }
  close_once(input_);
  close_once(output_);
}

}  // namespace understudy
