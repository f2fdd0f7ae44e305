// Trajectories recorded by running real commands in a small repository, run again in the sandbox.

#include "environment/command_source.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "environment/result_match.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;
SystemClock g_clock;

/// What a shell says, with its exit code as the tool gives it.
std::string on_the_host(const std::string& folder, const std::string& command) {
  ChildOptions options;
  options.argv = {"env", "-C", folder, "/bin/bash", "-c", command};
  options.environment.insert(options.environment.end(),
                             {"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/tmp"});
  options.keep_stderr = true;
  Result<ChildProcess> child = ChildProcess::start(options);
  EXPECT_TRUE(child.has_value());
  std::string output;
  const std::int64_t deadline_ms = g_clock.now_ms() + 60'000;
  while (child->read(output, g_clock, deadline_ms) == ChildProcess::Io::kDone) {
  }
  const int code = child->wait(g_clock, deadline_ms).value_or(-1);
  if (!output.empty() && output.back() == '\n') output.pop_back();
  if (code != 0) {
    output += (output.empty() ? "" : "\n") + ("[exit code " + std::to_string(code) + "]");
  }
  return output;
}

class Commands : public testing::Test {
 protected:
  void SetUp() override {
    if (const Result<void> available = sandbox_available(g_clock); !available) {
      GTEST_SKIP() << available.error().message;
    }
    root_ = fs::temp_directory_path() / ("understudy_commands_" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_ / "origin/src");
    const std::string origin = root_ / "origin";
    std::ofstream(origin + "/README.md") << "# Sums\n\nAdds numbers.\n";
    std::ofstream(origin + "/src/sums.py") << "def add(a, b):\n    return a - b\n";
    std::ofstream(origin + "/src/check.py")
        << "from sums import add\nassert add(2, 2) == 4, add(2, 2)\nprint('ok')\n";
    std::ofstream(origin + "/.gitignore") << "__pycache__\n";
    const std::string said = on_the_host(
        origin,
        "git init -q -b main . && git config user.name T && git config user.email t@example.com "
        "&& git add . && git commit -q -m first && git tag first && echo later >> README.md && "
        "git commit -q -a -m second");
    ASSERT_EQ(said, "");
    tool_.repository = origin;
    tool_.commit = "first";
  }
  void TearDown() override { fs::remove_all(root_); }

  static ToolCall bash(const std::string& command) {
    return {.id = {},
            .name = "bash",
            .arguments = write_json(Json{{"command", command}}, JsonStyle::kCanonical)};
  }

  fs::path root_;
  CommandTool tool_;
  ToolRules rules_ = [] {
    ToolRules rules;
    rules.set("bash", {.effect = ToolEffect::kCommand});
    return rules;
  }();
};

const std::vector<std::vector<std::string>> kTrajectories = {
    {"ls", "cat README.md", "cat src/sums.py", "cd src && python3 -B check.py",
     "sed -i 's/a - b/a + b/' src/sums.py", "git diff", "cd src && python3 -B check.py",
     "git status --short", "git add -A && git -c user.name=A -c user.email=a@b commit -qm fix",
     "git log --format='%s by %an'"},
    {"pwd", "find . -name '*.py' | sort", "grep -rn 'def ' src", "git log --oneline | wc -l",
     "git show --stat HEAD | tail -n 3", "echo 'x = 1' > src/new.py", "git status --short",
     "python3 -B -c 'import sys; sys.path.insert(0, \"src\"); import new; print(new.x)'",
     "rm src/new.py && git status --short", "wc -l src/*.py"},
    {"date", "python3 -B src/missing.py", "nosuchcommand", "cat nofile", "false", "exit 3",
     "git checkout -q -b work && git branch", "mkdir -p a/b && touch a/b/c && find a | sort",
     "python3 -c 'print(1/0)'", "time -p true 2>/dev/null; echo done"},
    {"head -n 1 README.md", "tail -n 1 README.md", "sort -r src/check.py", "git rev-parse HEAD",
     "git diff --stat", "printf 'a\\tb\\n' | cut -f2", "test -d src && echo yes",
     "git log -1 --format=%ad", "ls -a src", "echo \"$(pwd)/src\""},
};

