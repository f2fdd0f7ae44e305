#include "engine/verification.hpp"

#include <algorithm>

#include "base/rng.hpp"
#include "engine/judge_grading.hpp"
#include "engine/label_file.hpp"

namespace understudy {
namespace {

// The units with the smallest random numbers: a uniform part of all that were offered.
class LowestRanks {
 public:
  explicit LowestRanks(std::size_t size) : size_(size) {}
  void offer(std::uint64_t rank, std::int64_t key) {
    ++offered_;
    if (size_ == 0) return;
    const Ranked one(rank, key);
    if (chosen_.size() == size_) {
      if (chosen_.front() < one) return;
      std::pop_heap(chosen_.begin(), chosen_.end());
      chosen_.pop_back();
    }
    chosen_.push_back(one);
    std::push_heap(chosen_.begin(), chosen_.end());
  }
  void append_to(std::vector<StudyStore::Audited>& out) const {
    for (const auto& [rank, key] : chosen_) {
      out.push_back({unpack_draw_key(key),
                     static_cast<double>(chosen_.size()) / static_cast<double>(offered_)});
    }
  }

 private:
  using Ranked = std::pair<std::uint64_t, std::int64_t>;  // random number, key
  std::size_t size_;
  std::uint64_t offered_ = 0;
  std::vector<Ranked> chosen_;  // a heap: the largest first
};

// The audit among the units that the screen calls absent, and a sample of the flags where they are
// more than the oracle's budget leaves room for.
std::vector<StudyStore::Audited> choose_part(const StudyConfig& config, const Behavior& behavior,
                                             const Units& units, const Screen& screen) {
  LowestRanks audit(config.grade.audit);
  LowestRanks flags(config.grade.flags_to_oracle());
  std::uint64_t flag_count = 0;
  auto next = screen.verdicts.begin();
  for (std::size_t i = 0; i < units.keys.size(); ++i) {
    const bool passed = next == screen.verdicts.end() || next->position != i;
    const bool flagged = !passed && next->verdict == Verdict::kPresent;
    if (!passed) ++next;
    if (!passed && !flagged) continue;
    if (flagged) ++flag_count;
    (passed ? audit : flags)
        .offer(verification_rank(config, behavior, units.keys[i]), units.keys[i]);
  }
  std::vector<StudyStore::Audited> part;
  audit.append_to(part);
  const bool by_oracle = verifying_role(behavior, config) == "oracle";
  if (by_oracle && flag_count > config.grade.flags_to_oracle()) flags.append_to(part);
  std::sort(part.begin(), part.end(), [](const auto& a, const auto& b) {
    return pack_draw_key(a.key) < pack_draw_key(b.key);
  });
  return part;
}

bool same(const std::vector<StudyStore::Audited>& a, const std::vector<StudyStore::Audited>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one.key == other.key && one.pi == other.pi;
  });
}

// What verification knows of single answers: people first.
class Verifier {
 public:
  Verifier(const Behavior& behavior, const Labels& labels, AnswerIds& ids, ModelVerdicts models)
      : behavior_(behavior), labels_(labels), ids_(ids), models_(std::move(models)) {
    has_labels_ = !labels.of(behavior.id).empty();
  }

  Result<std::optional<bool>> present(std::int64_t key) {
    if (has_labels_) {
      UNDERSTUDY_TRY(const std::uint64_t id, ids_.of(key));
      const Decision decision = decide(labels_.of(behavior_.id, id));
      if (decision == Decision::kPresent) return std::optional<bool>(true);
      if (decision == Decision::kAbsent) return std::optional<bool>(false);
    }
    const auto found = models_.find(key);
    if (found == models_.end()) return std::optional<bool>();
    return std::optional<bool>(found->second == Verdict::kPresent);
  }

 private:
  const Behavior& behavior_;
  const Labels& labels_;
  AnswerIds& ids_;
  ModelVerdicts models_;
  bool has_labels_ = false;
};

