#include "discovery/two_samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "discovery/agent_world.hpp"

namespace understudy {
namespace {

TEST(AreaUnderCurve, IsTheShareOfPairsInOrder) {
  const std::vector<Scored> scores = {
      {1, 1, false}, {2, 2, false}, {3, 3, false}, {2, 4, true}, {4, 5, true}};
  const Area area = area_under_curve(scores, 0.95);
  EXPECT_NEAR(area.auc, (1.5 + 3) / 6, 1e-12);
  EXPECT_LT(area.interval.lo, area.auc);
}

TEST(AreaUnderCurve, IsLessSureOfFewUsers) {
  std::vector<Scored> many, few;
  Rng rng(1);
  for (std::uint64_t i = 0; i < 400; ++i) {
    const bool second = i % 2 == 0;
    // A user's texts score alike.
    const double of_user = Rng(2, i / 20).uniform();
    const Scored one{of_user + 0.2 * rng.uniform(), i, second};
    many.push_back(one);
    few.push_back({one.score, i / 20, second});
  }
  const auto width = [](const Area& area) { return area.interval.hi - area.interval.lo; };
  const Area as_many = area_under_curve(many, 0.95);
  const Area as_few = area_under_curve(few, 0.95);
  EXPECT_EQ(as_many.auc, as_few.auc);
  EXPECT_NE(width(as_many), width(as_few));
}

TwoSamples told_apart(Plant plant) {
  const AgentWorld world(3);
  Rng rng(4);
  FeatureExtractor extractor;
  TwoSampleTest test(5);
  for (std::uint64_t i = 0; i < 1200; ++i) {
    const bool second = i % 2 == 0;
    const AgentAnswer answer = second ? world.planted(plant, rng) : world.answer(rng);
    test.add(i, second, extractor.extract(answer.view()));
  }
  return test.finish().value();
}

TEST(TwoSamples, TellsApartWhatDiffers) {
  const TwoSamples apart = told_apart(Plant::kToolTwice);
  EXPECT_GT(apart.interval.lo, 0.9);
  EXPECT_THAT(apart.of_second, testing::Contains("call: 2 in one answer"));
}

TEST(TwoSamples, DoesNotTellApartWhatDoesNot) {
  const TwoSamples alike = told_apart(Plant::kNone);
  EXPECT_GT(alike.auc, 0.42);
  EXPECT_LT(alike.auc, 0.58);
}

TEST(TwoSamples, NeedsBothKinds) {
  TwoSampleTest test(1);
  EXPECT_FALSE(test.finish());
}

}  // namespace
}  // namespace understudy