TEST_F(Commands, TrajectoriesRunAgainGiveTheRecordedResults) {
  const MatchRules rules = {
      .paths = {{(root_ / "recorded").string(), "<repo>"}, {"/repo", "<repo>"}}, .times = true};
  int equal = 0;
  int all = 0;
  std::string different;
  for (const std::vector<std::string>& commands : kTrajectories) {
    const std::string folder = root_ / "recorded";
    fs::remove_all(folder);
    ASSERT_EQ(on_the_host(root_,
                          "git clone -q origin recorded && cd recorded && "
                          "git -c advice.detachedHead=false checkout -q first"),
              "");
    CommandSource source(tool_, g_clock);
    ToolWorld world(rules_, {&source});
    for (const std::string& command : commands) {
      const std::string recorded = on_the_host(folder, command);
      const ToolAnswer again = world.call(bash(command));
      ASSERT_EQ(again.level, ToolLevel::kCommand) << tool_trouble_name(again.trouble);
      ++all;
      if (same_result(recorded, again.result, rules)) {
        ++equal;
      } else {
        different +=
            command + "\n--- recorded\n" + recorded + "\n--- again\n" + again.result + "\n";
      }
    }
  }
  RecordProperty("equal", equal);
  RecordProperty("all", all);
  EXPECT_GE(equal * 100, all * 95) << different;
  if (!different.empty()) std::cout << equal << " of " << all << "; different:\n" << different;
}

TEST_F(Commands, TwoTrajectoriesHaveTwoCopies) {
  CommandSource ours(tool_, g_clock);
  CommandSource theirs(tool_, g_clock);
  ToolWorld world(rules_, {&ours});
  ToolWorld other(rules_, {&theirs});
  EXPECT_EQ(world.call(bash("echo ours > file; cat file")).result, "ours");
  EXPECT_EQ(other.call(bash("cat file 2>/dev/null || echo none")).result, "none");
  EXPECT_EQ(world.call(bash("cat file")).result, "ours");
  EXPECT_FALSE(fs::exists(root_ / "origin/file"));
}

TEST_F(Commands, TheCopyHasWhatThePrefixDid) {
  CommandSource source(tool_, g_clock);
  ToolWorld world(rules_, {&source});
  world.observe(bash("echo from the log > file; exit 2"), "[exit code 2]");
  EXPECT_EQ(world.call(bash("cat file")).result, "from the log");
  EXPECT_EQ(world.call({.id = {}, .name = "bash", .arguments = "{}"}).result,
            "Error: the argument \"command\" is missing");
}

TEST_F(Commands, ACommandThatRunsOnIsStoppedAndSaysSo) {
  tool_.limits.time_ms = 1'000;
  tool_.limits.output_bytes = 1'000;
  CommandSource source(tool_, g_clock);
  ToolWorld world(rules_, {&source});
  EXPECT_EQ(world.call(bash("echo on; sleep 60")).result, "on\n[stopped after 1 s]");
  EXPECT_TRUE(world.call(bash("yes")).result.ends_with("\n[output cut off]"));
}

TEST_F(Commands, ARepositoryOrCommitThatIsNotThereIsRefused) {
  CommandTool missing = tool_;
  missing.commit = "no-such-tag";
  const Result<SandboxFolder> no_commit = checked_out(missing, g_clock);
  ASSERT_FALSE(no_commit.has_value());
  EXPECT_NE(no_commit.error().message.find("no-such-tag"), std::string::npos);
  missing.commit = "--upload-pack=x";
  EXPECT_FALSE(checked_out(missing, g_clock).has_value());
  missing = tool_;
  missing.repository = root_;
  CommandSource source(missing, g_clock);
  ToolWorld world(rules_, {&source});
  EXPECT_EQ(world.call(bash("ls")).trouble, ToolTrouble::kSandboxRefused);
  ASSERT_TRUE(source.refusal().has_value());
  EXPECT_EQ(source.refusal()->code, ErrorCode::kUsage);
}

TEST(ResultMatch, TimesPathsAndRenamedKeysAreAlike) {
  const MatchRules rules = {.renamed_keys = {{"province", "state"}},
                            .paths = {{"/a", "<a>"}, {"/a/b", "<b>"}},
                            .times = true};
  EXPECT_TRUE(same_result(R"({"x": {"province": "TX"}, "n": 1})",
                          R"({"n": 1.0, "x": {"state": "TX"}})", rules));
  EXPECT_FALSE(same_result(R"({"province": "TX"})", R"({"state": "CA"})", rules));
  EXPECT_FALSE(same_result(R"({"province": "TX"})", R"({"state": "TX"})", {}));
  EXPECT_EQ(normalized_result("/a/b/c /a/c", rules), "<b>/c <a>/c");
  EXPECT_TRUE(
      same_result("at 2024-05-15T15:00:00Z in 0.03s", "at 2026-01-01 00:00:01 in 12 ms", rules));
  EXPECT_TRUE(same_result("Tue Nov 24 10:19:30 UTC 2026", "Wed Jan  7 01:02:03 UTC 2026", rules));
  EXPECT_FALSE(same_result("3 files", "4 files", rules));
}

}  // namespace
}  // namespace understudy
