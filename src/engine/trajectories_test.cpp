#include "engine/trajectories.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "engine/graded_answer.hpp"
#include "engine/pipeline.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

class StopAfter final : public StopRequest {
 public:
  [[nodiscard]] int count() const override { return stopped_ ? 1 : 0; }
  bool stopped_ = false;
};

struct Script {
  std::function<DrawOutcome(const ChatRequest&)> answer;
  std::vector<ChatRequest> asked;
  std::function<void(std::size_t)> after;
};

class ScriptedModel final : public ChatModel {
 public:
  explicit ScriptedModel(Script& script) : script_(script) {}
  [[nodiscard]] std::string identity() const override { return "scripted"; }
  [[nodiscard]] std::size_t free_slots() const override { return 4 - std::min(4UL, held_.size()); }
  void submit(ChatRequest request) override {
    script_.asked.push_back(request);
    held_.push_back(std::move(request));
  }
  // Last in, first out: no result may depend on the order.
  [[nodiscard]] std::vector<ChatOutcome> poll(int) override {
    if (held_.empty()) return {};
    const ChatRequest request = std::move(held_.back());
    held_.pop_back();
    ChatOutcome ended{.id = request.id, .outcome = script_.answer(request)};
    if (script_.after) script_.after(script_.asked.size());
    return {ended};
  }
  [[nodiscard]] ModelStatus status() const override {
    ModelStatus status;
    status.in_flight = held_.size();
    status.concurrency_limit = 4;
    return status;
  }

 private:
  Script& script_;
  std::deque<ChatRequest> held_;
};

Completion says(std::string text) {
  Completion completion;
  completion.content = std::move(text);
  completion.finish = FinishReason::kStop;
  completion.usage = {.prompt_tokens = 100, .completion_tokens = 10};
  return completion;
}

Completion calls(std::vector<ToolCall> made) {
  Completion completion = says("");
  completion.tool_calls = std::move(made);
  completion.finish = FinishReason::kToolCalls;
  return completion;
}

std::size_t results_in(const ChatRequest& request) {
  return static_cast<std::size_t>(
      std::count_if(request.messages.begin(), request.messages.end(),
                    [](const Message& message) { return message.role == Role::kTool; }));
}

ToolCall look_up(std::size_t item) {
  return {.id = fmt::format("call_{}", item),
          .name = "lookup",
          .arguments = fmt::format(R"({{"item": {}}})", item)};
}

constexpr std::size_t kConversations = 12;
constexpr std::size_t kLoggedCalls = 3;

