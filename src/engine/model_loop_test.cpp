#include "engine/model_loop.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <set>

#include "store/study_store.hpp"

namespace understudy {
namespace {

class NoStop final : public StopRequest {
 public:
  [[nodiscard]] int count() const override { return 0; }
};

// Answers a few of those it holds with each poll; never holds more than `slots`.
class CountingModel final : public ChatModel {
 public:
  explicit CountingModel(std::size_t slots) : slots_(slots) {}
  [[nodiscard]] std::string identity() const override { return "counting"; }
  [[nodiscard]] std::size_t free_slots() const override { return slots_ - held_.size(); }
  void submit(ChatRequest request) override { held_.push_back(request.id); }
  [[nodiscard]] std::vector<ChatOutcome> poll(int) override {
    std::vector<ChatOutcome> ended;
    for (int i = 0; i < 3 && !held_.empty(); ++i) {
      ended.push_back({.id = held_.front(), .outcome = Completion{}});
      held_.pop_front();
    }
    return ended;
  }
  [[nodiscard]] ModelStatus status() const override {
    return {.in_flight = held_.size(), .concurrency_limit = slots_};
  }

 private:
  std::size_t slots_;
  std::deque<std::uint64_t> held_;
};

struct LoopResult {
  Result<LoopEnd> end = LoopEnd::kDone;
  std::multiset<std::uint64_t> stored;
  std::size_t groups = 0;
  std::size_t unstored_max = 0;  ///< asked and not handed to `store`
};

LoopResult run_loop(std::size_t slots, std::uint64_t count, LogSync* log) {
  LoopResult result;
  CountingModel model(slots);
  std::uint64_t asked = 0;
  const ModelLoop loop{.next = [&]() -> Result<std::optional<ChatRequest>> {
                         if (asked == count) return std::optional<ChatRequest>();
                         ChatRequest request;
                         request.id = ++asked;
                         result.unstored_max =
                             std::max(result.unstored_max, asked - result.stored.size());
                         return std::optional<ChatRequest>(std::move(request));
                       },
                       .store = [&](std::vector<ChatOutcome> ended) -> Result<void> {
                         EXPECT_FALSE(ended.empty());
                         ++result.groups;
                         for (const ChatOutcome& one : ended) result.stored.insert(one.id);
                         return {};
                       },
                       .watch = {},
                       .log = log};
  SystemClock clock;
  result.end = run_model_loop(model, loop, clock, NoStop());
  return result;
}

std::multiset<std::uint64_t> all_of(std::uint64_t count) {
  std::multiset<std::uint64_t> all;
  for (std::uint64_t id = 1; id <= count; ++id) all.insert(id);
  return all;
}

TEST(ModelLoop, StoresEachOnceAndHoldsNoMoreThanTheLimit) {
  for (const std::size_t slots : {1U, 2U, 7U, 200U, 2'000U}) {
    const LoopResult result = run_loop(slots, 5'000, nullptr);
    ASSERT_TRUE(result.end.has_value());
    EXPECT_EQ(result.stored, all_of(5'000));
    EXPECT_LE(result.unstored_max, slots);
  }
}

class ModelLoopOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "understudy_model_loop").string();
    std::filesystem::remove_all(folder_);
    auto store = StudyStore::open(folder_, StudyStore::Mode::kCreate);
    ASSERT_TRUE(store.has_value());
    store_ = std::make_unique<StudyStore>(std::move(*store));
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string folder_;
  std::unique_ptr<StudyStore> store_;
};

TEST_F(ModelLoopOnDisk, FlushingBesideTheLoopKeepsTheLimit) {
  for (const std::size_t slots : {1U, 7U, 200U}) {
    auto log = store_->start_log_sync();
    ASSERT_TRUE(log.has_value() && *log != nullptr);
    const LoopResult result = run_loop(slots, 300, log->get());
    ASSERT_TRUE(result.end.has_value());
    EXPECT_EQ(result.stored, all_of(300));
    // What is stored and not flushed keeps its place too, which this can't see: fewer at most.
    EXPECT_LE(result.unstored_max, slots);
    EXPECT_TRUE((*log)->is_idle().value());
  }
}

TEST_F(ModelLoopOnDisk, AFailedFlushEndsTheLoop) {
  auto database = Database::open(folder_ + "/other.db", false);
  ASSERT_TRUE(database.has_value());
  auto log = LogSync::start(*database, "/proc/self/status");  // opens, but can't be flushed
  ASSERT_TRUE(log.has_value() && *log != nullptr);
  const LoopResult result = run_loop(10, 100, log->get());
  ASSERT_FALSE(result.end.has_value());
  EXPECT_EQ(result.end.error().code, ErrorCode::kInfrastructure);
  EXPECT_LT(result.stored.size(), 100U);
}

}  // namespace
}  // namespace understudy
