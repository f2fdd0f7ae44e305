#include "engine/judge_grading.hpp"

#include <map>

#include "engine/known_cases.hpp"
#include "engine/units.hpp"
#include "engine/verification.hpp"

namespace understudy {
namespace {

// A recorded judge knows the questions that were put, which are about one behavior each.
std::size_t behaviors_per_call(const Study& study, const std::string& role) {
  const bool recorded = study.model_config(role).model.starts_with("recorded/");
  return recorded ? 1 : study.config.grade.behaviors_per_call;
}

Result<std::uint64_t> run_role(Study& study, const std::vector<const Behavior*>& behaviors,
                               const std::string& role, const decltype(JudgeRun::keys)& keys,
                               const KnownCases* known = nullptr /* put among them, blind */) {
  JudgeRun run{.role = role};
  if (known != nullptr) {
    run.arms = study_arms(study.config);
    run.arms.push_back(kKnownArm);
    run.outside = [known](std::int64_t key) -> Result<std::optional<AnswerView>> {
      if (unpack_draw_key(key).arm != kKnownArm) return std::optional<AnswerView>();
      return std::optional(known->find(key)->view());
    };
  }
  if (role == "judge" || role == "oracle") run.behaviors_per_call = behaviors_per_call(study, role);
  // The scores of one answer serve every behavior that reads them.
  if (role == "moderation") run.behaviors_per_call = behaviors.size();
  run.grader = [&study, &role](const Behavior& behavior) {
    return judge_grader(study.store, behavior, study.config, role);
  };
  run.keys = keys;
  return run_judge(study, behaviors, run);
}

}  // namespace

std::uint64_t question_identity(std::string_view behavior, GradingLayer layer, std::int64_t key) {
  return hash64({behavior, std::to_string(static_cast<int>(layer)), std::to_string(key)});
}

std::optional<std::string> screening_role(const Behavior& behavior) {
  switch (behavior.decided_by) {
    case DecidedBy::kRule:
    case DecidedBy::kRuleAndJudge:
      return std::nullopt;
    case DecidedBy::kJudge:
      return "judge";
    case DecidedBy::kCommand:
      return "command";
    case DecidedBy::kModeration:
      return "moderation";
    case DecidedBy::kTable:
      return "table";
  }
  return std::nullopt;
}

bool is_screened_by_judge(const Behavior& behavior) {
  return screening_role(behavior).has_value();
}

bool has_screen(const Behavior& behavior, const StudyConfig& config) {
  const auto role = screening_role(behavior);
  if (role == "judge" || role == "moderation") return config.roles.contains(*role);
  return true;
}

GradingLayer layer_of_role(const Behavior& behavior, const std::string& role) {
  if (role == "auditor") return GradingLayer::kAudit;
  return screening_role(behavior) == role ? GradingLayer::kScreen : GradingLayer::kVerified;
}

std::optional<std::string> verifying_role(const Behavior& behavior, const StudyConfig& config) {
  if (!behavior.judge) return std::nullopt;  // no rubric
  if (config.roles.contains("oracle")) return "oracle";
  const bool judge_is_free = screening_role(behavior) != "judge";
  return judge_is_free && config.roles.contains("judge") ? std::optional<std::string>("judge")
                                                         : std::nullopt;
}

Digest judge_hash(const Behavior& behavior, const StudyConfig& config, const std::string& role) {
  Sha256 hash;
  hash.field(role)
      .field(kJudgeTemplateVersion)
      .field(as_bytes(behavior.hash))
      .field(write_json(manifest_json(config)["roles"][role], JsonStyle::kCanonical));
  // Only where it is not the default, so that older studies keep their graders.
  const bool asks_together = role == "judge" || role == "oracle";
  if (asks_together && config.grade.behaviors_per_call > 1) {
    hash.field("behaviors_per_call").number(config.grade.behaviors_per_call);
  }
  return hash.finish();
}

Result<std::int64_t> judge_grader(StudyStore& store, const Behavior& behavior,
                                  const StudyConfig& config, const std::string& role) {
  return store.grader(behavior.id, layer_of_role(behavior, role),
                      judge_hash(behavior, config, role));
}

Result<std::int64_t> screen_grader(StudyStore& store, const Behavior& behavior,
                                   const StudyConfig& config) {
  const auto role = screening_role(behavior);
  return role ? judge_grader(store, behavior, config, *role) : rule_grader(store, behavior);
}

Result<std::uint64_t> screen_by_models(Study& study, const std::vector<Behavior>& behaviors) {
  UNDERSTUDY_TRY(const KnownCases known, KnownCases::load(study.directory(), behaviors));
  const auto all = [&](const Behavior& behavior, Arm arm) -> Result<std::vector<std::int64_t>> {
    if (arm == kKnownArm) return known.keys(behavior);
    UNDERSTUDY_TRY(Units units, arm == Arm::kDeployed ? logged_units_of_prefixes(study.store)
                                                      : units_of(study.store, arm));
    return std::move(units.keys);
  };
  std::uint64_t asked = 0;
  std::map<std::string, std::vector<const Behavior*>> by_role;
  for (const Behavior& behavior : behaviors) {
    const auto role = screening_role(behavior);
    if (!role || role == "table" || !has_screen(behavior, study.config)) continue;
    // Each program is a process of its own.
    by_role[role == "command" ? "command " + behavior.id : *role].push_back(&behavior);
  }
  for (const auto& [name, of_role] : by_role) {
    UNDERSTUDY_TRY(const std::uint64_t more,
                   run_role(study, of_role, *screening_role(*of_role.front()), all, &known));
    asked += more;
  }
  return asked;
}

Result<std::uint64_t> verify_by_model(Study& study, const std::vector<Behavior>& behaviors) {
  UNDERSTUDY_TRY(const bool audited, needs_audit(study));
  const bool has_oracle = study.config.roles.contains("oracle");
  if (!audited && !study.config.roles.contains("judge")) return std::uint64_t{0};
  UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study));
  if (audited) UNDERSTUDY_CHECK(draw_audits(study, behaviors, units));
  const auto flags_and_audit = [&](const Behavior& behavior,
                                   Arm arm) -> Result<std::vector<std::int64_t>> {
    const Units& of_screen = units.screened(behavior, arm);
    std::vector<std::int64_t> keys;
    UNDERSTUDY_TRY(const auto screen, screen_of(study, behavior, arm, of_screen));
    if (!screen) return keys;
    UNDERSTUDY_TRY(const auto designed, designed_units(study.store, *screen, arm, of_screen));
    for (const DesignedUnit& one : designed) {
      // The judge verifies flags alone; an audit may be people's.
      if (one.flag || has_oracle) keys.push_back(one.key);
    }
    return keys;
  };
  const std::string role = has_oracle ? "oracle" : "judge";
  std::vector<const Behavior*> verified;
  for (const Behavior& behavior : behaviors) {
    if (verifying_role(behavior, study.config) == role) verified.push_back(&behavior);
  }
  if (verified.empty()) return std::uint64_t{0};
  return run_role(study, verified, role, flags_and_audit);
}

}  // namespace understudy
