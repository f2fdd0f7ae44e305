// What gets out of the sandbox: nothing. As whoever runs the tests; as root each program is run as
// nobody, so root and user take the same way from there.

#include "base/sandbox.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace understudy {
namespace {

namespace fs = std::filesystem;
using End = SandboxResult::End;
SystemClock g_clock;

class Sandbox : public testing::Test {
 protected:
  void SetUp() override {
    if (const Result<void> available = sandbox_available(g_clock); !available) {
      GTEST_SKIP() << available.error().message;
    }
    Result<SandboxFolder> made = SandboxFolder::create();
    ASSERT_TRUE(made.has_value());
    folder_.emplace(*std::move(made));
    options_.mounts = {{.host = folder_->path(), .inside = "/repo", .writable = true}};
    options_.folder = "/repo";
    options_.time_ms = 20'000;
  }
  SandboxResult run(const std::string& command) {
    const Result<SandboxResult> result =
        run_in_sandbox(options_, {"/bin/bash", "-c", command}, g_clock);
    EXPECT_TRUE(result.has_value());
    return result ? *result : SandboxResult{};
  }
  std::optional<SandboxFolder> folder_;
  SandboxOptions options_;
};

TEST_F(Sandbox, RunsACommandInItsFolder) {
  const SandboxResult first = run("pwd; id -u; echo kept > file; echo to stderr >&2; exit 7");
  EXPECT_EQ(first.output, "/repo\n65534\nto stderr\n");
  EXPECT_EQ(first.exit_code, 7);
  EXPECT_EQ(run("cat file").output, "kept\n");
}

TEST_F(Sandbox, ReadsTheInputThatItIsGiven) {
  EXPECT_EQ(run("wc -c").output, "0\n");
  options_.input = std::string(300'000, 'x');
  EXPECT_EQ(run("wc -c").output, "300000\n");
}

TEST_F(Sandbox, HasNoNetwork) {
  const SandboxResult result =
      run("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; "
          "exec 3<>/dev/tcp/192.0.2.1/80 && echo connected");
  EXPECT_NE(result.exit_code, 0);
  EXPECT_TRUE(result.output.starts_with("lo\n")) << result.output;
  EXPECT_EQ(result.output.find("connected"), std::string::npos);
}

TEST_F(Sandbox, WritesNothingOutside) {
  const SandboxResult result = run(
      "for f in /x /usr/x /usr/bin/x /etc/x /dev/x /proc/sys/kernel/hostname /lib/x /repo/../x; do "
      "echo no > $f && echo \"wrote $f\"; done 2>/dev/null; ls /home /root /var /run 2>/dev/null; "
      "true");
  EXPECT_EQ(result.output, "");
}

TEST_F(Sandbox, DoesNotFollowLinksToTheHost) {
  const fs::path outside =
      fs::temp_directory_path() / ("understudy_outside_" + std::to_string(::getpid()));
  fs::create_directory(outside);
  std::ofstream(outside / "secret") << "secret";
  ::chmod(outside.c_str(), 0777);
  const SandboxResult result = run("ln -s " + outside.string() +
                                   " out; cat out/secret; echo x > out/new; rm -rf out/*; "
                                   "ln -s / root; ls root/home root/var");
  EXPECT_EQ(result.output.find("secret\n"), std::string::npos);
  EXPECT_TRUE(fs::exists(outside / "secret"));
  EXPECT_FALSE(fs::exists(outside / "new"));
  // Handing over and removing the folder leave alone what its links name.
  EXPECT_TRUE(folder_->hand_over().has_value());
  struct ::stat status {};
  ::stat((outside / "secret").c_str(), &status);
  EXPECT_EQ(status.st_uid, ::geteuid());
  const std::string path = folder_->path();
  folder_.reset();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(outside / "secret"));
  fs::remove_all(outside);
}

TEST_F(Sandbox, LeavesNoFolderThatCannotBeRemoved) {
  EXPECT_EQ(run("mkdir -p a/b/c && touch a/b/c/d && chmod 0 a/b/c a/b a .").exit_code, 0);
  const std::string path = folder_->path();
  folder_.reset();
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Sandbox, SeesNoOtherProcesses) {
  const SandboxResult result =
      run("ls -d /proc/[0-9]* | wc -l; cat /proc/1/environ | tr '\\0' '\\n' | grep -c TEST; "
          "kill -9 -1; true");
  const std::string count = result.output.substr(0, result.output.find('\n'));
  EXPECT_LE(std::stoi(count), 5) << result.output;
  const SandboxResult host =
      run("ls -l /proc/1/root/home /proc/1/cwd/../home 2>/dev/null; "
          "head -c 1 /proc/kcore; cat /proc/1/root/etc/shadow");
  EXPECT_EQ(host.output.find("root:"), std::string::npos);
  EXPECT_NE(host.exit_code, 0);
}

TEST_F(Sandbox, CannotRemountOrMakeNamespaces) {
  const SandboxResult result = run(
      "mount -o remount,rw / && echo A; mount -o remount,bind,rw /usr && echo B; "
      "mount -t tmpfs none /tmp && echo C; unshare -U true && echo D; unshare -Ur true && echo E; "
      "umount /proc && echo F; /usr/sbin/chroot / true && echo G; mknod /tmp/d b 8 0 && echo H; "
      "touch /usr/bin/x && echo I; true");
  for (const char* letter : {"A\n", "B\n", "C\n", "D\n", "E\n", "F\n", "G\n", "H\n", "I\n"}) {
    EXPECT_EQ(result.output.find(letter), std::string::npos) << result.output;
  }
  EXPECT_FALSE(fs::exists("/usr/bin/x"));
}

TEST_F(Sandbox, MayNotMakeSystemCallsThatAreWaysOut) {
  std::ofstream(folder_->path() + "/calls.py") << R"(
import ctypes, os, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, number, *arguments):
    got = libc.syscall(number, *[ctypes.c_long(a) for a in arguments])
    print(name, os.strerror(ctypes.get_errno()) if got < 0 else "worked")
if os.uname().machine == "x86_64":
    tried("unshare", 272, 0x10000000)
    tried("clone", 56, 0x10000000 | 17, 0, 0, 0, 0)
    tried("mount", 165, 0, 0, 0, 0, 0)
    tried("io_uring", 425, 1, 0)
    tried("bpf", 321, 0, 0, 0)
    tried("keyctl", 250, 0, 0, 0)
    tried("x32", 0x40000000 + 39)
else:
    for name in "unshare clone mount io_uring bpf keyctl x32".split():
        print(name, "Operation not permitted")
for family in (socket.AF_NETLINK, socket.AF_PACKET, 38):
    try:
        socket.socket(family, socket.SOCK_RAW if family == socket.AF_PACKET else socket.SOCK_DGRAM)
        print("socket worked")
    except OSError as error:
        print("socket", error.strerror)
# What programs need goes on.
socket.socketpair()
socket.socket().close()
thread = threading.Thread(target=lambda: print("thread"))
thread.start()
thread.join()
print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout.strip())
)";
  std::string expected;
  for (const char* name : {"unshare", "clone", "mount", "io_uring", "bpf", "keyctl", "x32"}) {
    expected += std::string(name) + " Operation not permitted\n";
  }
  for (int i = 0; i < 3; ++i) expected += "socket Address family not supported by protocol\n";
  EXPECT_EQ(run("/usr/bin/python3 calls.py").output, expected + "thread\nchild\n");
}

