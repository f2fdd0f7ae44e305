#include "environment/tool_failures.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace understudy {
namespace {

ToolFailures learned() {
  ToolSteps steps;
  const auto add = [&](const std::string& tool, const std::string& result, int times) {
    for (int i = 0; i < times; ++i) {
      steps.steps.push_back(
          {.call = {.id = {}, .name = tool, .arguments = "{}"}, .result = result});
    }
  };
  add("book", "ok", 70);
  add("book", "Error: no seats", 20);
  add("book", "Error: no money", 10);
  add("get", "fine", 50);
  add("rare", "ok", 999);
  add("rare", "Error: once", 1);
  steps.steps.push_back({.call = {.id = {}, .name = "get", .arguments = "{}"}, .result = {}});
  ToolFailures failures;
  failures.learn(steps);
  return failures;
}

TEST(ToolFailures, AreCountedByToolAndText) {
  const ToolFailures failures = learned();
  const ToolFailures::Tool& book = failures.tools().at("book");
  EXPECT_EQ(book.results, 100U);
  EXPECT_EQ(book.errors, 30U);
  EXPECT_EQ(book.texts.at("Error: no money"), 10U);
  EXPECT_DOUBLE_EQ(failures.tools().at("rare").rate(), 0.001);
  EXPECT_EQ(failures.tools().at("get").results, 50U) << "a call without a result says nothing";
}

TEST(ToolFailures, AreInjectedAtTheRateAndWithTheTextsOfTheLogs) {
  const ToolFailures failures = learned();
  constexpr int kCalls = 100'000;
  for (const auto& [name, tool] : failures.tools()) {
    std::map<std::string, int> seen;
    for (int i = 0; i < kCalls; ++i) {
      const auto text = failures.draw(7, static_cast<std::uint64_t>(i / 10),
                                      static_cast<std::uint32_t>(i % 10), name);
      if (text) ++seen[*text];
    }
    EXPECT_EQ(seen.size(), tool.texts.size()) << name;
    for (const auto& [text, count] : tool.texts) {
      const double rate = static_cast<double>(count) / static_cast<double>(tool.results);
      const double error = std::sqrt(rate * (1 - rate) / kCalls);
      EXPECT_NEAR(static_cast<double>(seen[text]) / kCalls, rate, 4 * error) << text;
    }
  }
}

TEST(ToolFailures, AreAFunctionOfSeedTrajectoryCallAndTool) {
  const ToolFailures failures = learned();
  int differs_by_seed = 0;
  int differs_by_trajectory = 0;
  for (std::uint32_t i = 0; i < 200; ++i) {
    const auto one = failures.draw(1, 5, i, "book");
    EXPECT_EQ(one, failures.draw(1, 5, i, "book"));
    differs_by_seed += one != failures.draw(2, 5, i, "book") ? 1 : 0;
    differs_by_trajectory += one != failures.draw(1, 6, i, "book") ? 1 : 0;
  }
  EXPECT_GT(differs_by_seed, 20);
  EXPECT_GT(differs_by_trajectory, 20);
  EXPECT_FALSE(failures.draw(1, 5, 0, "unknown").has_value());
}

/// Says yes to everything.
class Agreeable final : public ToolSource {
 public:
  std::optional<ToolAnswer> answer(const ToolQuestion&) override {
    return ToolAnswer{.level = ToolLevel::kServer, .result = "ok", .trouble = ToolTrouble::kNone};
  }
};

TEST(FailureSource, AnInjectedFailureDoesNotReachTheWorld) {
  const ToolFailures failures = learned();
  FailureSource injected(failures, 3, 1);
  Agreeable rest;
  ToolRules rules;
  ToolWorld world(rules, {&injected, &rest});
  std::size_t failed = 0;
  for (int i = 0; i < 100; ++i) {
    const ToolAnswer answer =
        world.call({.id = {}, .name = "book", .arguments = "{\"n\":" + std::to_string(i) + "}"});
    if (answer.level == ToolLevel::kInjected) ++failed;
  }
  EXPECT_GT(failed, 10U);
  EXPECT_LT(failed, 60U);
  EXPECT_EQ(world.state().changes().size(), 100U - failed);
}

}  // namespace
}  // namespace understudy
