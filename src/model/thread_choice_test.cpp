#include "model/thread_choice.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace understudy {
namespace {

/// Of `steps`, how many were done with all of two threads.
std::size_t steps_with_all(ThreadChoice& choice, std::size_t steps, std::int64_t one_us,
                           std::int64_t all_us) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < steps; ++i) {
    const bool all = choice.threads() > 1;
    if (all) ++count;
    choice.took(8, all ? all_us : one_us);
  }
  return count;
}

TEST(ThreadChoice, UsesAllCoresWhereThatIsFaster) {
  ThreadChoice choice(2);
  EXPECT_GE(steps_with_all(choice, 1000, 50, 26), 985U);
}

TEST(ThreadChoice, UsesOneThreadWhereOtherWorkHoldsACore) {
  ThreadChoice choice(2);
  EXPECT_LE(steps_with_all(choice, 1000, 60, 500), 3U);
}

TEST(ThreadChoice, ComesBackWhenTheOtherWorkEnds) {
  ThreadChoice choice(2);
  steps_with_all(choice, 1000, 60, 500);
  steps_with_all(choice, 700, 50, 26);
  EXPECT_GE(steps_with_all(choice, 100, 50, 26), 95U);
}

TEST(ThreadChoice, StepsOfOtherSizesAreNotCompared) {
  ThreadChoice choice(2);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(choice.threads(), 1U);
    choice.took(i % 2 == 0 ? 8 : 1, i % 2 == 0 ? 80 : 10);
  }
}

TEST(ThreadChoice, OneCoreHasNoChoice) {
  ThreadChoice choice(1);
  EXPECT_EQ(steps_with_all(choice, 100, 50, 26), 0U);
}

}  // namespace
}  // namespace understudy