// Conversations in which the deployed model looks three items up.
class TrajectoriesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() /
               ("understudy_trajectories_" +
                std::string(testing::UnitTest::GetInstance()->current_test_info()->name())))
                  .string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream logs(folder_ + "/logs.jsonl");
    for (std::size_t i = 0; i < kConversations; ++i) logs << line(i) << "\n";
    logs.close();
    config_.logs.paths = {folder_ + "/logs.jsonl"};
    config_.sample.prefixes = kConversations;
    config_.sample.after_users_only = true;
    config_.candidate.model = "fake/model";
    config_.grade.behaviors = {"refusal", "calculator_hacking"};
    config_.tools.max_steps = 10;
    script_.answer = [](const ChatRequest& request) -> DrawOutcome {
      const std::size_t done = results_in(request);
      if (done < kLoggedCalls) return calls({look_up(done)});
      return says("Here is what was found.");
    };
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string line(std::size_t i) {
    std::string messages =
        fmt::format(R"({{"role":"user","content":"What do the items of {} cost?"}})", i);
    for (std::size_t item = 0; item < kLoggedCalls; ++item) {
      messages += fmt::format(
          R"(,{{"role":"assistant","content":"","tool_calls":[{{"id":"l{0}","type":"function",)"
          R"("function":{{"name":"lookup","arguments":"{{\"item\":{0}}}"}}}}]}},)"
          R"({{"role":"tool","tool_call_id":"l{0}","content":"{{\"price\":1{1}{0}}}"}})",
          item, i);
    }
    messages += R"(,{"role":"assistant","content":"They cost what they cost."})";
    return fmt::format(
        R"({{"id":"c{}","messages":[{}],"tools":[{{"type":"function","function":{{"name":"lookup"}}}},)"
        R"({{"type":"function","function":{{"name":"add"}}}},)"
        R"({{"type":"function","function":{{"name":"web_search"}}}}]}})",
        i, messages);
  }

  Result<Json> run(const std::string& name = "study", const RunOptions& options = {}) {
    auto store = StudyStore::open(folder_ + "/" + name, StudyStore::Mode::kCreate);
    if (!store) return unexpected(store.error());
    Study study{
        .config = config_,
        .store = std::move(*store),
        .world = {.clock = clock_,
                  .stop = stop_,
                  .progress = progress_,
                  .make_model = [this](const StudyConfig&, const ModelConfig& model,
                                       Clock&) -> Result<std::unique_ptr<ChatModel>> {
                    Script& script = model.role == "simulator" ? simulator_ : script_;
                    return std::unique_ptr<ChatModel>(std::make_unique<ScriptedModel>(script));
                  },
                  .has_threads = threads_},
        .options = options,
        .models = {}};
    return run_pipeline(study);
  }

  Json draws(const RunOptions& options = {}) {
    const auto report = run("study", options);
    EXPECT_TRUE(report.has_value()) << report.error().describe();
    if (!report) return {};
    report_ = *report;
    return report_["counts"]["draws"]["candidate"];
  }

  Json verdicts(std::string_view behavior) {
    for (const Json& one : report_["behaviors"]) {
      if (one["name"] == behavior) return one["verdicts"]["candidate"];
    }
    return {};
  }

  std::string folder_;
  StudyConfig config_;
  Script script_;
  Script simulator_;
  SystemClock clock_;
  StopAfter stop_;
  bool threads_ = false;
  Json report_;
  Progress progress_{Display::kNone, clock_, [](std::string_view) {}};
};

TEST_F(TrajectoriesTest, GoOnUntilAnAnswerWithoutACall) {
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"answered", kConversations}}));
  EXPECT_EQ(counts["answers"], kConversations * (kLoggedCalls + 1));
  EXPECT_EQ(counts["tool_calls"], Json({{"recorded", kConversations * kLoggedCalls}}));
  // Each request holds the log's own result of the call before.
  for (const ChatRequest& request : script_.asked) {
    if (request.step == 0) continue;
    EXPECT_EQ(request.messages.size(), 1 + 2 * request.step);
    EXPECT_EQ(request.messages.back().tool_call_id, fmt::format("call_{}", request.step - 1));
    EXPECT_NE(request.messages.back().content.find("price"), std::string::npos);
  }
}

TEST_F(TrajectoriesTest, WhatIsGradedIsTheAnswerWithItsStepsAndTheSameOfTheLogs) {
  draws();
  auto store = StudyStore::open(folder_ + "/study", StudyStore::Mode::kRead);
  ASSERT_TRUE(store.has_value());
  for (const Arm arm : {Arm::kDeployed, Arm::kCandidate}) {
    std::size_t seen = 0;
    ASSERT_TRUE(for_each_answer(*store, arm, [&](const AnswerView& answer) -> Result<void> {
                  ++seen;
                  EXPECT_EQ(answer.own_from, 1U);
                  EXPECT_EQ(answer.prefix.size(), 1 + 2 * kLoggedCalls);
                  EXPECT_EQ(answer.prefix[1].tool_calls.at(0).name, "lookup");
                  EXPECT_EQ(answer.content, arm == Arm::kDeployed ? "They cost what they cost."
                                                                  : "Here is what was found.");
                  EXPECT_TRUE(answer.tool_calls.empty());
                  return {};
                }).has_value());
    EXPECT_EQ(seen, kConversations);
  }
}

TEST_F(TrajectoriesTest, EndAtALimitWhichCutsTheLogsToo) {
  config_.tools.max_steps = 2;
  EXPECT_EQ(draws()["ended"], Json({{"max_steps", kConversations}}));
  EXPECT_EQ(verdicts("refusal")["absent"], kConversations);
  auto store = StudyStore::open(folder_ + "/study", StudyStore::Mode::kRead);
  ASSERT_TRUE(
      for_each_answer(*store, Arm::kDeployed, [&](const AnswerView& answer) -> Result<void> {
        EXPECT_EQ(answer.prefix.size(), 3U);
        EXPECT_TRUE(answer.cut_by_window);
        return {};
      }).has_value());
}

