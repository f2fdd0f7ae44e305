#include "discovery/two_samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "discovery/agent_world.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

TEST(AreaUnderCurve, IsTheShareOfPairsInOrder) {
  const std::vector<Scored> scores = {
      {1, 1, false}, {2, 2, false}, {3, 3, false}, {2, 4, true}, {4, 5, true}};
  const Area area = area_under_curve(scores, 0.95);
  EXPECT_NEAR(area.auc, (1.5 + 3) / 6, 1e-12);
  EXPECT_LT(area.interval.lo, area.auc);
}

// A user's texts score alike, and the kinds do not differ: how often the interval misses ½.
double misses(std::size_t users, bool paired, std::size_t worlds) {
  Rng rng(users * 2 + (paired ? 1 : 0));
  const auto normal = [&] { return normal_quantile(rng.uniform()); };
  std::size_t missed = 0;
  for (std::size_t world = 0; world < worlds; ++world) {
    std::vector<Scored> scores;
    for (std::uint64_t user = 0; user < 2 * users; ++user) {
      if (paired && user >= users) break;
      const double of_user = normal();
      const double of_second = normal();  // what the user's second kind has of its own
      for (int text = 0; text < 6; ++text) {
        const bool second = (paired ? text : static_cast<int>(user)) % 2 == 1;
        scores.push_back({of_user + (paired && second ? of_second : 0) + normal(), user, second});
      }
    }
    const Interval interval = area_under_curve(scores, 0.95).interval;
    if (interval.lo > 0.5 || interval.hi < 0.5) ++missed;
  }
  return static_cast<double>(missed) / static_cast<double>(worlds);
}

TEST(AreaUnderCurve, IntervalCoversWithFewUsers) {
  // 5% of 2,000 worlds and four standard errors of a binomial share.
  for (const std::size_t users : {std::size_t{5}, kTestUsersMin}) {
    EXPECT_LT(misses(users, true, 2000), 0.0695) << users;
    EXPECT_LT(misses(users, false, 2000), 0.0695) << users;
  }
}

TEST(AreaUnderCurve, IsLessSureOfFewUsers) {
  std::vector<Scored> many, few;
  Rng rng(1);
  for (std::uint64_t i = 0; i < 400; ++i) {
    // Half of the users write the second kind, and each user's texts score alike.
    const std::uint64_t user = i / 10;
    const Scored one{Rng(2, user).uniform() + 0.2 * rng.uniform(), i, user % 2 == 0};
    many.push_back(one);
    few.push_back({one.score, user, one.second});
  }
  const auto width = [](const Area& area) { return area.interval.hi - area.interval.lo; };
  const Area as_many = area_under_curve(many, 0.95);
  const Area as_few = area_under_curve(few, 0.95);
  EXPECT_EQ(as_many.auc, as_few.auc);
  // Ten texts that say nearly the same: a variance of nearly ten.
  EXPECT_GT(width(as_few), 2.5 * width(as_many));
}

TEST(AreaUnderCurve, OfOneUserIsAnything) {
  const std::vector<Scored> scores = {{1, 7, false}, {2, 7, true}, {3, 7, true}};
  const Area area = area_under_curve(scores, 0.95);
  EXPECT_EQ(area.interval.lo, 0);
  EXPECT_EQ(area.interval.hi, 1);
}

TEST(AreaUnderCurve, AllInOrderIsNotSureForEver) {
  std::vector<Scored> scores;
  for (std::uint64_t user = 0; user < 40; ++user)
    scores.push_back({static_cast<double>(user), user, user >= 20});
  const Area area = area_under_curve(scores, 0.95);
  EXPECT_EQ(area.auc, 1);
  EXPECT_NEAR(area.interval.lo, std::pow(0.05, 1.0 / 20), 1e-12);
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
  EXPECT_FALSE(test.why_not().empty());
}

TEST(TwoSamples, NeedsUsersToTestOn) {
  const AgentWorld world(3);
  Rng rng(4);
  FeatureExtractor extractor;
  TwoSampleTest test(5);
  for (std::uint64_t i = 0; i < 1200; ++i) {
    const bool second = i % 2 == 0;
    const AgentAnswer answer = second ? world.planted(Plant::kToolTwice, rng) : world.answer(rng);
    test.add(i / 40, second, extractor.extract(answer.view()));  // 30 users
  }
  EXPECT_FALSE(test.finish());
  EXPECT_THAT(test.why_not(), testing::HasSubstr("20 are needed of each"));
}

}  // namespace
}  // namespace understudy
