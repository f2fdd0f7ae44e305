#include "engine/verification.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>
#include <set>

#include "engine/judge_grading.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

class NeverStops final : public StopRequest {
 public:
  [[nodiscard]] int count() const override { return 0; }
};

// Logged answers alone: a conversation each, every tenth one flagged by the rule.
class VerificationTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() /
               ("understudy_verification_" +
                std::string(testing::UnitTest::GetInstance()->current_test_info()->name())))
                  .string();
    fs::remove_all(folder_);
    auto store = StudyStore::open(folder_, StudyStore::Mode::kCreate);
    ASSERT_TRUE(store.has_value()) << store.error().describe();
    StudyConfig config;
    config.candidate.model = "fake/model";
    config.grade.audit = 40;
    study_.reset(new Study{
        .config = config,
        .store = std::move(*store),
        .world = {.clock = clock_, .stop = stop_, .progress = progress_, .make_model = {}},
        .options = {},
        .models = {}});
    const std::vector<std::string> names = {"refusal"};
    auto behaviors = select_behaviors(names, "");
    ASSERT_TRUE(behaviors.has_value());
    behaviors_ = std::move(*behaviors);
    grow(200);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Makes it `size` answers, graded.
  void grow(std::size_t size) {
    auto transaction = study_->store.transaction();
    ASSERT_TRUE(transaction.has_value());
    if (size_ == 0) {
      ASSERT_TRUE(study_->store.set_dictionary({}).has_value());
    }
    for (; size_ < size; ++size_) {
      Conversation conversation;
      conversation.id = "c" + std::to_string(size_);
      conversation.messages.resize(2);
      conversation.messages[0].content = "Question " + std::to_string(size_);
      conversation.messages[1].role = Role::kAssistant;
      conversation.messages[1].content = "Answer";
      const auto id = static_cast<std::int64_t>(size_ + 1);
      ASSERT_TRUE(study_->store.add_conversation(conversation).has_value());
      ASSERT_TRUE(study_->store.add_frame(id, {{.cut = 1, .window_bytes = {}}}).has_value());
    }
    const auto grader = rule_grader(study_->store, behaviors_[0]);
    ASSERT_TRUE(grader.has_value());
    std::vector<SparseVerdict> flags;
    for (std::size_t i = 0; i < size_; i += 10) flags.push_back({.position = i});
    ASSERT_TRUE(study_->store.clear_verdicts(*grader, Arm::kDeployed).has_value());
    ASSERT_TRUE(study_->store.add_verdicts(*grader, Arm::kDeployed, 0, size_, flags).has_value());
    ASSERT_TRUE(transaction->commit().has_value());
  }

  StudyUnits units() {
    auto loaded = StudyUnits::load(*study_);
    EXPECT_TRUE(loaded.has_value());
    return std::move(*loaded);
  }

  std::vector<StudyStore::Audited> audit() {
    EXPECT_TRUE(draw_audits(*study_, behaviors_, units()).has_value());
    const auto screen =
        screen_of(*study_, behaviors_[0], Arm::kDeployed, units().arms.at(Arm::kDeployed));
    EXPECT_TRUE(screen.has_value() && screen->has_value());
    auto stored = study_->store.audit((*screen)->grader, Arm::kDeployed);
    EXPECT_TRUE(stored.has_value());
    return std::move(*stored);
  }

  std::vector<VerifiedUnit> verified(const Labels& labels) {
    const StudyUnits all = units();
    const Units& deployed = all.arms.at(Arm::kDeployed);
    const auto screen = screen_of(*study_, behaviors_[0], Arm::kDeployed, deployed);
    AnswerIds ids(study_->store);
    auto found =
        verified_units(*study_, behaviors_[0], Arm::kDeployed, deployed, **screen, labels, ids);
    EXPECT_TRUE(found.has_value());
    return std::move(*found);
  }

  Label label(std::int64_t key, Target target) {
    AnswerIds ids(study_->store);
    const auto id = ids.of(key);
    EXPECT_TRUE(id.has_value());
    return {.answer = *id, .behavior = "refusal", .annotator = "ann", .round = 1, .target = target};
  }

  std::string folder_;
  SystemClock clock_;
  NeverStops stop_;
  Progress progress_{Display::kNone, clock_, [](std::string_view) {}};
  std::unique_ptr<Study> study_;
  std::vector<Behavior> behaviors_;
  std::size_t size_ = 0;
};

