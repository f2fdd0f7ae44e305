// A study of any size, each stage in a process of its own: time, and peak memory of the process.
//
//   bench_scale                       20,000 conversations, all steps
//   bench_scale N                     N conversations
//   bench_scale N/D                   with messages of a Dth of the length: shows sooner what
//                                     grows with the number of conversations
//   bench_scale N DIR STEP…           only these steps, in DIR, which stays; steps are generate,
//                                     ingest, sample, replay, resume, grade, estimate, report,
//                                     and fill, which stores draws as replay would, sooner
//   bench_scale N DIR multiply STEP…  first makes the small graded study in DIR one of N
//                                     conversations, by copying its rows: resume, estimate and
//                                     report on a million within a minute
//
// `generate` writes conversations of realistic lengths (generated_logs.hpp). `replay` asks a mock
// server N times and is killed halfway, then goes on. `resume` measures from the start of
// `understudy run` on N finished draws to the first request of the few that are left.
// Aims at N = 1,000,000: no stage above 300 MB; resume within 5 s.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>

#include "base/rng.hpp"
#include "generated_logs.hpp"
#include "store/sqlite.hpp"
#include "store/study_store.hpp"
#include "testing/mock_server.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPrefixesMore = 8;  // what `resume` finds left
constexpr std::uint16_t kPort = 28'471;     // the server's URL is part of a model's identity

struct Scale {
  std::uint64_t conversations = 20'000;
  std::uint64_t shortened = 1;
  std::string directory;
  SystemClock clock;

  [[nodiscard]] double seconds_since(std::int64_t started_us) const {
    return static_cast<double>(clock.now_us() - started_us) / 1e6;
  }
};

[[noreturn]] void fail(const std::string& what) {
  fmt::print(stderr, "bench_scale: {}\n", what);
  std::exit(1);
}

void print(std::string_view step, double seconds, double megabytes, std::string_view note = "") {
  fmt::print("{:<10} {:9.2f} s {:7.0f} MB  {}\n", step, seconds, megabytes, note);
  std::fflush(stdout);
}

/// A child process; its peak memory is known once it has ended.
class Process {
 public:
  /// The program with these arguments.
  explicit Process(const std::vector<std::string>& arguments) : child_(fork()) {
    if (child_ != 0) return;
    std::vector<char*> raw = {const_cast<char*>(UNDERSTUDY_PROGRAM)};
    for (const std::string& argument : arguments)
      raw.push_back(const_cast<char*>(argument.c_str()));
    raw.push_back(nullptr);
    execv(UNDERSTUDY_PROGRAM, raw.data());
    _exit(127);
  }
  template <class Body>
  static Process of(const Body& body) {
    Process process;
    process.child_ = fork();
    if (process.child_ == 0) {
      body();
      _exit(0);
    }
    return process;
  }
  ~Process() {
    if (child_ > 0) (void)kill_now();
  }
  Process(Process&& other) noexcept : child_(std::exchange(other.child_, -1)) {}
  Process& operator=(Process&&) = delete;

  struct End {
    int code = 0;  ///< -1: killed
    double peak_megabytes = 0;
  };
  [[nodiscard]] std::optional<End> ended() { return wait(WNOHANG); }
  [[nodiscard]] End end() { return *wait(0); }
  End kill_now() {
    kill(child_, SIGKILL);
    return end();
  }

 private:
  Process() = default;
  std::optional<End> wait(int flags) {
    int status = 0;
    rusage usage{};
    if (wait4(child_, &status, flags, &usage) != child_) return std::nullopt;
    child_ = -1;
    return End{.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               .peak_megabytes = static_cast<double>(usage.ru_maxrss) * 1024 / 1e6};
  }
  pid_t child_ = -1;
};

void run_stage(const Scale& scale, const std::string& verb) {
  const std::int64_t started_us = scale.clock.now_us();
  const Process::End end = Process({verb, scale.directory, "--display", "none"}).end();
  if (end.code != 0) fail(fmt::format("{} ended with {}", verb, end.code));
  print(verb, scale.seconds_since(started_us), end.peak_megabytes);
}

