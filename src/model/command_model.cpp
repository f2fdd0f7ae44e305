#include "model/command_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "base/child_process.hpp"
#include "base/sandbox.hpp"
#include "model/answer_json.hpp"

namespace understudy {
namespace {

// More failures in a row without a single answer than it takes to find the one that a process
// chokes on: it chokes on everything.
constexpr int kFailuresMax = 12;
constexpr std::uint64_t kMemoryBytes = std::uint64_t{8} << 30;  // a model may be in there

using Batch = std::vector<ChatRequest>;

class CommandModel final : public ChatModel {
 public:
  CommandModel(CommandOptions options, SandboxFolder folder, const Clock& clock)
      : options_(std::move(options)), folder_(std::move(folder)), clock_(clock) {
    SandboxOptions sandbox;
    sandbox.mounts = {{.host = folder_.path(), .inside = "/grader"}};
    sandbox.folder = "/grader";
    sandbox.memory_bytes = kMemoryBytes;
    process_options_ = sandboxed(sandbox, options_.argv);
  }

  [[nodiscard]] std::string identity() const override {
    return fmt::format("command {}", options_.argv.front());
  }
  [[nodiscard]] std::size_t free_slots() const override {
    return limit() - std::min(limit(), in_flight_);
  }
  void submit(ChatRequest request) override {
    ++in_flight_;
    ++sent_;
    fresh_.push_back(std::move(request));
  }

  [[nodiscard]] std::vector<ChatOutcome> poll(int timeout_ms) override {
    if (!process_) start_next();
    if (process_) watch(timeout_ms);
    in_flight_ -= ended_.size();
    return std::exchange(ended_, {});
  }

  [[nodiscard]] ModelStatus status() const override {
    ModelStatus status;
    status.in_flight = in_flight_;
    status.concurrency_limit = limit();
    status.requests_sent = sent_;
    return status;
  }

 private:
  // One process runs; what it will be given next is collected meanwhile.
  [[nodiscard]] std::size_t limit() const { return 2 * options_.requests_per_process; }

  void start_next() {
    if (batches_.empty() && !fresh_.empty()) {
      const auto count =
          static_cast<std::ptrdiff_t>(std::min(fresh_.size(), options_.requests_per_process));
      batches_.emplace_back(std::make_move_iterator(fresh_.begin()),
                            std::make_move_iterator(fresh_.begin() + count));
      fresh_.erase(fresh_.begin(), fresh_.begin() + count);
    }
    if (batches_.empty()) return;
    running_ = std::move(batches_.front());
    batches_.pop_front();
    if (failures_ >= kFailuresMax) return end_all(last_failure_);
    std::string& input = process_options_.input;
    input.clear();
    for (const ChatRequest& request : running_) input += request.messages.back().content + "\n";
    output_.clear();
    heard_us_ = clock_.now_us();
    auto started = ChildProcess::start(process_options_);
    if (!started) return fail(FailureReason::kConnection);
    process_.emplace(std::move(*started));
    writes_ = true;
  }

  void watch(int timeout_ms) {
    const std::int64_t deadline_ms = clock_.now_ms() + timeout_ms;
    const std::size_t before = output_.size();
    std::optional<int> end;
    if (writes_)
      writes_ = process_->read(output_, clock_, deadline_ms) != ChildProcess::Io::kClosed;
    if (!writes_) end = process_->wait(clock_, deadline_ms);
    if (output_.size() > before) heard_us_ = clock_.now_us();
    if (output_.size() > options_.answer_bytes_max * running_.size()) {
      return fail(FailureReason::kBodyTooLarge);
    }
    if (end) {
      if (*end != 0) return fail(FailureReason::kConnection);
      take_answers();
      // It ended well, and says nothing of what is left.
      return end_all(garbage_ ? FailureReason::kNotJson : FailureReason::kUnexpectedBody);
    }
    if (clock_.now_us() - heard_us_ > options_.timeout_ms * 1000) fail(FailureReason::kTimeout);
  }

