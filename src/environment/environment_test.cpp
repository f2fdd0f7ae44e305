// What needs no process: pairing, comparing, looking up, and the chain over one state.

#include <gtest/gtest.h>

#include <map>

#include "environment/recorded_calls.hpp"
#include "environment/tool_dry_run.hpp"
#include "environment/tool_rules.hpp"
#include "environment/tool_steps.hpp"
#include "environment/tool_world.hpp"

namespace understudy {
namespace {

Message calls(std::vector<ToolCall> list) {
  Message message;
  message.role = Role::kAssistant;
  message.tool_calls = std::move(list);
  return message;
}

Message result(std::string id, std::string text, std::string name = {}) {
  Message message;
  message.role = Role::kTool;
  message.tool_call_id = std::move(id);
  message.content = std::move(text);
  message.name = std::move(name);
  return message;
}

ToolCall call(std::string name, std::string arguments, std::string id = {}) {
  return {.id = std::move(id), .name = std::move(name), .arguments = std::move(arguments)};
}

// ---- pairing ----

TEST(ToolSteps, ParallelCallsAreAnsweredInAnyOrder) {
  const ToolSteps steps = tool_steps_of({calls({call("f", "{}", "a"), call("g", "{}", "b")}),
                                         result("b", "of g"), result("a", "of f")});
  ASSERT_EQ(steps.steps.size(), 2U);
  EXPECT_EQ(steps.steps[0].result, "of f");
  EXPECT_EQ(steps.steps[0].result_message, 2U);
  EXPECT_EQ(steps.steps[1].result, "of g");
  for (const std::uint64_t count : steps.faults) EXPECT_EQ(count, 0U);
}

TEST(ToolSteps, AResultWithoutItsCallIsLeftOut) {
  const ToolSteps steps = tool_steps_of(
      {result("z", "before"), calls({call("f", "{}", "a")}), result("a", "1"), result("a", "2")});
  ASSERT_EQ(steps.steps.size(), 1U);
  EXPECT_EQ(steps.steps[0].result, "1");
  EXPECT_EQ(steps.count(ToolFault::kResultWithoutCall), 2U);
}

TEST(ToolSteps, ACallWithoutItsResultIsKept) {
  const ToolSteps steps = tool_steps_of({calls({call("f", "{}", "a")})});
  ASSERT_EQ(steps.steps.size(), 1U);
  EXPECT_FALSE(steps.steps[0].result.has_value());
  EXPECT_EQ(steps.count(ToolFault::kCallWithoutResult), 1U);
}

TEST(ToolSteps, DuplicateIdsArePairedInOrder) {
  const ToolSteps steps =
      tool_steps_of({calls({call("f", "{}", "a"), call("g", "{}", "a")}), result("a", "1"),
                     result("a", "2"), calls({call("h", "{}", "a")}), result("a", "3")});
  ASSERT_EQ(steps.steps.size(), 3U);
  EXPECT_EQ(steps.steps[0].result, "1");
  EXPECT_EQ(steps.steps[1].result, "2");
  EXPECT_EQ(steps.steps[2].result, "3");
  EXPECT_EQ(steps.count(ToolFault::kDuplicateCallId), 2U);
  EXPECT_EQ(steps.count(ToolFault::kResultWithoutCall), 0U);
}

TEST(ToolSteps, ResultsWithoutIdsGoToTheOldestOpenCallOfTheirTool) {
  const ToolSteps steps = tool_steps_of(
      {calls({call("f", ""), call("g", "")}), result("", "of g", "g"), result("", "of f")});
  EXPECT_EQ(steps.steps[0].result, "of f");
  EXPECT_EQ(steps.steps[1].result, "of g");
}

TEST(ToolSteps, ArgumentsThatAreNoJsonObjectAreNamed) {
  const ToolSteps steps =
      tool_steps_of({calls({call("f", "ls -l", "a"), call("f", "[1]", "b"), call("f", "", "c")}),
                     result("a", "x"), result("b", "x"), result("c", "x")});
  EXPECT_EQ(steps.count(ToolFault::kArgumentsNotJson), 2U) << "none at all is no fault";
  EXPECT_EQ(tool_fault_name(ToolFault::kArgumentsNotJson), "arguments_not_json");
}

// ---- comparing ----

TEST(ToolRules, CallsThatMeanTheSameHaveOneForm) {
  const ToolRules rules;
  const std::string form = rules.canonical(call("f", R"({"a": 1, "b": {"x": [2.0, " p  q "]}})"));
  EXPECT_EQ(rules.canonical(call("f", R"({"b":{"x":[2,"p q"]},"a":1.0})")), form);
  EXPECT_EQ(rules.canonical(call("f", R"({"a":1,"b":{"x":[2,"p q"],"y":null},"c":null})")), form);
  EXPECT_NE(rules.canonical(call("g", R"({"a":1,"b":{"x":[2,"p q"]}})")), form);
  EXPECT_NE(rules.canonical(call("f", R"({"a":"1","b":{"x":[2,"p q"]}})")), form);
  EXPECT_NE(rules.canonical(call("f", R"({"a":1,"b":{"x":["p q",2]}})")), form);
  EXPECT_NE(rules.canonical(call("f", R"({"a":1,"b":{"x":[2,"P q"]}})")), form);
  EXPECT_EQ(rules.canonical(call("f", "")), rules.canonical(call("f", "{ }")));
  EXPECT_EQ(rules.canonical(call("f", " ls  -l\n")), rules.canonical(call("f", "ls -l")));
}

TEST(ToolRules, DefaultsAndFreeArgumentsDoNotTellCallsApart) {
  ToolRules rules;
  rules.learn(R"([{"type":"function","function":{"name":"f","parameters":{"type":"object",
      "properties":{"page":{"type":"integer","default":1}}}}},
      {"name":"g","inputSchema":{"properties":{"page":{"default":5}}}}, 7, {"name":null}])");
  rules.set("think", {.free_arguments = {"thought"}, .ignore_case = true});
  EXPECT_EQ(rules.canonical(call("f", R"({"page":1.0})")), rules.canonical(call("f", "{}")));
  EXPECT_NE(rules.canonical(call("f", R"({"page":2})")), rules.canonical(call("f", "{}")));
  EXPECT_EQ(rules.canonical(call("g", R"({"page":5})")), rules.canonical(call("g", "{}")));
  EXPECT_EQ(rules.canonical(call("think", R"({"thought":"x","a":"B"})")),
            rules.canonical(call("think", R"({"thought":"y","a":"b"})")));
}

