#include "model/sandboxed_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>

namespace understudy {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

void close_once(int& descriptor) {
  if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::lseek(descriptor, 0, SEEK_SET) == 0;
}

// With these as its stdin and stdout, and nothing else of ours. -1: it could not be started.
pid_t spawn(const std::vector<std::string>& argv, int input, int output) {
  std::vector<std::string> copies = argv;
  std::vector<char*> arguments;
  for (std::string& argument : copies) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  std::array<char*, 1> environment = {nullptr};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A group of its own: Ctrl-C is ours to handle, and it ends with us.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t process = -1;
  const int failed = posix_spawnp(&process, arguments.front(), &files, &attributes,
                                  arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return failed == 0 ? process : -1;
}

}  // namespace

std::vector<std::string> SandboxedProcess::sandbox(const std::string& folder,
                                                   const std::vector<std::string>& files) {
  // As root the usual flags are no sandbox: without a user namespace that can't make others, and
  // without dropped capabilities, a remount reaches the host.
  std::vector<std::string> argv = {"bwrap",
                                   "--unshare-all",
                                   "--unshare-user",
                                   "--disable-userns",
                                   "--uid",
                                   "65534",
                                   "--gid",
                                   "65534",
                                   "--cap-drop",
                                   "ALL",
                                   "--die-with-parent",
                                   "--new-session",
                                   "--clearenv",
                                   "--setenv",
                                   "PATH",
                                   "/usr/bin:/bin",
                                   "--setenv",
                                   "LANG",
                                   "C.UTF-8",
                                   "--ro-bind",
                                   "/usr",
                                   "/usr",
                                   "--symlink",
                                   "usr/bin",
                                   "/bin",
                                   "--symlink",
                                   "usr/lib",
                                   "/lib",
                                   "--symlink",
                                   "usr/lib64",
                                   "/lib64",
                                   "--proc",
                                   "/proc",
                                   "--dev",
                                   "/dev",
                                   "--size",
                                   "67108864",
                                   "--tmpfs",
                                   "/tmp",
                                   "--dir",
                                   "/grader",
                                   "--ro-bind-try",
                                   "/etc/alternatives",
                                   "/etc/alternatives"};
  for (const std::string& file : files) {
    argv.insert(argv.end(), {"--ro-bind", folder + "/" + file, "/grader/" + file});
  }
  argv.insert(argv.end(), {"--remount-ro", "/", "--chdir", "/grader", "--"});
  return argv;
}

Result<SandboxedProcess> SandboxedProcess::start(const std::vector<std::string>& argv,
                                                 std::string_view input) {
  const auto failed = [] {
    return unexpected(ErrorCode::kInfrastructure, "cannot start a process for a command grader");
  };
  const Descriptor stdin_file(::memfd_create("understudy", MFD_CLOEXEC));
  if (stdin_file.get() < 0 || !write_all(stdin_file.get(), input)) return failed();
  std::array<int, 2> pipe = {-1, -1};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return failed();
  Descriptor read_end(pipe[0]);
  const Descriptor write_end(pipe[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  const pid_t process = spawn(argv, stdin_file.get(), write_end.get());
  if (process < 0) return failed();
  const int handle = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
  return SandboxedProcess(process, handle, read_end.release());
}

SandboxedProcess::SandboxedProcess(SandboxedProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)),
      handle_(std::exchange(other.handle_, -1)),
      output_(std::exchange(other.output_, -1)),
      succeeded_(other.succeeded_) {}

SandboxedProcess::~SandboxedProcess() {
  if (process_ >= 0) {
    ::kill(process_, SIGKILL);
    reap(true);
  }
  close_once(output_);
}

void SandboxedProcess::reap(bool wait) {
  int status = 0;
  if (::waitpid(process_, &status, wait ? 0 : WNOHANG) != process_) return;
  succeeded_ = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  process_ = -1;
  close_once(handle_);
}

void SandboxedProcess::read(int timeout_ms, std::string& output) {
  std::array<pollfd, 2> events = {pollfd{output_, POLLIN, 0}, pollfd{handle_, POLLIN, 0}};
  ::poll(events.data(), events.size(), timeout_ms);
  std::array<char, 65'536> buffer{};
  if (output_ >= 0) {
    const ssize_t count = ::read(output_, buffer.data(), buffer.size());
    if (count > 0) output.append(buffer.data(), static_cast<std::size_t>(count));
    if (count == 0) close_once(output_);
  }
  if (process_ >= 0) reap(false);
}

}  // namespace understudy
