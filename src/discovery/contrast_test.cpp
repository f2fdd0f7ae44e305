#include "discovery/contrast.hpp"

#include <gtest/gtest.h>

#include <set>

#include "discovery/agent_world.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kPairs = 1500;
constexpr std::uint64_t kPlanted = 40;

// A small world, all of it extracted once.
class SmallWorld {
 public:
  SmallWorld(Plant plant, std::uint64_t seed) {
    const AgentWorld world(seed);
    Rng rng(seed, 2);
    if (plant != Plant::kNone) {
      while (planted_.size() < kPlanted) planted_.insert(rng.below(kPairs));
    }
    for (const std::uint32_t size : user_sizes(kPairs, seed)) {
      for (std::uint32_t i = 0; i < size; ++i) {
        users_.push_back(next_user_);
        const bool is_planted = planted_.contains(answers_.size());
        AgentAnswer logged = world.answer(rng);
        answers_.emplace_back(std::move(logged),
                              is_planted ? world.planted(plant, rng) : world.answer(rng));
      }
      ++next_user_;
    }
  }

  [[nodiscard]] Contrast run(std::uint64_t seed) {
    const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
      for (std::uint64_t id = 0; id < answers_.size(); ++id) {
        if (!visitor.wants(users_[id])) continue;
        visitor.see(users_[id], {id, logged_.extract(answers_[id].first.view()),
                                 candidate_.extract(answers_[id].second.view())});
      }
      return {};
    };
    return *contrast(source, {.seed = seed, .pairs = kPairs});
  }
  [[nodiscard]] std::size_t planted_in(const ContrastFinding& finding) const {
    std::size_t hits = 0;
    for (const std::uint64_t id : finding.pairs) hits += planted_.count(id);
    return hits;
  }

 private:
  std::set<std::uint64_t> planted_;
  std::vector<std::pair<AgentAnswer, AgentAnswer>> answers_;
  std::vector<std::uint64_t> users_;
  std::uint64_t next_user_ = 0;
  FeatureExtractor logged_;
  FeatureExtractor candidate_;
};

class ContrastFinds : public testing::TestWithParam<Plant> {};

TEST_P(ContrastFinds, APlantThatNobodyNamed) {
  SmallWorld world(GetParam(), 5);
  const Contrast found = world.run(1);
  EXPECT_EQ(found.pairs, kPairs);
  ASSERT_FALSE(found.findings.empty());
  const ContrastFinding& first = found.findings.front();
  EXPECT_TRUE(first.more);
  EXPECT_LT(first.adjusted, 0.01) << first.features.front();
  EXPECT_GE(world.planted_in(first) * 4, first.pairs.size() * 3) << first.features.front();
  EXPECT_LE(first.candidate.interval.lo, 1e5 * kPlanted / kPairs) << first.features.front();
  EXPECT_GE(first.candidate.interval.hi, 1e5 * kPlanted / kPairs) << first.features.front();
}

INSTANTIATE_TEST_SUITE_P(Plants, ContrastFinds,
                         testing::Values(Plant::kCalculatorHacking, Plant::kPhrase, Plant::kFormat,
                                         Plant::kLanguage, Plant::kToolTwice));

TEST(Contrast, FindsLittleWhereNothingDiffers) {
  SmallWorld world(Plant::kNone, 6);
  int with_findings = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    with_findings += world.run(seed).findings.empty() ? 0 : 1;
  }
  EXPECT_LE(with_findings, 2) << "one in twenty halvings, and these share their answers";
}

// Pairs given by hand: a feature for each number.
class ByHand {
 public:
  void add(std::uint64_t user, std::vector<std::uint64_t> logged,
           std::vector<std::uint64_t> candidate) {
    pairs_.push_back({user, features(logged), features(candidate)});
  }
  [[nodiscard]] Contrast run() const {
    const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
      for (std::uint64_t id = 0; id < pairs_.size(); ++id) {
        if (!visitor.wants(pairs_[id].user)) continue;
        visitor.see(pairs_[id].user, {id, pairs_[id].logged, pairs_[id].candidate});
      }
      return {};
    };
    return *contrast(source, {.seed = 3, .pairs = pairs_.size()});
  }

 private:
  struct Pair {
    std::uint64_t user = 0;
    std::vector<Feature> logged, candidate;
  };
  static std::vector<Feature> features(const std::vector<std::uint64_t>& numbers) {
    std::vector<Feature> out;
    for (const std::uint64_t number : numbers) out.push_back({number, FeatureKind::kWords, "x"});
    return out;
  }
  std::vector<Pair> pairs_;
};