TEST(ToolRules, ADefaultThatChangedOverTimeIsNone) {
  ToolRules rules;
  rules.learn(R"([{"name":"f","parameters":{"properties":{"page":{"default":1}}}}])");
  rules.learn(R"({"tools":[{"name":"f","parameters":{"properties":{"page":{"default":0}}}}]})");
  rules.learn("not JSON");
  EXPECT_NE(rules.canonical(call("f", R"({"page":1})")), rules.canonical(call("f", "{}")));
  EXPECT_NE(rules.canonical(call("f", R"({"page":0})")), rules.canonical(call("f", "{}")));
}

TEST(ToolRules, WhatIsNotKnownToReadWrites) {
  ToolRules rules;
  EXPECT_EQ(rules.effect("get_user_details"), ToolEffect::kRead);
  EXPECT_EQ(rules.effect("listFiles"), ToolEffect::kRead);
  EXPECT_EQ(rules.effect("issue_refund"), ToolEffect::kWrite) << "begins with the letters of is";
  EXPECT_EQ(rules.effect("getaway"), ToolEffect::kWrite);
  rules.learn(R"([{"name":"get_and_lock","annotations":{"readOnlyHint":false}},
                  {"name":"weather","annotations":{"readOnlyHint":true}}])");
  EXPECT_EQ(rules.effect("get_and_lock"), ToolEffect::kWrite);
  EXPECT_EQ(rules.effect("weather"), ToolEffect::kRead);
  rules.set("weather", {.effect = ToolEffect::kCommand});
  EXPECT_EQ(rules.effect("weather"), ToolEffect::kCommand);
}

TEST(ToolRules, ErrorsAreKnownByTheirOpening) {
  EXPECT_TRUE(is_error_result("Error: no such user"));
  EXPECT_TRUE(is_error_result(R"({"error": "no such user"})"));
  EXPECT_FALSE(is_error_result(R"({"error": null, "user": 1})"));
  EXPECT_FALSE(is_error_result(R"({"errors_seen": 0})"));
  EXPECT_FALSE(is_error_result("12.0"));
}

// ---- looking up ----

