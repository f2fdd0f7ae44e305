#include "engine/model_loop.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <map>
#include <set>

#include "model/rate_control.hpp"
#include "store/study_store.hpp"

namespace understudy {
namespace {

class NoStop final : public StopRequest {
 public:
  [[nodiscard]] int count() const override { return 0; }
};

// Answers a few of those it holds with each poll; never holds more than `slots`.
class CountingModel : public ChatModel {
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
    ModelStatus status;
    status.in_flight = held_.size();
    status.concurrency_limit = slots_;
    return status;
  }

 protected:
  std::size_t slots_;
  std::deque<std::uint64_t> held_;
};

// Its limit grows as that of a real endpoint does: only when it is reached.
class GrowingModel final : public CountingModel {
 public:
  GrowingModel() : CountingModel(20) {}
  [[nodiscard]] std::vector<ChatOutcome> poll(int timeout_ms) override {
    const std::size_t before = held_.size();
    std::vector<ChatOutcome> ended = CountingModel::poll(timeout_ms);
    for (std::size_t i = 0; i < ended.size(); ++i) limit_.on_answer(before - i);
    slots_ = limit_.limit();
    return ended;
  }
  [[nodiscard]] ModelStatus status() const override {
    ModelStatus status = CountingModel::status();
    status.concurrency_max = kMost;
    return status;
  }
  static constexpr std::size_t kMost = 200;

 private:
  ConcurrencyLimit limit_{{.start = 20, .max = kMost}};
};

struct LoopResult {
  Result<LoopEnd> end = LoopEnd::kDone;
  std::multiset<std::uint64_t> stored;
  std::size_t groups = 0;
  std::size_t unstored_max = 0;  ///< asked and not handed to `store`
};

LoopResult run_loop(ChatModel& model, std::uint64_t count, LogSync* log) {
  LoopResult result;
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
    CountingModel model(slots);
    const LoopResult result = run_loop(model, 5'000, nullptr);
    ASSERT_TRUE(result.end.has_value());
    EXPECT_EQ(result.stored, all_of(5'000));
    EXPECT_LE(result.unstored_max, slots);
  }
}

// Each answer leads to another request, until there were five: what a trajectory does.
TEST(ModelLoop, WhatIsStoredMayLeadToMore) {
  for (const std::size_t slots : {1U, 3U, 100U}) {
    CountingModel model(slots);
    std::deque<std::uint64_t> ready = {1, 2, 3, 4, 5, 6, 7};
    std::map<std::uint64_t, int> stored;
    const ModelLoop loop{.next = [&]() -> Result<std::optional<ChatRequest>> {
                           if (ready.empty()) return std::optional<ChatRequest>();
                           ChatRequest request;
                           request.id = ready.front();
                           ready.pop_front();
                           return std::optional<ChatRequest>(std::move(request));
                         },
                         .store = [&](std::vector<ChatOutcome> ended) -> Result<void> {
                           for (const ChatOutcome& one : ended) {
                             if (++stored[one.id] < 5) ready.push_back(one.id);
                           }
                           return {};
                         },
                         .watch = {}};
    SystemClock clock;
    ASSERT_TRUE(run_model_loop(model, loop, clock, NoStop()).has_value());
    EXPECT_EQ(stored.size(), 7U);
    for (const auto& [id, count] : stored) EXPECT_EQ(count, 5) << id;
  }
}

// Work elsewhere that leads to a request when it is done, after everything else has ended.
TEST(ModelLoop, WaitsForOthers) {
  CountingModel model(4);
  int waits = 0;
  int asked = 0, stored = 0;
  const ModelLoop loop{.next = [&]() -> Result<std::optional<ChatRequest>> {
                         if (asked == (waits < 3 ? 1 : 2)) return std::optional<ChatRequest>();
                         ChatRequest request;
                         request.id = static_cast<std::uint64_t>(++asked);
                         return std::optional<ChatRequest>(std::move(request));
                       },
                       .store = [&](std::vector<ChatOutcome> ended) -> Result<void> {
                         stored += static_cast<int>(ended.size());
                         return {};
                       },
                       .watch = {},
                       .log = nullptr,
                       .others = [&](int timeout_ms) -> Result<bool> {
                         if (waits == 3) return false;
                         if (timeout_ms > 0) ++waits;
                         return true;
                       }};
  SystemClock clock;
  ASSERT_TRUE(run_model_loop(model, loop, clock, NoStop()).has_value());
  EXPECT_EQ(stored, 2);
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
    CountingModel model(slots);
    const LoopResult result = run_loop(model, 300, log->get());
    ASSERT_TRUE(result.end.has_value());
    EXPECT_EQ(result.stored, all_of(300));
    // What is stored and not flushed keeps its place too, which this can't see: fewer at most.
    EXPECT_LE(result.unstored_max, slots);
    EXPECT_TRUE((*log)->is_idle().value());
  }
}

// Answers that wait for the disk are not in flight: if they counted, a limit that is small would
// never be reached, and so would stay small.
TEST_F(ModelLoopOnDisk, ALimitThatGrowsIsReached) {
  auto log = store_->start_log_sync();
  ASSERT_TRUE(log.has_value() && *log != nullptr);
  GrowingModel model;
  const LoopResult result = run_loop(model, 3'000, log->get());
  EXPECT_EQ(result.stored, all_of(3'000));
  EXPECT_GE(model.status().concurrency_limit, GrowingModel::kMost / 2);
  EXPECT_LE(result.unstored_max, GrowingModel::kMost);
}

TEST_F(ModelLoopOnDisk, AFailedFlushEndsTheLoop) {
  auto database = Database::open(folder_ + "/other.db", false);
  ASSERT_TRUE(database.has_value());
  auto log = LogSync::start(*database, "/proc/self/status");  // opens, but can't be flushed
  ASSERT_TRUE(log.has_value() && *log != nullptr);
  CountingModel model(10);
  const LoopResult result = run_loop(model, 100, log->get());
  ASSERT_FALSE(result.end.has_value());
  EXPECT_EQ(result.end.error().code, ErrorCode::kInfrastructure);
  EXPECT_LT(result.stored.size(), 100U);
}

}  // namespace
}  // namespace understudy
