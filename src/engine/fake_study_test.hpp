#pragma once
// For tests: a study of 300 logged conversations, in a world where the test says what each model
// answers.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/pipeline.hpp"
#include "engine/study.hpp"

namespace understudy {

class FakeClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_us() const override { return us_ += 100; }
  [[nodiscard]] std::int64_t unix_ms() const override { return 0; }
  void sleep_ms(std::int64_t duration_ms) override { us_ += duration_ms * 1000; }

 private:
  mutable std::int64_t us_ = 0;
};

class FakeStop final : public StopRequest {
 public:
  [[nodiscard]] int count() const override { return count_; }
  int count_ = 0;
};

// What the fake model does; shared with the test.
struct Script {
  std::size_t slots = 8;
  bool costs_money = false;
  std::function<DrawOutcome(const ChatRequest&)> answer;
  std::uint64_t asked = 0;
  std::function<void(std::uint64_t)> after;
};

class FakeModel final : public ChatModel {
 public:
  explicit FakeModel(Script& script) : script_(script) {}
  [[nodiscard]] std::string identity() const override { return "fake"; }
  [[nodiscard]] std::size_t free_slots() const override {
    return script_.slots - std::min(script_.slots, waiting_.size());
  }
  void submit(ChatRequest request) override {
    ++script_.asked;
    waiting_.push_back(std::move(request));
  }
  [[nodiscard]] std::vector<ChatOutcome> poll(int) override {
    if (waiting_.empty()) return {};
    // Last in, first out: no result may depend on the order.
    ChatOutcome outcome{.id = waiting_.back().id, .outcome = script_.answer(waiting_.back())};
    waiting_.pop_back();
    if (script_.after) script_.after(script_.asked);
    return {outcome};
  }
  [[nodiscard]] ModelStatus status() const override {
    ModelStatus status;
    status.in_flight = waiting_.size();
    status.concurrency_limit = script_.slots;
    return status;
  }
  [[nodiscard]] bool costs_money() const override { return script_.costs_money; }

 private:
  Script& script_;
  std::deque<ChatRequest> waiting_;
};

inline Completion answer(std::string text) {
  Completion completion;
  completion.content = std::move(text);
  completion.finish = FinishReason::kStop;
  completion.usage = {.prompt_tokens = 10, .completion_tokens = 5};
  return completion;
}

class FakeStudyTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() /
               ("understudy_study_" +
                std::string(testing::UnitTest::GetInstance()->current_test_info()->name())))
                  .string();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::ofstream logs(folder_ + "/logs.jsonl");
    for (int i = 0; i < 300; ++i) {
      logs << R"({"id":"c)" << i << R"(","messages":[{"role":"user","content":"Question )" << i
           << R"( for someone?"},{"role":"assistant","content":"Here is the answer."}]})"
           << "\n";
    }
    logs.close();
    config_.logs.paths = {folder_ + "/logs.jsonl"};
    config_.sample.prefixes = 250;
    config_.candidate.model = "fake/model";
    config_.grade.behaviors = {"refusal"};
    script_.answer = [](const ChatRequest&) { return answer("Here is another answer."); };
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<Study> open(const std::string& name = "study", const RunOptions& options = {}) {
    auto store = StudyStore::open(folder_ + "/" + name, StudyStore::Mode::kCreate);
    if (!store) return unexpected(store.error());
    return Study{
        .config = config_,
        .store = std::move(*store),
        .world = {.clock = clock_,
                  .stop = stop_,
                  .progress = progress_,
                  .make_model = [this](const StudyConfig&, const ModelConfig&,
                                       Clock&) -> Result<std::unique_ptr<ChatModel>> {
                    return std::unique_ptr<ChatModel>(std::make_unique<FakeModel>(script_));
                  }},
        .options = options,
        .models = {}};
  }
  Result<Json> run(const std::string& name = "study", const RunOptions& options = {}) {
    UNDERSTUDY_TRY(Study study, open(name, options));
    return run_pipeline(study);
  }

  static std::uint64_t completed(const Json& report) {
    return report["counts"]["draws"]["candidate"]["completed"].get<std::uint64_t>();
  }

  std::string folder_;
  StudyConfig config_;
  Script script_;
  FakeClock clock_;
  FakeStop stop_;
  Progress progress_{Display::kNone, clock_, [](std::string_view) {}};
};

}  // namespace understudy
