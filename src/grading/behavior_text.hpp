#pragma once
// What `understudy behaviors` prints: behaviors as text for people and as JSON for scripts. Pure.

#include <span>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "grading/behavior.hpp"

namespace understudy {

/// One line a behavior: id, group, how it is decided, languages, version, title.
[[nodiscard]] std::string behaviors_list_text(std::span<const Behavior> behaviors);
[[nodiscard]] Json behaviors_list_json(std::span<const Behavior> behaviors);

/// A whole file laid out for reading, at most `columns` wide.
[[nodiscard]] std::string behavior_show_text(const Behavior& behavior, std::size_t columns = 100);
[[nodiscard]] Json behavior_show_json(const Behavior& behavior);

/// Runs a file's examples through its rule.
struct ExampleOutcome {
  std::string behavior;
  std::string example;
  std::string file;
  std::uint64_t line = 0;
  Verdict expected = Verdict::kAbsent;
  Verdict found = Verdict::kAbsent;
  [[nodiscard]] bool passed() const { return expected == found; }
};
struct BehaviorTest {
  std::vector<ExampleOutcome> outcomes;
  std::size_t without_rule = 0;  ///< behaviors that only a judge can grade: their examples not run
  [[nodiscard]] std::size_t failed() const;
};
[[nodiscard]] Result<BehaviorTest> test_behaviors(std::span<const Behavior> behaviors);
[[nodiscard]] std::string behavior_test_text(const BehaviorTest& test);
[[nodiscard]] Json behavior_test_json(const BehaviorTest& test);

}  // namespace understudy