TEST(Contrast, CountsAUserOnce) {
  ByHand one_user;
  for (int i = 0; i < 500; ++i) one_user.add(1, {}, {77});
  for (std::uint64_t user = 2; user < 500; ++user) one_user.add(user, {}, {});
  EXPECT_TRUE(one_user.run().findings.empty()) << "500 times, and one user";

  ByHand many_users;
  for (std::uint64_t user = 1; user <= 60; ++user) many_users.add(user, {}, {77});
  const Contrast found = many_users.run();
  ASSERT_EQ(found.findings.size(), 1U);
  EXPECT_EQ(found.findings[0].users_more + found.findings[0].users_more_selecting, 60U);
  EXPECT_EQ(found.findings[0].candidate.per_100k, 1e5);
}

TEST(Contrast, IsNoSurerOfNoneThanOfSome) {
  ByHand habits;
  for (std::uint64_t user = 1; user <= 80; ++user) {
    const std::vector<std::uint64_t> always(user % 2, 77);
    for (int i = 0; i < 10; ++i) habits.add(user, {}, always);
  }
  const Contrast found = habits.run();
  ASSERT_EQ(found.findings.size(), 1U);
  EXPECT_EQ(found.findings[0].logged.answers, 0U);
  EXPECT_GT(found.findings[0].logged.interval.hi, 5000) << "40 users are tested, not 400 answers";
}

TEST(Contrast, TellsWhatBecameRarer) {
  ByHand world;
  for (std::uint64_t user = 1; user <= 80; ++user)
    world.add(user, {5},
              user % 8 == 0 ? std::vector<std::uint64_t>{5} : std::vector<std::uint64_t>{});
  const Contrast found = world.run();
  ASSERT_EQ(found.findings.size(), 1U);
  EXPECT_FALSE(found.findings[0].more);
  EXPECT_LT(found.findings[0].excess_per_100k, 0);
}

// Turns of a conversation, whose history holds the logged answers: once something was said, it is
// said again half of the time. Both models are the same.
TEST(Contrast, HistoriesTipNoVotes) {
  constexpr int kSeeds = 200;
  const Feature said{77, FeatureKind::kWords, "x"};
  const std::span<const Feature> with(&said, 1);
  int rejected = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
      Rng rng(seed, 7);
      for (std::uint64_t user = 0; user < 2000; ++user) {
        bool before = false;
        for (std::uint64_t turn = 0; turn < 4; ++turn) {
          const double rate = before ? 0.5 : 0.02;
          const bool logged = rng.uniform() < rate;
          const bool candidate = rng.uniform() < rate;
          before = before || logged;
          if (!visitor.wants(user)) continue;
          visitor.see(user, {.id = 4 * user + turn,
                             .logged = logged ? with : std::span<const Feature>(),
                             .candidate = candidate ? with : std::span<const Feature>(),
                             .conversation = user + 1});
        }
      }
      return {};
    };
    const Contrast found = *contrast(source, {.seed = seed, .pairs = 8000, .keep_all = true});
    ASSERT_EQ(found.findings.size(), 1U);
    rejected += found.findings[0].p_value <= 0.05 ? 1 : 0;
  }
  EXPECT_LE(rejected, 20) << "10 expected, more than 20 once in a thousand times";
}

TEST(Contrast, HandlesNothingAndOneUser) {
  EXPECT_EQ(ByHand().run().tested, 0U);
  ByHand one;
  one.add(1, {1}, {2});
  const Contrast found = one.run();
  EXPECT_EQ(found.users, 1U);
  EXPECT_TRUE(found.findings.empty());
}

}  // namespace
}  // namespace understudy