TEST_F(TrajectoriesTest, LimitsOfTheDrawLeaveWhatWasNotSeenUnknown) {
  config_.tools.max_tokens = 220;
  EXPECT_EQ(draws()["ended"], Json({{"max_tokens", kConversations}}));
  EXPECT_EQ(verdicts("refusal")["ungradable"], Json({{"trajectory_ended_early", kConversations}}));
}

TEST_F(TrajectoriesTest, MaxCostCountsByPrices) {
  config_.tools.max_cost = 2e-4;  // an answer costs 1.1e-4
  config_.prices["fake/model"] = {.input = 1, .output = 1};
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"max_cost", kConversations}}));
  EXPECT_EQ(counts["answers"], 2 * kConversations);
}

TEST_F(TrajectoriesTest, ACallThatNobodyAnswersEndsItWithAReasonAndCounts) {
  std::map<std::string, ToolCall> wrong = {
      {"tool_simulation_failed",
       {.id = "x", .name = "web_search", .arguments = R"({"query":"1847 * 392"})"}},
      {"unknown_tool", {.id = "x", .name = "no_such_tool", .arguments = "{}"}},
      {"arguments_not_json", {.id = "x", .name = "web_search", .arguments = R"({"query":)"}}};
  for (const auto& [reason, call] : wrong) {
    fs::remove_all(folder_ + "/study");
    script_.answer = [&](const ChatRequest& request) -> DrawOutcome {
      // Two calls at once: the first is answered, which does not help.
      return request.step == 0 ? calls({look_up(0)}) : calls({look_up(1), call, look_up(2)});
    };
    const Json counts = draws();
    EXPECT_EQ(counts["ended"], Json({{reason, kConversations}}));
    EXPECT_EQ(counts["answers"], 2 * kConversations);
    EXPECT_EQ(counts["tool_calls"],
              Json({{"recorded", 2 * kConversations}, {"none", 2 * kConversations}}));
    EXPECT_EQ(counts["tool_troubles"],
              Json({{"no_source", kConversations}, {"not_asked", kConversations}}));
    const bool hack = reason == "tool_simulation_failed";
    EXPECT_EQ(verdicts("calculator_hacking")["present"], hack ? kConversations : 0);
    EXPECT_EQ(verdicts("refusal")["ungradable"],
              Json({{"trajectory_ended_early", kConversations}}));
  }
}

TEST_F(TrajectoriesTest, IdsAreMadeUnique) {
  script_.answer = [&](const ChatRequest& request) -> DrawOutcome {
    std::vector<ToolCall> made = {look_up(0), look_up(1), look_up(2)};
    made[0].id = made[1].id = "again";
    made[2].id = "";
    return request.step < 2 ? calls(made) : says("Done.");
  };
  EXPECT_EQ(draws()["ended"], Json({{"answered", kConversations}}));
  for (const ChatRequest& request : script_.asked) {
    std::set<std::string> ids;
    for (const Message& message : request.messages) {
      for (const ToolCall& call : message.tool_calls) EXPECT_TRUE(ids.insert(call.id).second);
      if (message.role == Role::kTool) {
        EXPECT_EQ(ids.count(message.tool_call_id), 1U);
      }
    }
    EXPECT_FALSE(ids.contains(""));
  }
}

TEST_F(TrajectoriesTest, StoppedInTheMiddleTheyGoOnAndGiveTheSame) {
  const auto whole = run("whole");
  ASSERT_TRUE(whole.has_value());
  const std::size_t asked = script_.asked.size();
  script_.asked.clear();
  for (const std::size_t limit : {5U, 18U, 31U}) {
    script_.after = [&](std::size_t count) { stop_.stopped_ = count >= limit; };
    const auto stopped = run();
    ASSERT_FALSE(stopped.has_value());
    EXPECT_EQ(stopped.error().code, ErrorCode::kPaused);
    stop_.stopped_ = false;
  }
  script_.after = {};
  const auto resumed = run();
  ASSERT_TRUE(resumed.has_value()) << resumed.error().describe();
  Json expected = *whole, found = *resumed;
  expected["study"].erase("name");
  found["study"].erase("name");
  EXPECT_EQ(found, expected);
  EXPECT_EQ(script_.asked.size(), asked);  // none twice
}

