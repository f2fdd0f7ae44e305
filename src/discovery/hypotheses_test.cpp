#include "discovery/hypotheses.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.hpp"
#include "discovery/contrast.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kUsers = 4000;

// Answers of numbered words; one answer of each arm to each user.
class Words {
 public:
  using Answer = std::set<int>;
  void add(const Answer& logged, const Answer& candidate) {
    pairs_.emplace_back(features(logged), features(candidate));
  }
  [[nodiscard]] Contrast run() const {
    const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
      for (std::uint64_t id = 0; id < pairs_.size(); ++id) {
        if (visitor.wants(id)) visitor.see(id, {id, pairs_[id].first, pairs_[id].second});
      }
      return {};
    };
    return *contrast(source, {.seed = 3, .pairs = pairs_.size()});
  }

 private:
  std::vector<Feature> features(const Answer& answer) {
    std::vector<Feature> out;
    for (const int word : answer) {
      const std::string& text = *texts_.insert("w" + std::to_string(word)).first;
      out.push_back({static_cast<std::uint64_t>(word) * 7919, FeatureKind::kWords, text});
    }
    return out;
  }
  std::set<std::string> texts_;
  std::vector<std::pair<std::vector<Feature>, std::vector<Feature>>> pairs_;
};

// `words` of the language, the lower numbers the commoner ones.
Words::Answer spoken(Rng& rng, std::uint64_t words) {
  Words::Answer answer;
  while (answer.size() < words) {
    const double u = rng.uniform();
    answer.insert(1000 + static_cast<int>(2000 * u * u * u));
  }
  return answer;
}

std::vector<std::string> firsts(const Contrast& found) {
  std::vector<std::string> names;
  for (const ContrastFinding& finding : found.findings) names.push_back(finding.features.front());
  return names;
}

TEST(Hypotheses, WhatLongerAnswersBringIsOne) {
  Rng rng(1, 1);
  Words words;
  for (std::uint64_t user = 0; user < kUsers; ++user) {
    const double size = 20 * std::exp(2 * rng.uniform());  // words, in both arms of a user alike
    const double longer = 1.3 * size * std::exp(0.6 * (rng.uniform() - 0.5));
    Words::Answer candidate = spoken(rng, static_cast<std::uint64_t>(longer));
    if (user % 20 == 0) candidate.insert(7);
    words.add(spoken(rng, static_cast<std::uint64_t>(size)), candidate);
  }
  const Contrast found = words.run();
  EXPECT_GE(found.tested, 20U);
  // One in twenty of the words that are tested on their own stands by chance.
  EXPECT_LE(found.findings.size(), 2U + 5U) << testing::PrintToString(firsts(found));
  ASSERT_GE(found.findings.size(), 2U);
  EXPECT_TRUE(found.findings[0].with_length);
  EXPECT_EQ(found.findings[0].features.size(), kFeaturesNamed);
  EXPECT_FALSE(found.findings[1].with_length);
  EXPECT_EQ(found.findings[1].features.front(), "words: w7");
}

TEST(Hypotheses, APartOfAHabitIsThatHabit) {
  Rng rng(2, 1);
  Words words;
  const auto answer = [&](bool habit) {
    Words::Answer spoke = spoken(rng, 30);
    if (!habit) return spoke;
    spoke.insert(1);
    if (rng.below(3) == 0) spoke.insert(2);
    return spoke;
  };
  for (std::uint64_t user = 0; user < kUsers; ++user) {
    Words::Answer logged = answer(rng.below(100) < 2);
    words.add(logged, answer(rng.below(100) < 40));
  }
  const Contrast found = words.run();
  ASSERT_EQ(found.findings.size(), 1U) << testing::PrintToString(firsts(found));
  EXPECT_EQ(found.findings[0].features, (std::vector<std::string>{"words: w1", "words: w2"}));
}

TEST(Hypotheses, ARareThingInAHabitIsItsOwn) {
  Rng rng(3, 1);
  Words words;
  for (std::uint64_t user = 0; user < kUsers; ++user) {
    Words::Answer logged = spoken(rng, 30);
    Words::Answer candidate = spoken(rng, 30);
    if (rng.below(100) < 30) logged.insert(1);
    if (rng.below(100) < 60) {
      candidate.insert(1);
      if (rng.below(60) == 0) candidate.insert(2);
    }
    words.add(logged, candidate);
  }
  const Contrast found = words.run();
  EXPECT_EQ(firsts(found), (std::vector<std::string>{"words: w1", "words: w2"}));
}

TEST(Hypotheses, WhatMakesAnswersShortIsItsOwn) {
  Rng rng(4, 1);
  Words words;
  const auto answer = [&](std::uint64_t percent) {
    if (rng.below(100) >= percent) return spoken(rng, 40);
    Words::Answer declined = spoken(rng, 3);
    declined.insert(1);
    return declined;
  };
  for (std::uint64_t user = 0; user < kUsers; ++user) {
    Words::Answer logged = answer(5);
    words.add(logged, answer(20));
  }
  const Contrast found = words.run();
  ASSERT_FALSE(found.findings.empty());
  EXPECT_EQ(found.findings[0].features.front(), "words: w1");
  EXPECT_FALSE(found.findings[0].with_length);
}

TEST(Hypotheses, LengthsAreQuartersOfAnOctave) {
  std::size_t before = 0;
  for (std::size_t size = 1; size < 100'000; ++size) {
    const std::size_t at = length_of(size);
    EXPECT_GE(at, before);
    EXPECT_LE(at, before + 1);
    EXPECT_LT(at, kLengths);
    before = at;
  }
  EXPECT_EQ(length_of(64) - length_of(32), 4U);
}

}  // namespace
}  // namespace understudy