void generate(const Scale& scale) {
  fs::remove_all(scale.directory);
  fs::create_directories(scale.directory);
  const std::string log = scale.directory + "/logs.jsonl.zst";
  std::ofstream(scale.directory + "/study.toml") << fmt::format(
      "[logs]\npaths = [\"{}\"]\ncluster = \"metadata.user\"\n"
      "[sample]\nprefixes = {}\n"
      "[candidate]\nmodel = \"vllm/mock\"\nmax_tokens = 256\n"
      "[replay]\nmax_connections = 200\n",
      fs::absolute(log).string(), scale.conversations + kPrefixesMore);
  const std::int64_t started_us = scale.clock.now_us();
  // In a process of its own: a child's peak memory begins with that of who started it.
  const Process::End end =
      Process::of([&] {
        const auto bytes = write_generated_log(
            {.corpus = UNDERSTUDY_CACHE_DIR "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json",
             .conversations = scale.conversations,
             .shortened = scale.shortened,
             .seed = 1},
            log);
        if (!bytes) fail(bytes.error().describe());
        fmt::print("{:.1f} MB of text, {:.0f} bytes a conversation\n",
                   static_cast<double>(*bytes) / 1e6,
                   static_cast<double>(*bytes) / static_cast<double>(scale.conversations));
        std::fflush(stdout);
      }).end();
  if (end.code != 0) fail("no logs");
  print("generate", scale.seconds_since(started_us), end.peak_megabytes);
}

std::int64_t stored_draws(const Scale& scale) {
  auto store = StudyStore::open(scale.directory, StudyStore::Mode::kRead);
  if (!store) return 0;  // not there yet
  const auto count = store->draw_count();
  return count ? *count : 0;
}

void replay(const Scale& scale) {
  MockServerOptions options;
  options.port = kPort;
  options.rates = {{"promised_background_task", 0.002}, {"refusal", 0.01}};
  auto server = MockServer::listen(options, scale.clock);
  if (!server) fail(server.error().describe());
  setenv("VLLM_BASE_URL", (*server)->base_url().c_str(), 1);
  const Process serving = Process::of([&] { (*server)->run(); });
  const std::vector<std::string> command = {"replay",    scale.directory,
                                            "--limit",   std::to_string(scale.conversations),
                                            "--display", "none"};
  const auto half = static_cast<std::int64_t>(scale.conversations / 2);
  std::int64_t before = stored_draws(scale);
  std::int64_t started_us = scale.clock.now_us();
  const auto note = [&] {
    const std::int64_t stored = stored_draws(scale);
    const double rate = static_cast<double>(stored - before) / scale.seconds_since(started_us);
    before = stored;
    return fmt::format("{} draws are stored, {:.0f}/s", stored, rate);
  };
  if (before < half) {
    Process first(command);
    std::optional<Process::End> end;
    while (!(end = first.ended()) && stored_draws(scale) < half) (void)poll(nullptr, 0, 300);
    if (!end) end = first.kill_now();
    print("replay", scale.seconds_since(started_us), end->peak_megabytes, "killed: " + note());
  }
  started_us = scale.clock.now_us();
  const Process::End end = Process(command).end();
  if (end.code != 0) fail(fmt::format("replay ended with {}", end.code));
  print("replay", scale.seconds_since(started_us), end.peak_megabytes, note());
}

// Some dozens of words a draw, for the first N prefixes.
void fill(const Scale& scale) {
  const std::int64_t started_us = scale.clock.now_us();
  const auto words = std::to_array<std::string_view>(
      {"garden", "river", "music", "history", "table", "window", "market", "teacher", "planet",
       "engine", "letter", "doctor", "summer", "kitchen", "bridge", "picture", "number", "family"});
  const Process::End end =
      Process::of([&] {
        auto store = StudyStore::open(scale.directory, StudyStore::Mode::kWrite);
        if (!store) fail(store.error().describe());
        std::optional<Transaction> group;
        for (std::uint64_t i = 1; i <= scale.conversations; ++i) {
          if (!group) group.emplace(*store->transaction());
          Rng rng(2, i);
          Completion answer;
          answer.finish = FinishReason::kStop;
          for (std::uint64_t left = 10 + rng.below(60); left > 0; --left) {
            answer.content += words[rng.below(words.size())];
            answer.content += ' ';
          }
          const auto stored =
              store->add_draw({.key = {Arm::kCandidate, static_cast<std::int64_t>(i), 0},
                               .attempts = 1,
                               .outcome = answer,
                               .window_bytes = {}});
          if (!stored) fail(stored.error().describe());
          if (i % 512 != 0 && i != scale.conversations) continue;
          if (const auto done = group->commit(); !done) {
            fail(done.error().describe());
          }
          group.reset();
        }
      }).end();
  if (end.code != 0) fail("no draws");
  print("fill", scale.seconds_since(started_us), end.peak_megabytes);
}