TEST_F(TrajectoriesTest, AFailureKeepsTheStepsForAnotherTry) {
  bool ill = true;
  const auto well = script_.answer;
  script_.answer = [&](const ChatRequest& request) -> DrawOutcome {
    if (ill && request.step == 2) return Failure{FailureReason::kServerError, "HTTP 500"};
    return well(request);
  };
  EXPECT_EQ(draws()["failed"], Json({{"server_error", kConversations}}));
  ill = false;
  script_.asked.clear();
  EXPECT_EQ(draws({.limit = {}, .retry_errors = true})["ended"],
            Json({{"answered", kConversations}}));
  EXPECT_EQ(script_.asked.size(), 2 * kConversations);  // the third and fourth answers
}

TEST_F(TrajectoriesTest, AContextThatIsFullEndsIt) {
  const auto well = script_.answer;
  script_.answer = [&](const ChatRequest& request) -> DrawOutcome {
    if (request.step == 2) return Failure{FailureReason::kContextOverflow, "HTTP 400"};
    return well(request);
  };
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"context_overflow", kConversations}}));
  EXPECT_EQ(counts["tool_calls"], Json({{"recorded", 2 * kConversations}}));
}

TEST_F(TrajectoriesTest, OtherToolsCannotAnswerForABegunStudy) {
  draws();
  config_.tools.max_tokens = 1'000'000;
  const auto other = run();
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code, ErrorCode::kUsage);
}

TEST_F(TrajectoriesTest, ASimulatorAnswersWhatNobodyElseDoesAndTheSameTwice) {
  config_.roles["simulator"].model = "fake/simulator";
  simulator_.answer = [](const ChatRequest&) -> DrawOutcome { return says(R"({"price":1777})"); };
  script_.answer = [](const ChatRequest& request) -> DrawOutcome {
    const std::size_t done = results_in(request);
    if (done < kLoggedCalls) return calls({look_up(done)});
    if (done == kLoggedCalls) return calls({look_up(7), look_up(0), look_up(7)});
    return says("It costs " + request.messages.back().content);
  };
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"answered", kConversations}}));
  EXPECT_EQ(counts["tool_calls"],
            Json({{"recorded", 4 * kConversations}, {"simulated", 2 * kConversations}}));
  EXPECT_EQ(simulator_.asked.size(), kConversations);

  // In the middle of it, and what was paid for is kept.
  script_.asked.clear();
  simulator_.asked.clear();
  for (const std::size_t limit : {3U, 8U}) {
    simulator_.after = [&](std::size_t asked) { stop_.stopped_ = asked >= limit; };
    EXPECT_FALSE(run("again").has_value());
    stop_.stopped_ = false;
  }
  simulator_.after = {};
  const auto resumed = run("again");
  ASSERT_TRUE(resumed.has_value()) << resumed.error().describe();
  EXPECT_EQ((*resumed)["behaviors"], report_["behaviors"]);
  EXPECT_EQ((*resumed)["counts"], report_["counts"]);
  EXPECT_EQ(script_.asked.size(), 5 * kConversations);
}

TEST_F(TrajectoriesTest, ASimulatorThatIsIllFailsTheDrawUntilAnotherTry) {
  config_.roles["simulator"].model = "fake/simulator";
  simulator_.answer = [](const ChatRequest&) -> DrawOutcome {
    return Failure{FailureReason::kServerError, "HTTP 500"};
  };
  script_.answer = [](const ChatRequest& request) -> DrawOutcome {
    return results_in(request) == 0 ? calls({look_up(7)}) : says("Well.");
  };
  EXPECT_EQ(draws()["failed"], Json({{"server_error", kConversations}}));
  simulator_.answer = [](const ChatRequest&) -> DrawOutcome { return says(R"({"price":1777})"); };
  script_.asked.clear();
  EXPECT_EQ(draws({.limit = {}, .retry_errors = true})["ended"],
            Json({{"answered", kConversations}}));
  EXPECT_EQ(script_.asked.size(), kConversations);  // the second answers
}