ToolSteps steps_of(const std::vector<std::pair<ToolCall, std::string>>& pairs) {
  ToolSteps steps;
  for (const auto& [one, text] : pairs) steps.steps.push_back({.call = one, .result = text});
  return steps;
}

struct Logs {
  ToolRules rules;
  RecordedCalls recorded;
  std::uint32_t first, second, third;
  Logs() {
    first = recorded.add(rules, "t",
                         steps_of({{call("get_seat", R"({"id":1})"), "free"},
                                   {call("book", R"({"id":1})"), "ok"},
                                   {call("get_seat", R"({"id":1})"), "taken"}}));
    second = recorded.add(rules, "t",
                          steps_of({{call("get_seat", R"({"id": 1.0})"), "free"},
                                    {call("book", R"({"id":9})"), "Error: no seat"},
                                    {call("get_seat", R"({"id":2})"), "free too"}}));
    third = recorded.add(rules, "u", steps_of({{call("get_seat", R"({"id":1})"), "odd"}}));
  }
};

TEST(RecordedCalls, TheStateIsPartOfTheQuestion) {
  Logs logs;
  RecordedSource own(logs.recorded, logs.first);
  KeyedSource elsewhere(logs.recorded, logs.first);
  ToolWorld world(logs.rules, {&own, &elsewhere});
  const ToolCall seat = call("get_seat", R"({"id":1})");
  EXPECT_EQ(world.call(seat).result, "free");
  const ToolAnswer booked = world.call(call("book", R"({"id":1})"));
  EXPECT_EQ(booked.result, "ok");
  EXPECT_EQ(booked.level, ToolLevel::kRecorded);
  const ToolAnswer after = world.call(seat);
  EXPECT_EQ(after.result, "taken") << "a read after the write sees it";
  EXPECT_EQ(after.level, ToolLevel::kRecorded);
  // What nobody has asked after that write is not answered from before it.
  EXPECT_EQ(world.call(call("get_seat", R"({"id":2})")).trouble, ToolTrouble::kNoSource);
}

TEST(RecordedCalls, AnotherTrajectoryAnswersWhereNoWriteCameBetween) {
  Logs logs;
  KeyedSource keyed(logs.recorded, logs.third);
  ToolWorld world(logs.rules, {&keyed});
  const ToolAnswer two = world.call(call("get_seat", R"({"id":2})"));
  EXPECT_EQ(two.result, "free too") << "the donor's failed write changed nothing";
  EXPECT_EQ(two.level, ToolLevel::kKeyed);
  const auto one = logs.recorded.elsewhere(
      {}, WorldState().question(logs.rules.canonical(call("get_seat", R"({"id":1})"))));
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->result, "free") << "two against one";
  EXPECT_EQ(one->agreeing, 2U);
  EXPECT_EQ(one->disagreeing, 1U);
}

TEST(RecordedCalls, LeavesOutWhatIsAskedFor) {
  Logs logs;
  const Digest one = WorldState().question(logs.rules.canonical(call("get_seat", R"({"id":1})")));
  EXPECT_FALSE(logs.recorded.in_trajectory(logs.first, one, 0).has_value());
  EXPECT_EQ(logs.recorded.elsewhere(logs.first, one, RecordedCalls::Donors::kOtherGroups)->result,
            "odd");
}

// ---- the chain ----

/// A counter for each id, in a world of its own.
class Counter final : public StatefulSource {
 public:
  int performed = 0;
  int restarts = 0;
  int fail_at = -1;

 protected:
  ToolAnswer perform(const ToolCall& one) override {
    if (performed++ == fail_at) return {.trouble = ToolTrouble::kServerDied};
    if (one.name == "add") ++count_;
    return {.level = ToolLevel::kServer,
            .result = std::to_string(count_),
            .trouble = ToolTrouble::kNone};
  }
  bool knows(const std::string& tool) override { return tool == "add" || tool == "get"; }
  void restart() override {
    ++restarts;
    count_ = 0;
  }

 private:
  int count_ = 0;
};

TEST(ToolWorld, AStatefulSourceHearsOfEveryChangeOnce) {
  ToolRules rules;
  Counter counter;
  ToolWorld world(rules, {&counter});
  world.observe(call("add", "{}"), "1");  // in the prefix: only the log has seen it
  EXPECT_EQ(world.call(call("get", "{}")).result, "1");
  EXPECT_EQ(world.call(call("add", "{}")).result, "2");
  EXPECT_EQ(world.call(call("add", "{}")).result, "3");
  EXPECT_EQ(world.call(call("get", "{}")).result, "3");
  EXPECT_EQ(counter.performed, 5);
}