// Whatever was left undone of a designed part is a random share of it (docs/graders.md), so the
// rest stands for all: each probability shrinks by that share.
void share_probability(std::vector<VerifiedUnit>& units, Verdict screen) {
  std::uint64_t designed = 0, known = 0;
  for (const VerifiedUnit& unit : units) {
    if (unit.screen != screen || !unit.asked) continue;
    ++designed;
    if (unit.present) ++known;
  }
  for (VerifiedUnit& unit : units) {
    if (unit.screen != screen || !unit.present) continue;
    unit.pi *= static_cast<double>(known) / static_cast<double>(designed);
  }
}

}  // namespace

Result<StudyUnits> StudyUnits::load(Study& study) {
  StudyUnits units;
  for (const Arm arm : study_arms(study.config)) {
    UNDERSTUDY_TRY(units.arms[arm], units_of(study.store, arm));
  }
  UNDERSTUDY_TRY(units.logged_prefixes, logged_units_of_prefixes(study.store));
  return units;
}

const Units& StudyUnits::screened(const Behavior& behavior, Arm arm) const {
  return is_screened_by_judge(behavior) && arm == Arm::kDeployed ? logged_prefixes : arms.at(arm);
}

Result<Screen> rule_verdicts(StudyStore& store, std::int64_t grader, Arm arm) {
  Screen screen{.grader = grader, .verdicts = {}};
  UNDERSTUDY_CHECK(store.for_each_verdict_block(
      grader, arm,
      [&](std::uint64_t first, std::uint64_t,
          const std::vector<SparseVerdict>& verdicts) -> Result<void> {
        for (const SparseVerdict& entry : verdicts) {
          screen.verdicts.push_back({.position = first + entry.position, .verdict = entry.verdict});
        }
        return {};
      }));
  return screen;
}

Result<Screen> judge_verdicts(StudyStore& store, std::int64_t grader, Arm arm, const Units& units) {
  Screen screen{.grader = grader, .verdicts = {}};
  std::unordered_map<std::int64_t, Verdict> judged;
  UNDERSTUDY_CHECK(store.for_each_judgement(
      grader, arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
        judged.emplace(pack_draw_key(key), verdict);
        return {};
      }));
  for (std::size_t i = 0; i < units.keys.size(); ++i) {
    const auto found = judged.find(units.keys[i]);
    const Verdict verdict = found == judged.end() ? Verdict::kNotGradedNotSelected : found->second;
    if (verdict != Verdict::kAbsent) screen.verdicts.push_back({.position = i, .verdict = verdict});
  }
  return screen;
}

Result<std::optional<Screen>> screen_of(Study& study, const Behavior& behavior, Arm arm,
                                        const Units& units) {
  Screen screen;
  if (!is_screened_by_judge(behavior)) {
    UNDERSTUDY_TRY(const std::int64_t grader, rule_grader(study.store, behavior));
    UNDERSTUDY_TRY(screen, rule_verdicts(study.store, grader, arm));
  } else if (study.config.roles.contains("judge")) {
    UNDERSTUDY_TRY(const std::int64_t grader,
                   judge_grader(study.store, behavior, study.config, "judge"));
    UNDERSTUDY_TRY(screen, judge_verdicts(study.store, grader, arm, units));
  } else {
    return std::optional<Screen>();
  }
  return std::optional<Screen>(std::move(screen));
}

std::uint64_t verification_rank(const StudyConfig& config, const Behavior& behavior,
                                std::int64_t key) {
  const std::uint64_t stream = hash64({"verification", config.sample.seed, behavior.id});
  return Rng(stream, static_cast<std::uint64_t>(key)).next();
}

Result<bool> needs_audit(const Study& study) {
  if (study.config.roles.contains("oracle")) return true;
  UNDERSTUDY_TRY(const Labels labels, study_labels(study.directory()));
  return !labels.empty();
}

Result<void> draw_audits(Study& study, const std::vector<Behavior>& behaviors,
                         const StudyUnits& units) {
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  for (const Behavior& behavior : behaviors) {
    for (const auto& [arm, all] : units.arms) {
      const Units& of_screen = units.screened(behavior, arm);
      UNDERSTUDY_TRY(const auto screen, screen_of(study, behavior, arm, of_screen));
      if (!screen) continue;
      const auto audit = choose_part(study.config, behavior, of_screen, *screen);
      UNDERSTUDY_TRY(const auto before, study.store.audit(screen->grader, arm));
      if (!same(audit, before)) {
        UNDERSTUDY_CHECK(study.store.set_audit(screen->grader, arm, audit));
      }
    }
  }
  return transaction.commit();
}