// Copies of everything but the texts, of which the first few are enough for the report's examples.
// Copies have clusters of their own.
void multiply(const Scale& scale) {
  const std::int64_t started_us = scale.clock.now_us();
  auto database = Database::open(scale.directory + "/study.db", false);
  if (!database) fail(database.error().describe());
  const auto number = [&](const char* sql) { return **database->integer(sql); };
  const std::int64_t conversations = number("SELECT max(id) FROM conversation");
  const std::int64_t draws = number("SELECT count(*) FROM draw");
  const std::int64_t times = static_cast<std::int64_t>(scale.conversations) / conversations;
  const std::int64_t keys = pack_draw_key({Arm::kCandidate, draws, 0});
  std::string sql = fmt::format(
      "BEGIN; CREATE TEMP TABLE copy (n INTEGER PRIMARY KEY);"
      "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {0} - 1)"
      "  INSERT INTO copy SELECT n FROM r;"
      "CREATE TEMP TABLE rest AS SELECT * FROM prefix WHERE id > {1};"
      "DELETE FROM prefix WHERE id > {1};",
      times, draws);
  const auto copy = [&](std::string_view table, const std::string& columns) {
    sql += fmt::format(
        "CREATE TEMP TABLE one AS SELECT * FROM {0};"
        "INSERT INTO {0} SELECT {1} FROM copy CROSS JOIN one; DROP TABLE one;",
        table, columns);
  };
  copy("conversation",
       fmt::format("id + {} * n, external_id || '-' || n, cluster + n * 7919, time_s, model, "
                   "system_text, tools, CASE WHEN n < 5 THEN bytes ELSE x'' END",
                   conversations));
  copy("frame", fmt::format("conversation + {} * n, turns, cluster + n * 7919", conversations));
  copy("prefix", fmt::format("id + {} * n, conversation + {} * n, cut, pi, content_hash", draws,
                             conversations));
  copy("draw",
       fmt::format("key + {} * n, status, attempts, window_bytes, bytes, trajectory", keys));
  copy("verdict_block", "grader, arm, first + count * n, count, bytes");
  sql += fmt::format(
      "UPDATE stage SET detail = json_set(detail, '$.answers', detail ->> '$.answers' * {}) "
      "WHERE name LIKE 'grade:%';",
      times);
  sql += fmt::format(
      "INSERT INTO prefix SELECT id + {}, conversation, cut, pi, content_hash FROM rest; COMMIT;",
      draws * (times - 1));
  if (const auto done = database->execute(sql); !done) fail(done.error().describe());
  print("multiply", scale.seconds_since(started_us), 0, fmt::format("{} times", times));
}

// Whoever sends the first request gets no answer: only its arrival counts.
void resume(const Scale& scale) {
  const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(kPort);
  const int on = 1;
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listening, 16) != 0) {
    fail(fmt::format("port {} is taken", kPort));
  }
  setenv("VLLM_BASE_URL", fmt::format("http://127.0.0.1:{}/v1", kPort).c_str(), 1);
  const std::int64_t done = stored_draws(scale);
  const std::int64_t started_us = scale.clock.now_us();
  Process process({"run", scale.directory, "--display", "none"});
  pollfd arrival{.fd = listening, .events = POLLIN, .revents = 0};
  while (poll(&arrival, 1, 100) == 0) {
    if (process.ended()) fail("run ended before it asked anything");
  }
  const int connection = accept(listening, nullptr, nullptr);
  std::string request(64, '\0');
  if (recv(connection, request.data(), request.size(), 0) <= 0) fail("no request came");
  const double seconds = scale.seconds_since(started_us);
  const Process::End end = process.kill_now();
  close(connection);
  close(listening);
  print("resume", seconds, end.peak_megabytes,
        fmt::format("from start to \"{}\" with {} draws stored",
                    request.substr(0, request.find('\r')), done));
}

void run(const Scale& scale, const std::string& step) {
  if (step == "generate") return generate(scale);
  if (step == "replay") return replay(scale);
  if (step == "fill") return fill(scale);
  if (step == "multiply") return multiply(scale);
  if (step == "resume") return resume(scale);
  run_stage(scale, step);
}

}  // namespace
}  // namespace understudy

int main(int count, char** arguments) {
  using namespace understudy;
  const std::vector<std::string> given(arguments + 1, arguments + count);
  Scale scale;
  if (!given.empty()) {
    char* rest = nullptr;
    scale.conversations = std::strtoull(given[0].c_str(), &rest, 10);
    if (*rest == '/') scale.shortened = std::strtoull(rest + 1, nullptr, 10);
  }
  if (scale.conversations == 0 || scale.shortened == 0) fail("how many conversations?");
  const bool stays = given.size() > 1;
  scale.directory =
      stays ? given[1] : (fs::temp_directory_path() / "understudy_bench_scale").string();
  std::vector<std::string> steps = {"generate", "ingest", "sample",   "replay",
                                    "resume",   "grade",  "estimate", "report"};
  if (given.size() > 2) steps.assign(given.begin() + 2, given.end());
  for (const std::string& step : steps) run(scale, step);
  if (!stays) fs::remove_all(scale.directory);
  return 0;
}