  // Moves what has been answered from `running_` to `ended_`.
  void take_answers() {
    process_.reset();
    garbage_ = false;
    std::map<std::uint64_t, std::string> answers;
    // A last line without its end was cut off in the middle.
    const std::size_t end = output_.rfind('\n') + 1;
    for (std::size_t at = 0; at < end;) {
      const std::size_t stop = output_.find('\n', at);
      const std::string_view line(output_.data() + at, stop - at);
      at = stop + 1;
      if (line.empty()) continue;
      const auto document = reader_.parse(line);
      std::uint64_t id = 0;
      if (!document || (*document)["id"].get(id) != simdjson::SUCCESS) {
        garbage_ = true;
        continue;
      }
      // Two lines for one answer stay two lines: the reader of verdicts sees that.
      std::string& answer = answers[id];
      answer.append(answer.empty() ? "" : "\n").append(line);
    }
    Batch left;
    for (ChatRequest& request : running_) {
      const auto found = answers.find(request.id);
      if (found == answers.end()) {
        left.push_back(std::move(request));
        continue;
      }
      Completion completion;
      completion.content = std::move(found->second);
      completion.finish = FinishReason::kStop;
      ended_.push_back({.id = request.id, .outcome = std::move(completion)});
      failures_ = 0;
    }
    running_ = std::move(left);
  }

  void fail(FailureReason reason) {
    last_failure_ = reason;
    ++failures_;
    take_answers();
    if (running_.size() < 2) return end_all(reason);
    const auto half = static_cast<std::ptrdiff_t>(running_.size() / 2);
    Batch second(std::make_move_iterator(running_.begin() + half),
                 std::make_move_iterator(running_.end()));
    running_.erase(running_.begin() + half, running_.end());
    batches_.push_front(std::move(second));
    batches_.push_front(std::exchange(running_, {}));
  }

  void end_all(FailureReason reason) {
    for (const ChatRequest& request : running_) {
      ended_.push_back({.id = request.id, .outcome = Failure{reason, "external program"}});
    }
    running_.clear();
  }

  CommandOptions options_;
  SandboxFolder folder_;  ///< copies of the program's files
  const Clock& clock_;
  ChildOptions process_options_;
  std::vector<ChatRequest> fresh_;
  std::deque<Batch> batches_;  ///< to be run before what is fresh
  Batch running_;
  std::optional<ChildProcess> process_;
  bool writes_ = false;  ///< its output may go on
  std::string output_;
  std::int64_t heard_us_ = 0;
  bool garbage_ = false;
  int failures_ = 0;
  FailureReason last_failure_ = FailureReason::kConnection;
  std::vector<ChatOutcome> ended_;
  std::size_t in_flight_ = 0;
  std::uint64_t sent_ = 0;
  AnswerReader reader_;
};

// The program's files where it may read them whoever it runs as, and nothing else of their folder.
Result<SandboxFolder> copies_of(const CommandOptions& options) {
  namespace fs = std::filesystem;
  UNDERSTUDY_TRY(SandboxFolder folder, SandboxFolder::create());
  for (const std::string& file : options.files) {
    const fs::path from = fs::path(options.folder) / file;
    const fs::path to = fs::path(folder.path()) / file;
    std::error_code failed;
    fs::create_directories(to.parent_path(), failed);
    fs::copy_file(from, to, failed);
    if (failed) {
      return unexpected(ErrorCode::kUsage, "cannot read this file of a command grader",
                        {.file = from.string(), .line = {}, .byte_offset = {}});
    }
  }
  UNDERSTUDY_CHECK(folder.hand_over());
  return folder;
}

}  // namespace

Result<std::unique_ptr<ChatModel>> make_command_model(CommandOptions options, const Clock& clock) {
  UNDERSTUDY_ASSERT(!options.argv.empty() && options.requests_per_process > 0);
  UNDERSTUDY_CHECK(sandbox_available(clock));
  UNDERSTUDY_TRY(SandboxFolder folder, copies_of(options));
  return std::unique_ptr<ChatModel>(
      std::make_unique<CommandModel>(std::move(options), std::move(folder), clock));
}

}  // namespace understudy