Result<std::uint64_t> AnswerIds::of(std::int64_t key) {
  const auto found = ids_.find(key);
  if (found != ids_.end()) return found->second;
  if (!finder_) {
    UNDERSTUDY_TRY(finder_, AnswerFinder::open(*store_));
  }
  UNDERSTUDY_TRY(const AnswerView answer, finder_->find(unpack_draw_key(key)));
  return ids_.emplace(key, answer_id(answer)).first->second;
}

Result<ModelVerdicts> model_verdicts(Study& study, const Behavior& behavior, Arm arm) {
  ModelVerdicts verdicts;
  const auto role = verifying_role(behavior, study.config);
  if (!role) return verdicts;
  UNDERSTUDY_TRY(const std::int64_t grader,
                 judge_grader(study.store, behavior, study.config, *role));
  UNDERSTUDY_CHECK(study.store.for_each_judgement(
      grader, arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
        if (verdict <= Verdict::kPresent) verdicts.emplace(pack_draw_key(key), verdict);
        return {};
      }));
  return verdicts;
}

Result<std::vector<DesignedUnit>> designed_units(StudyStore& store, const Screen& screen, Arm arm,
                                                 const Units& units) {
  UNDERSTUDY_TRY(const auto stored, store.audit(screen.grader, arm));
  std::unordered_map<std::int64_t, double> pi_by_key;
  for (const auto& one : stored) pi_by_key.emplace(pack_draw_key(one.key), one.pi);
  std::vector<DesignedUnit> all, sampled;
  for (const SparseVerdict& entry : screen.verdicts) {
    if (entry.verdict != Verdict::kPresent) continue;
    const DesignedUnit flag{
        .position = entry.position, .key = units.keys.at(entry.position), .flag = true, .pi = 1};
    all.push_back(flag);
    const auto found = pi_by_key.find(flag.key);
    if (found == pi_by_key.end()) continue;
    sampled.push_back(flag);
    sampled.back().pi = found->second;
  }
  // Flags are in the table only where not all of them are to be verified.
  std::vector<DesignedUnit> designed = sampled.empty() ? std::move(all) : std::move(sampled);
  auto next = screen.verdicts.begin();
  for (std::size_t i = 0; i < units.keys.size() && !pi_by_key.empty(); ++i) {
    if (next != screen.verdicts.end() && next->position == i) {
      ++next;
      continue;
    }
    const auto found = pi_by_key.find(units.keys[i]);
    if (found == pi_by_key.end()) continue;
    designed.push_back({.position = i, .key = units.keys[i], .flag = false, .pi = found->second});
  }
  return designed;
}

Result<std::vector<VerifiedUnit>> verified_units(Study& study, const Behavior& behavior, Arm arm,
                                                 const Units& units, const Screen& screen,
                                                 const Labels& labels, AnswerIds& ids) {
  UNDERSTUDY_TRY(ModelVerdicts models, model_verdicts(study, behavior, arm));
  Verifier verifier(behavior, labels, ids, std::move(models));
  UNDERSTUDY_TRY(const auto designed, designed_units(study.store, screen, arm, units));
  std::vector<VerifiedUnit> out;
  std::unordered_map<std::uint64_t, std::size_t> flags;  // by position: place in out
  for (const SparseVerdict& entry : screen.verdicts) {
    if (entry.verdict == Verdict::kPresent) flags.emplace(entry.position, out.size());
    out.push_back({.position = entry.position, .screen = entry.verdict, .asked = false});
  }
  for (const DesignedUnit& one : designed) {
    if (!one.flag) out.push_back({.position = one.position, .screen = Verdict::kAbsent});
    VerifiedUnit& unit = one.flag ? out[flags.at(one.position)] : out.back();
    unit.asked = true;
    unit.pi = one.pi;
    UNDERSTUDY_TRY(unit.present, verifier.present(one.key));
  }
  share_probability(out, Verdict::kPresent);
  share_probability(out, Verdict::kAbsent);
  return out;
}

}  // namespace understudy