TEST_F(Sandbox, AForkBombMeetsItsLimitAndLeavesNothing) {
  options_.processes = 20;
  options_.time_ms = 1'500;
  const SandboxResult result =
      run("touch started; bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 60.0625");
  EXPECT_TRUE(fs::exists(folder_->path() + "/started"));
  EXPECT_NE(result.end, End::kExited);
  // Gone with its namespace: nobody on this machine sleeps for that long any more.
  int sleepers = 0;
  for (int round = 0; round < 100; ++round) {
    sleepers = 0;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream command(entry.path() / "cmdline");
      std::string text;
      std::getline(command, text);  // a process that goes meanwhile gives nothing
      if (text.find("60.0625") != std::string::npos) ++sleepers;
    }
    if (sleepers == 0) break;
    g_clock.sleep_ms(20);
  }
  EXPECT_EQ(sleepers, 0);
}

TEST_F(Sandbox, LimitsProcesses) {
  options_.processes = 10;
  options_.time_ms = 1'000;  // bash waits and tries again
  const SandboxResult result = run("for i in $(seq 30); do sleep 60 & done; echo all started");
  EXPECT_EQ(result.output.find("all started"), std::string::npos) << result.output;
}

TEST_F(Sandbox, LimitsMemory) {
  options_.memory_bytes = std::uint64_t{128} << 20;
  const SandboxResult result =
      run("head -c 400000000 /dev/zero | tail -c 399999999 | wc -c; echo ${PIPESTATUS[1]}");
  EXPECT_EQ(result.output.find("399999999"), std::string::npos) << result.output;
  // Each below its limit, together over it.
  options_.memory_bytes = std::uint64_t{256} << 20;
  EXPECT_EQ(run("for i in 1 2 3; do (head -c 120000000 /dev/zero | tail -c 119000000 | sleep 30) & "
                "done; wait")
                .end,
            End::kMemoryLimit);
  EXPECT_EQ(
      run("exec > /dev/null 2>&1; (head -c 120000000 /dev/zero | tail -c 119000000 | sleep 30) "
          "& (head -c 120000000 /dev/zero | tail -c 119000000 | sleep 30) & "
          "head -c 120000000 /dev/zero | tail -c 119000000 | sleep 30")
          .end,
      End::kMemoryLimit)
      << "also with its output closed";
  const SandboxResult temporary = run("head -c 100000000 /dev/zero > /tmp/x && echo wrote");
  EXPECT_EQ(temporary.output.find("wrote"), std::string::npos) << temporary.output;
}

