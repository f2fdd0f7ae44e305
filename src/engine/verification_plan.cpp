#include "engine/verification_plan.hpp"

#include <algorithm>

#include "engine/label_file.hpp"
#include "estimate/rates.hpp"

namespace understudy {

VerificationPlan verification_plan(const StudyConfig& config, double answers, double flags) {
  VerificationPlan plan;
  plan.flags = flags;
  plan.flags_asked = flags;
  if (config.roles.contains("oracle")) {  // the budget is the oracle's: a judge sees every flag
    plan.flags_asked = std::min(flags, static_cast<double>(config.grade.flags_to_oracle()));
  }
  plan.audit = std::min(std::max(answers - flags, 0.0), static_cast<double>(config.grade.audit));
  return plan;
}

Json to_json(const VerificationPlan& plan) {
  const bool audits = plan.audit >= 1;
  return {{"oracle_calls", rounded(plan.calls())},
          {"flags_expected", rounded(plan.flags)},
          {"flags_verified_share",
           plan.flags > 0 ? Json(rounded(plan.flags_asked / plan.flags)) : Json()},
          {"audit", rounded(plan.audit)},
          {"miss_bound_per_100k",
           audits ? Json(rounded(1e5 * zero_event_upper(plan.audit, 0.95))) : Json()}};
}

Result<std::vector<LabelCounts>> count_labels(Study& study,
                                              const std::vector<Behavior>& behaviors) {
  std::vector<LabelCounts> counts(behaviors.size());
  UNDERSTUDY_TRY(const bool verified, needs_audit(study));
  if (!verified) return counts;
  UNDERSTUDY_TRY(const Labels labels, study_labels(study.directory()));
  UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study));
  AnswerIds ids(study.store);
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    for (const auto& [arm, all] : units.arms) {
      const Units& of_screen = units.screened(behaviors[i], arm);
      UNDERSTUDY_TRY(const auto screen, screen_of(study, behaviors[i], arm, of_screen));
      if (!screen) continue;
      UNDERSTUDY_TRY(const auto found,
                     verified_units(study, behaviors[i], arm, of_screen, *screen, labels, ids));
      for (const VerifiedUnit& unit : found) {
        if (!unit.present) continue;
        if (unit.screen == Verdict::kAbsent) {
          counts[i].passed += 1;
        } else {
          counts[i].flags += 1;
          counts[i].flags_present += *unit.present ? 1 : 0;
        }
      }
    }
  }
  return counts;
}

}  // namespace understudy
