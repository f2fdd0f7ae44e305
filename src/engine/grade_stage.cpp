// Answers → verdicts: the rule graders look at every answer of every arm, over the same window;
// then verdicts of tables are taken over, and judges and other graders look at what is theirs
// (judge_grading.cpp).

#include <fmt/format.h>

#include "engine/graded_answer.hpp"
#include "engine/judge_grading.hpp"
#include "engine/study.hpp"
#include "engine/units.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kBlockUnits = 65'536;

// Collects one behavior's verdicts of an arm and stores them block by block.
class BlockWriter {
 public:
  BlockWriter(StudyStore& store, std::int64_t grader, Arm arm)
      : store_(&store), grader_(grader), arm_(arm) {}

  Result<void> add(Verdict verdict) {
    if (verdict != Verdict::kAbsent) sparse_.push_back({.position = count_, .verdict = verdict});
    return ++count_ == kBlockUnits ? flush() : Result<void>();
  }
  Result<void> flush() {
    if (count_ == 0) return {};
    UNDERSTUDY_CHECK(store_->add_verdicts(grader_, arm_, first_, count_, sparse_));
    first_ += count_;
    count_ = 0;
    sparse_.clear();
    return {};
  }

 private:
  StudyStore* store_;
  std::int64_t grader_;
  Arm arm_;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
  std::vector<SparseVerdict> sparse_;
};

// What an arm's verdicts depend on: its answers, and the graders.
Result<Digest> arm_fingerprint(Study& study, Arm arm, const std::vector<Behavior>& behaviors) {
  Sha256 hash;
  hash.field(kRuleEngineVersion).field(arm_name(arm));
  for (const Behavior& behavior : behaviors) hash.field(as_bytes(behavior.hash));
  // The frame stage is the design without the number of prefixes: all that logged answers need.
  UNDERSTUDY_TRY(const auto frame, study.store.stage("frame"));
  UNDERSTUDY_ASSERT(frame.has_value());
  hash.field(as_bytes(frame->fingerprint));
  if (arm != Arm::kDeployed) {
    UNDERSTUDY_CHECK(
        study.store.for_each_draw_status(arm, [&](const DrawStatus& status) -> Result<void> {
          hash.number(static_cast<std::uint64_t>(pack_draw_key(status.key)));
          hash.number(status.failed ? 1 : 0);
          return {};
        }));
  }
  return hash.finish();
}

// Within a transaction; whether there was anything to do.
Result<bool> grade_arm(Study& study, Arm arm, const RuleGraders& rules,
                       const std::vector<Behavior>& behaviors) {
  const std::string stage = fmt::format("grade:{}", arm_name(arm));
  UNDERSTUDY_TRY(const Digest fingerprint, arm_fingerprint(study, arm, behaviors));
  UNDERSTUDY_TRY(const auto before, stored_detail(study.store, stage, fingerprint));
  if (before) return false;

  std::vector<std::optional<BlockWriter>> writers(behaviors.size());
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    if (!rules.has_rule(i)) continue;
    UNDERSTUDY_TRY(const std::int64_t grader, rule_grader(study.store, behaviors[i]));
    UNDERSTUDY_CHECK(study.store.clear_verdicts(grader, arm));
    writers[i].emplace(study.store, grader, arm);
  }
  ProgressState state{.stage = "grade", .unit = "answers"};
  std::vector<Verdict> verdicts(behaviors.size());
  UNDERSTUDY_CHECK(for_each_answer(study.store, arm, [&](const AnswerView& answer) -> Result<void> {
    rules.grade(answer, verdicts);
    for (std::size_t i = 0; i < behaviors.size(); ++i) {
      if (writers[i]) UNDERSTUDY_CHECK(writers[i]->add(verdicts[i]));
    }
    ++state.done;
    study.world.progress.update(state);
    if (study.world.stop.count() > 0) {
      return unexpected(ErrorCode::kPaused, "stopped while grading: `run` grades this arm again");
    }
    return {};
  }));
  for (auto& writer : writers) {
    if (writer) UNDERSTUDY_CHECK(writer->flush());
  }
  UNDERSTUDY_CHECK(store_stage(study.store, stage, fingerprint, {{"answers", state.done}}));
  study.world.progress.finish(state);
  return true;
}

}  // namespace

Result<std::int64_t> rule_grader(StudyStore& store, const Behavior& behavior) {
  return store.grader(
      behavior.id, GradingLayer::kScreen,
      Sha256().field("rule").field(kRuleEngineVersion).field(as_bytes(behavior.hash)).finish());
}

std::vector<Arm> study_arms(const StudyConfig& config) {
  std::vector<Arm> arms = {Arm::kDeployed, Arm::kCandidate};
  if (config.deployed) arms.push_back(Arm::kDeployedReplay);
  return arms;
}

Result<void> grade_logged_answers(Study& study) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  UNDERSTUDY_TRY(const RuleGraders rules, RuleGraders::build(behaviors));
  UNDERSTUDY_TRY([[maybe_unused]] const bool graded,
                 grade_arm(study, Arm::kDeployed, rules, behaviors));
  return {};
}

Result<StageOutcome> grade_stage(Study& study) {
  UNDERSTUDY_TRY(const auto sample, study.store.stage("sample"));
  if (!sample) return unexpected(ErrorCode::kUsage, "no prefixes yet: `understudy sample` first");
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  UNDERSTUDY_TRY(const RuleGraders rules, RuleGraders::build(behaviors));
  StageOutcome outcome{.up_to_date = true, .detail = Json::object()};
  for (const Arm arm : study_arms(study.config)) {
    UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
    UNDERSTUDY_TRY(const bool graded, grade_arm(study, arm, rules, behaviors));
    UNDERSTUDY_CHECK(transaction.commit());
    if (graded) outcome.up_to_date = false;
  }
  UNDERSTUDY_TRY(const std::uint64_t taken, take_table_verdicts(study, behaviors));
  UNDERSTUDY_TRY(const std::uint64_t asked, screen_by_models(study, behaviors));
  UNDERSTUDY_TRY(const std::uint64_t verified, verify_by_model(study, behaviors));
  if (taken + asked + verified > 0) outcome.up_to_date = false;
  outcome.detail["judged"] = asked + verified;
  return outcome;
}

}  // namespace understudy