TEST_F(Sandbox, LimitsTheSizeOfFiles) {
  options_.file_bytes = 1'000'000;
  const SandboxResult result = run("head -c 2000000 /dev/zero > big && echo wrote");
  EXPECT_EQ(result.output.find("wrote"), std::string::npos);
  EXPECT_LE(fs::file_size(folder_->path() + "/big"), 1'000'000U);
}

TEST_F(Sandbox, LimitsTimeEvenForWhatIgnoresSignals) {
  options_.time_ms = 500;
  const SandboxResult result = run("trap '' TERM HUP INT; echo on; while true; do :; done");
  EXPECT_EQ(result.end, End::kTimedOut);
  EXPECT_EQ(result.output, "on\n");
  EXPECT_EQ(run("(setsid sleep 50 &) ; sleep 50").end, End::kTimedOut);
}

TEST_F(Sandbox, LimitsOutput) {
  options_.output_bytes = 10'000;
  const SandboxResult result = run("yes");
  EXPECT_EQ(result.end, End::kOutputLimit);
  EXPECT_EQ(result.output.size(), 10'000U);
}

TEST_F(Sandbox, TakesNothingOfOurEnvironment) {
  ::setenv("UNDERSTUDY_TEST_KEY", "secret", 1);
  options_.environment = {"GIVEN=a=b"};
  EXPECT_EQ(run("env | cut -d= -f1 | sort | tr '\\n' ' '; echo $GIVEN").output,
            "GIVEN HOME LANG PATH PWD SHLVL _ a=b\n");
  ::unsetenv("UNDERSTUDY_TEST_KEY");
}

// Root becomes nobody first; the same suite for somebody who never was root.
TEST(SlowSandbox, HoldsForAUserAsWell) {
  if (::geteuid() != 0) GTEST_SKIP() << "all of this ran as a user";
  if (!sandbox_available(g_clock)) GTEST_SKIP() << "no sandbox here";
  ChildOptions options;
  options.argv = {"setpriv",
                  "--reuid=65534",
                  "--regid=65534",
                  "--clear-groups",
                  "--inh-caps=-all",
                  fs::read_symlink("/proc/self/exe").string(),
                  "--gtest_filter=Sandbox.*"};
  options.keep_stderr = true;
  Result<ChildProcess> child = ChildProcess::start(options);
  ASSERT_TRUE(child.has_value());
  std::string output;
  const std::int64_t deadline_ms = g_clock.now_ms() + 120'000;
  while (child->read(output, g_clock, deadline_ms) == ChildProcess::Io::kDone) {
  }
  const std::optional<int> code = child->wait(g_clock, deadline_ms);
  if (code == 126 || code == 127) GTEST_SKIP() << "nobody can't reach this program";
  EXPECT_EQ(code, 0) << output;
  EXPECT_EQ(output.find("SKIPPED"), std::string::npos) << output;
}

// Inside a sandbox no other can be made: a machine without user namespaces looks like that.
TEST(SandboxRefusal, DISABLED_Inside) {
  const Result<void> available = sandbox_available(g_clock);
  ASSERT_FALSE(available.has_value());
  EXPECT_EQ(available.error().code, ErrorCode::kUsage);
  EXPECT_NE(available.error().message.find("user namespaces"), std::string::npos);
  EXPECT_FALSE(run_in_sandbox({}, {"/bin/echo", "ran"}, g_clock).has_value());
}

TEST(SandboxRefusal, RunsNothingWhereNamespacesAreNotToBeHad) {
  if (!sandbox_available(g_clock)) GTEST_SKIP() << "no sandbox here";
  SandboxOptions options;
  options.mounts = {{.host = fs::read_symlink("/proc/self/exe").string(), .inside = "/self"}};
  options.memory_bytes = std::uint64_t{1} << 60;  // sanitizers reserve more than there is
  const Result<SandboxResult> result = run_in_sandbox(
      options,
      {"/self", "--gtest_also_run_disabled_tests", "--gtest_filter=SandboxRefusal.DISABLED_Inside"},
      g_clock);
  ASSERT_TRUE(result.has_value());
  if (result->output.starts_with("bwrap: ")) GTEST_SKIP() << "nobody can't reach this program";
  EXPECT_EQ(result->exit_code, 0) << result->output;
  EXPECT_NE(result->output.find("[  PASSED  ] 1 test"), std::string::npos) << result->output;
}

}  // namespace
}  // namespace understudy
