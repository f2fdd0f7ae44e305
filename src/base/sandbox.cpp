#include "base/sandbox.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/file.hpp"
#include "base/seccomp_filter.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65'534;

void append(std::vector<std::string>& argv, std::initializer_list<std::string> more) {
  argv.insert(argv.end(), more);
}

}  // namespace

ChildOptions sandboxed(const SandboxOptions& options, const std::vector<std::string>& argv) {
  ChildOptions child;
  child.extra_input = seccomp_filter();
  std::vector<std::string>& all = child.argv;
  if (::geteuid() == 0) {
    append(all, {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
                 "--no-new-privs"});
  }
  append(all, {"bwrap", "--unshare-all", "--unshare-user", "--disable-userns"});
  append(all, {"--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"});
  append(all, {"--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"});
  append(all, {"--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"});
  append(all, {"--setenv", "LANG", "C.UTF-8", "--setenv", "HOME", "/tmp"});
  for (const std::string& entry : options.environment) {
    const std::size_t equals = entry.find('=');
    UNDERSTUDY_ASSERT(equals != std::string::npos);
    append(all, {"--setenv", entry.substr(0, equals), entry.substr(equals + 1)});
  }
  append(all, {"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin"});
  append(all, {"--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib"});
  append(all, {"--symlink", "usr/lib64", "/lib64"});
  append(all, {"--ro-bind-try", "/etc/alternatives", "/etc/alternatives"});
  append(all, {"--proc", "/proc", "--dev", "/dev"});
  // /dev is memory too: only what has a limit may grow.
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    append(all, {"--size", std::to_string(options.temporary_bytes), "--tmpfs", folder});
  }
  append(all, {"--remount-ro", "/dev"});
  for (const SandboxMount& mount : options.mounts) {
    append(all, {mount.writable ? "--bind" : "--ro-bind", mount.host, mount.inside});
  }
  if (!child.extra_input.empty()) append(all, {"--seccomp", "3"});
  append(all, {"--remount-ro", "/", "--chdir", options.folder, "--"});
  // Inside, where processes are counted for this namespace alone; nobody there may raise a limit.
  // Where the machine itself runs out of memory, this goes first.
  append(all, {"choom", "-n", "1000", "--"});
  append(all, {"prlimit", fmt::format("--as={}", options.memory_bytes),
               fmt::format("--nproc={}", options.processes),
               fmt::format("--fsize={}", options.file_bytes), "--core=0", "--nofile=1024"});
  all.insert(all.end(), argv.begin(), argv.end());
  return child;
}

namespace {

constexpr std::int64_t kMemoryCheckMs = 50;
constexpr int kProcessDepthMax = 1'000;

/// Memory that a process and all below it hold. Where the kernel does not list children, that of
/// the process alone: then its address space times the number of processes is the limit.
std::uint64_t resident_bytes(const std::string& process, int depth = 0) {
  if (depth > kProcessDepthMax) return 0;
  const std::string folder = "/proc/" + process;
  // A process may end between any two of these lines.
  const std::string statm = file_bytes(folder + "/statm").value_or("");  // size, resident, in pages
  const std::vector<std::string_view> pages = split(statm, ' ');
  std::uint64_t resident = 0;
  if (pages.size() > 1) {
    std::from_chars(pages[1].data(), pages[1].data() + pages[1].size(), resident);
  }
  std::uint64_t sum = resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::string children = file_bytes(folder + "/task/" + process + "/children").value_or("");
  for (const std::string_view child : split(children, ' ')) {
    if (!child.empty()) sum += resident_bytes(std::string(child), depth + 1);
  }
  return sum;
}

Result<SandboxResult> run_unchecked(const SandboxOptions& options,
                                    const std::vector<std::string>& argv, const Clock& clock) {
  const std::int64_t deadline_ms = clock.now_ms() + options.time_ms;
  ChildOptions child_options = sandboxed(options, argv);
  child_options.keep_stderr = true;
  child_options.input = options.input;
  UNDERSTUDY_TRY(ChildProcess child, ChildProcess::start(child_options));
  SandboxResult result;
  bool open = true;  // its output, which it may close long before its end
  std::optional<int> status;
  std::int64_t next_check_ms = 0;
  // A return from within kills the child with its handle, and all in its namespace with it.
  while (open || !status) {
    const std::int64_t now_ms = clock.now_ms();
    if (now_ms >= deadline_ms) break;
    const std::int64_t until_ms = std::min(deadline_ms, now_ms + kMemoryCheckMs);
    if (open) {
      open = child.read(result.output, clock, until_ms) != ChildProcess::Io::kClosed;
    } else {
      status = child.wait(clock, until_ms);
    }
    if (result.output.size() > options.output_bytes) {
      result.output.resize(options.output_bytes);
      result.end = SandboxResult::End::kOutputLimit;
      return result;
    }
    if (status || now_ms < next_check_ms) continue;
    next_check_ms = now_ms + kMemoryCheckMs;
    if (resident_bytes(std::to_string(child.id())) > options.memory_bytes) {
      result.end = SandboxResult::End::kMemoryLimit;
      return result;
    }
  }
  if (!status) {
    result.end = SandboxResult::End::kTimedOut;
  } else if (*status < 0) {
    result.end = SandboxResult::End::kKilled;
  } else {
    result.exit_code = *status;
  }
  return result;
}

}  // namespace

