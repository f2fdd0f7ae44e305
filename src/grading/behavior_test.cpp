#include "grading/behavior.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/embedded.hpp"
#include "grading/behavior_text.hpp"

namespace understudy {

std::span<const EmbeddedFile> embedded_behaviors();

namespace {

TEST(BuiltInBehaviors, EveryFileParses) {
  for (const EmbeddedFile& file : embedded_behaviors()) {
    const Result<Behavior> parsed = parse_behavior(file.bytes, file.name);
    EXPECT_TRUE(parsed.has_value()) << parsed.error().describe();
    if (parsed) {
      EXPECT_EQ(parsed->id + ".toml", file.name);
    }
  }
}

TEST(BuiltInBehaviors, EveryRulePassesItsOwnExamples) {
  const Result<BehaviorTest> test = test_behaviors(built_in_behaviors());
  ASSERT_TRUE(test.has_value()) << test.error().describe();
  EXPECT_EQ(test->failed(), 0U) << behavior_test_text(*test);
}

}  // namespace
}  // namespace understudy