TEST(ToolWorld, TheSameQuestionHasTheSameAnswerUntilTheWorldChanges) {
  ToolRules rules;
  Counter counter;
  ToolWorld world(rules, {&counter});
  EXPECT_FALSE(world.call(call("get", R"({"a":1})")).repeated);
  const ToolAnswer again = world.call(call("get", R"({ "a": 1.0 })"));
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.level, ToolLevel::kServer);
  EXPECT_EQ(counter.performed, 1);
  EXPECT_EQ(world.call(call("add", "{}")).result, "1");
  EXPECT_EQ(world.call(call("get", R"({"a":1})")).result, "1");
}

TEST(ToolWorld, ASourceThatFailsBeginsAnewAndIsToldEverything) {
  ToolRules rules;
  Counter counter;
  ToolWorld world(rules, {&counter});
  EXPECT_EQ(world.call(call("add", "{}")).result, "1");
  EXPECT_EQ(world.call(call("add", "{}")).result, "2");
  counter.fail_at = 2;
  EXPECT_EQ(world.call(call("get", "{}")).result, "2");
  EXPECT_EQ(counter.restarts, 1);
}

TEST(ToolWorld, TwoTrajectoriesDoNotSeeEachOther) {
  Logs logs;
  RecordedSource own(logs.recorded, logs.first);
  ToolWorld writes(logs.rules, {&own});
  ToolWorld reads(logs.rules, {&own});
  const ToolCall seat = call("get_seat", R"({"id":1})");
  EXPECT_EQ(writes.call(call("book", R"({"id":1})")).result, "ok");
  EXPECT_EQ(writes.call(seat).result, "taken");
  EXPECT_EQ(reads.call(seat).result, "free");
}

TEST(ToolWorld, AnAnswerOfAnEarlierSessionCountsAsIfItHadBeenNow) {
  Logs logs;
  RecordedSource own(logs.recorded, logs.first);
  ToolWorld world(logs.rules, {&own});
  world.restore(call("book", R"({"id":1})"),
                {.level = ToolLevel::kRecorded, .result = "ok", .trouble = ToolTrouble::kNone});
  EXPECT_EQ(world.call(call("get_seat", R"({"id":1})")).result, "taken");
  world.restore(
      call("book", R"({"id":2})"),
      {.level = ToolLevel::kInjected, .result = "Error: try again", .trouble = ToolTrouble::kNone});
  EXPECT_EQ(world.state().changes().size(), 1U);
}

// ---- the dry run ----

TEST(ToolDryRun, CountsTheFirstLevelThatCouldAnswerEachCall) {
  const ToolRules rules;
  ToolDryRun run(rules, [](const std::string& tool, bool changed) {
    if (tool == "get_seat") return changed ? ToolLevel::kNone : ToolLevel::kConnector;
    return ToolLevel::kSimulated;
  });
  const ToolSteps one = steps_of({{call("get_seat", R"({"id":1})"), "free"},
                                  {call("book", R"({"id":1})"), "Error: no"},
                                  {call("book", R"({"id":2})"), "ok"},
                                  {call("get_seat", R"({"id":3})"), "free"}});
  const ToolSteps two = steps_of(
      {{call("get_seat", R"({"id":1})"), "free"}, {call("get_seat", R"({"id":4})"), "free"}});
  EXPECT_EQ(run.learn(one), 0U);
  EXPECT_EQ(run.learn(two), 1U);
  run.offer("list");
  run.count(0, one);
  run.count(1, two);
  const ToolDryRun::Tool& seat = run.tools().at("get_seat");
  EXPECT_EQ(seat.calls, 4U);
  EXPECT_EQ(seat.by(ToolLevel::kKeyed), 2U);
  EXPECT_EQ(seat.by(ToolLevel::kConnector), 1U);
  EXPECT_EQ(seat.by(ToolLevel::kNone), 1U) << "a connector has not heard of the change";
  const ToolDryRun::Tool& book = run.tools().at("book");
  EXPECT_EQ(book.by(ToolLevel::kSimulated), 2U);
  EXPECT_EQ(book.errors, 1U);
  EXPECT_EQ(run.tools().at("list").calls, 0U);
}

}  // namespace
}  // namespace understudy