Result<void> sandbox_available(const Clock& clock) {
  UNDERSTUDY_TRY(const SandboxResult tried, run_unchecked({}, {"/bin/true"}, clock));
  if (tried.end == SandboxResult::End::kExited && tried.exit_code == 0) return {};
  return unexpected(
      ErrorCode::kUsage,
      tried.exit_code == 127
          ? "commands are not run without a sandbox: install bubblewrap and util-linux"
          : "commands are not run without a sandbox, and bubblewrap can't make one: "
            "user namespaces must be allowed (user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone)");
}

Result<SandboxResult> run_in_sandbox(const SandboxOptions& options,
                                     const std::vector<std::string>& argv, const Clock& clock) {
  UNDERSTUDY_TRY(SandboxResult result, run_unchecked(options, argv, clock));
  // bubblewrap says why it could not start on the same output as the program; only then is it worth
  // asking whether it can at all.
  const bool may_be_ours = result.end == SandboxResult::End::kExited && result.exit_code != 0 &&
                           (result.exit_code == 127 || result.output.starts_with("bwrap:") ||
                            result.output.starts_with("setpriv:"));
  if (may_be_ours) UNDERSTUDY_CHECK(sandbox_available(clock));
  return result;
}

// ---- folders ----

Result<SandboxFolder> SandboxFolder::create() {
  std::error_code failed;
  std::string pattern = (fs::temp_directory_path(failed) / "understudy_sandbox_XXXXXX").string();
  if (failed || ::mkdtemp(pattern.data()) == nullptr) {
    return unexpected(ErrorCode::kInfrastructure, "cannot make a temporary folder for a sandbox");
  }
  SandboxFolder folder(std::move(pattern));
  UNDERSTUDY_CHECK(folder.hand_over());
  return folder;
}

Result<void> SandboxFolder::hand_over() const {
  if (::geteuid() != 0) return {};
  const auto give = [](const fs::path& path) {
    return ::lchown(path.c_str(), kNobody, kNobody) == 0;
  };
  bool given = give(path_);
  std::error_code failed;
  for (auto it = fs::recursive_directory_iterator(path_, failed);
       !failed && it != fs::recursive_directory_iterator(); it.increment(failed)) {
    given = give(it->path()) && given;
  }
  if (given && !failed) return {};
  return unexpected(ErrorCode::kInfrastructure, "cannot hand a folder over to the sandbox",
                    {.file = path_, .line = {}, .byte_offset = {}});
}

SandboxFolder::SandboxFolder(SandboxFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

SandboxFolder& SandboxFolder::operator=(SandboxFolder&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

namespace {

/// A program may have taken from its folders the right to look into them.
void open_folders(const fs::path& folder) {
  ::chmod(folder.c_str(), 0700);
  std::error_code failed;
  for (auto it = fs::directory_iterator(folder, failed); !failed && it != fs::directory_iterator();
       it.increment(failed)) {
    std::error_code unknown;
    if (it->symlink_status(unknown).type() == fs::file_type::directory) open_folders(it->path());
  }
}

}  // namespace

SandboxFolder::~SandboxFolder() {
  if (path_.empty()) return;
  std::error_code ignored;
  open_folders(path_);
  fs::remove_all(path_, ignored);
}

}  // namespace understudy