std::set<std::int64_t> keys_of(const std::vector<StudyStore::Audited>& audit) {
  std::set<std::int64_t> keys;
  for (const auto& one : audit) keys.insert(pack_draw_key(one.key));
  return keys;
}

TEST_F(VerificationTest, AnAuditIsAUniformPartOfWhatTheScreenPassed) {
  const auto drawn = audit();
  ASSERT_EQ(drawn.size(), 40U);
  for (const auto& one : drawn) {
    EXPECT_DOUBLE_EQ(one.pi, 40.0 / 180);
    EXPECT_NE(one.key.prefix % 10, 1) << "a flag in the audit";
  }
  EXPECT_EQ(keys_of(audit()), keys_of(drawn)) << "drawn again, it is the same";
  study_->config.sample.seed = "2";
  EXPECT_NE(keys_of(audit()), keys_of(drawn));
}

TEST_F(VerificationTest, AnAuditOfMoreThanThereIsTakesAll) {
  study_->config.grade.audit = 1000;
  const auto drawn = audit();
  EXPECT_EQ(drawn.size(), 180U);
  EXPECT_EQ(drawn.front().pi, 1);
  study_->config.grade.audit = 0;
  EXPECT_TRUE(audit().empty());
}

TEST_F(VerificationTest, AnAuditKeepsWhatItCanWhenAnswersAreAdded) {
  const auto before = keys_of(audit());
  grow(240);
  const auto grown = audit();
  EXPECT_DOUBLE_EQ(grown.front().pi, 40.0 / 216);
  const auto after = keys_of(grown);
  std::vector<std::int64_t> kept;
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(),
                        std::back_inserter(kept));
  // Those that left did so for new answers with smaller random numbers.
  std::size_t added = 0;
  for (const std::int64_t key : after) added += unpack_draw_key(key).prefix > 200 ? 1U : 0U;
  EXPECT_EQ(kept.size() + added, 40U);
  EXPECT_GT(kept.size(), 20U);
}

TEST_F(VerificationTest, WhatIsLabeledStandsForTheDesignedPart) {
  const auto drawn = audit();
  const auto flags = verified(Labels());
  ASSERT_EQ(flags.size(), 20U + 40U);
  EXPECT_TRUE(std::none_of(flags.begin(), flags.end(),
                           [](const VerifiedUnit& unit) { return unit.present.has_value(); }));

  const StudyUnits all = units();
  const auto& keys = all.arms.at(Arm::kDeployed).keys;
  std::vector<Label> labels;
  for (std::size_t i = 0; i < 50; i += 10) labels.push_back(label(keys[i], Target::kPresent));
  for (std::size_t i = 0; i < 10; ++i) {
    labels.push_back(label(pack_draw_key(drawn[i].key), Target::kAbsent));
  }
  // An unflagged answer outside the audit has no inclusion probability: its label does not count.
  std::size_t outside = 1;
  while (keys_of(drawn).contains(keys[outside]) || outside % 10 == 0) ++outside;
  labels.push_back(label(keys[outside], Target::kPresent));
  std::size_t present = 0, absent = 0;
  for (const VerifiedUnit& unit : verified(Labels(labels))) {
    if (!unit.present) continue;
    EXPECT_NE(unit.position, outside);
    const bool flag = unit.screen == Verdict::kPresent;
    EXPECT_DOUBLE_EQ(unit.pi, flag ? 5.0 / 20 : 40.0 / 180 * 10 / 40);
    *unit.present ? ++present : ++absent;
  }
  EXPECT_EQ(present, 5U);
  EXPECT_EQ(absent, 10U);
}