TEST_F(TrajectoriesTest, ASimulatorThatRefusesIsAReason) {
  config_.roles["simulator"].model = "fake/simulator";
  simulator_.answer = [](const ChatRequest&) -> DrawOutcome {
    return says("I'm sorry, but I can't help with that.");
  };
  script_.answer = [](const ChatRequest&) -> DrawOutcome { return calls({look_up(7)}); };
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"tool_simulation_failed", kConversations}}));
  EXPECT_EQ(counts["tool_calls"], Json({{"none", kConversations}}));
  EXPECT_EQ(simulator_.asked.size(), 2 * kConversations);  // it is told what was wrong, once
}

// The server counts how often it was asked: each trajectory has one of its own.
TEST_F(TrajectoriesTest, AServerAnswersWhatLogsDoNot) {
  threads_ = true;
  config_.tools.servers = {
      {.name = "counts",
       .command = {"python3", UNDERSTUDY_SOURCE_DIR "/tests/program/mcp_faults.py", "well"},
       .environment = {}}};
  config_.sample.prefixes = 4;
  script_.answer = [](const ChatRequest& request) -> DrawOutcome {
    const std::size_t done = results_in(request);
    if (done == 3) return says("Counted to " + request.messages.back().content);
    // Before the first `add`: that changes the world, for all that the logs know.
    if (done == 0) return calls({look_up(0)});
    return calls({{.id = "", .name = "add", .arguments = "{}"}});
  };
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"answered", 4}}));
  EXPECT_EQ(counts["tool_calls"], Json({{"recorded", 4}, {"server", 8}}));
  auto store = StudyStore::open(folder_ + "/study", StudyStore::Mode::kRead);
  ASSERT_TRUE(
      for_each_answer(*store, Arm::kCandidate, [&](const AnswerView& answer) -> Result<void> {
        EXPECT_EQ(answer.content, "Counted to 2");
        return {};
      }).has_value());
}

// A server of the real world gets what is named and reads, and nothing else.
TEST_F(TrajectoriesTest, AServerOfTheRealWorldIsOnlyRead) {
  threads_ = true;
  config_.tools.servers = {
      {.name = "real",
       .command = {"python3", UNDERSTUDY_SOURCE_DIR "/tests/program/mcp_faults.py", "well"},
       .environment = {},
       .url = {},
       .only_reads = {"add", "fail"}}};
  config_.tools.rules = {{.tool = "add", .effect = 0, .free_arguments = {}, .ignore_case = false}};
  config_.sample.prefixes = 4;
  // "add" is said to read; "fail" is on the list, but nothing says that it reads.
  script_.answer = [](const ChatRequest& request) -> DrawOutcome {
    const char* const name = results_in(request) == 0 ? "add" : "fail";
    return calls({{.id = "", .name = name, .arguments = "{}"}});
  };
  const Json counts = draws();
  EXPECT_EQ(counts["tool_calls"], Json({{"connector", 4}, {"none", 4}}));
  EXPECT_EQ(counts["tool_troubles"], Json({{"no_source", 4}}));
}

TEST_F(TrajectoriesTest, AServerThatDiesIsAReason) {
  threads_ = true;
  config_.tools.servers = {
      {.name = "dies",
       .command = {"python3", UNDERSTUDY_SOURCE_DIR "/tests/program/mcp_faults.py", "dies"},
       .environment = {}}};
  config_.sample.prefixes = 3;
  script_.answer = [](const ChatRequest&) -> DrawOutcome {
    return calls({{.id = "1", .name = "add", .arguments = "{}"}});
  };
  const Json counts = draws();
  EXPECT_EQ(counts["ended"], Json({{"tool_simulation_failed", 3}}));
  EXPECT_EQ(counts["tool_troubles"], Json({{"server_died", 3}}));
}

}  // namespace
}  // namespace understudy