TEST_F(VerificationTest, PeopleComeBeforeAModelAndATieLeavesItsVerdict) {
  study_->config.roles["oracle"].model = "fake/oracle";
  const std::vector<std::string> names = {"promised_background_task"};
  auto behaviors = select_behaviors(names, "");
  ASSERT_TRUE(behaviors.has_value());
  behaviors_ = std::move(*behaviors);
  grow(200);
  const StudyUnits all = units();
  const auto& keys = all.arms.at(Arm::kDeployed).keys;
  const auto oracle = judge_grader(study_->store, behaviors_[0], study_->config, "oracle");
  ASSERT_TRUE(oracle.has_value());
  for (std::size_t i = 0; i < 200; i += 10) {
    ASSERT_TRUE(
        study_->store
            .add_judgement(*oracle, unpack_draw_key(keys[i]), Verdict::kPresent, Completion{})
            .has_value());
  }
  std::vector<Label> labels = {label(keys[0], Target::kAbsent), label(keys[10], Target::kAbsent),
                               label(keys[10], Target::kPresent), label(keys[20], Target::kUnsure)};
  labels[2].annotator = "bob";
  for (Label& one : labels) one.behavior = "promised_background_task";
  const auto found = verified(Labels(labels));
  ASSERT_EQ(found.size(), 20U) << "no audit was drawn";
  EXPECT_EQ(found[0].present, false);
  for (std::size_t i = 1; i < 20; ++i) EXPECT_EQ(found[i].present, true) << i;
  EXPECT_EQ(found[0].pi, 1);
}

TEST_F(VerificationTest, MoreFlagsThanTheOracleIsAskedAboutAreSampled) {
  study_->config.roles["oracle"].model = "fake/oracle";
  study_->config.grade.oracle_budget = 40 + 8;
  const std::vector<std::string> names = {"promised_background_task"};
  auto behaviors = select_behaviors(names, "");
  ASSERT_TRUE(behaviors.has_value());
  behaviors_ = std::move(*behaviors);
  grow(200);  // 20 flags
  ASSERT_EQ(audit().size(), 40U + 8);
  const StudyUnits all = units();
  const Units& deployed = all.arms.at(Arm::kDeployed);
  const auto screen = screen_of(*study_, behaviors_[0], Arm::kDeployed, deployed);
  const auto designed = designed_units(study_->store, **screen, Arm::kDeployed, deployed);
  ASSERT_TRUE(designed.has_value());
  std::size_t flags = 0;
  for (const DesignedUnit& one : *designed) {
    EXPECT_EQ(one.flag, one.position % 10 == 0);
    EXPECT_DOUBLE_EQ(one.pi, one.flag ? 8.0 / 20 : 40.0 / 180);
    flags += one.flag ? 1U : 0U;
  }
  EXPECT_EQ(flags, 8U);

  // Half of the sample is verified; a label on a flag outside of it has no probability.
  const auto oracle = judge_grader(study_->store, behaviors_[0], study_->config, "oracle");
  ASSERT_TRUE(oracle.has_value());
  for (std::size_t i = 0; i < 4; ++i) {
    const DrawKey key = unpack_draw_key((*designed)[i].key);
    ASSERT_TRUE(study_->store.add_judgement(*oracle, key, Verdict::kPresent, Completion{}));
  }
  std::vector<Label> labels;
  for (std::size_t i = 0; i < 200; i += 10) {
    const auto is_here = [&](const DesignedUnit& one) { return one.position == i; };
    if (std::any_of(designed->begin(), designed->end(), is_here)) continue;
    labels.push_back(label(deployed.keys[i], Target::kAbsent));
    labels.back().behavior = "promised_background_task";
  }
  ASSERT_EQ(labels.size(), 12U);
  std::size_t verified_flags = 0, all_flags = 0;
  for (const VerifiedUnit& unit : verified(Labels(labels))) {
    if (unit.screen != Verdict::kPresent) continue;
    ++all_flags;
    if (!unit.present) continue;
    ++verified_flags;
    EXPECT_TRUE(*unit.present);
    EXPECT_DOUBLE_EQ(unit.pi, 8.0 / 20 * 4 / 8);
  }
  EXPECT_EQ(all_flags, 20U);
  EXPECT_EQ(verified_flags, 4U);

  study_->config.grade.oracle_budget = 40 + 20;
  EXPECT_EQ(audit().size(), 40U) << "all flags: none is drawn";
}

}  // namespace
}  // namespace understudy
