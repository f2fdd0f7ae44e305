#pragma once
// Verification: what is known of an answer beyond the screen's verdict. Flags are verified all, or
// a uniform sample where they pass the oracle's budget; of what the screen passed a uniform audit
// is. Each has its inclusion probability. People decide where they have labeled, a model (the
// oracle, else the judge) elsewhere.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/graded_answer.hpp"
#include "engine/study.hpp"
#include "engine/units.hpp"
#include "grading/behavior.hpp"
#include "grading/labels.hpp"

namespace understudy {

/// The units of every arm, and what a judge is given of the logged ones.
struct StudyUnits {
  std::map<Arm, Units> arms;
  Units logged_prefixes;

  [[nodiscard]] static Result<StudyUnits> load(Study& study);
  /// Those that the behavior's screen looks at.
  [[nodiscard]] const Units& screened(const Behavior& behavior, Arm arm) const;
};

/// A behavior's screen in one arm: every verdict that is not absent, by position in the units.
struct Screen {
  std::int64_t grader = 0;
  std::vector<SparseVerdict> verdicts;
};
/// None where nobody screens: the behavior needs a judge and there is none.
[[nodiscard]] Result<std::optional<Screen>> screen_of(Study& study, const Behavior& behavior,
                                                      Arm arm, const Units& units);

/// The verdicts of one grader: a rule's, by position; a judge's, where what it was not given is
/// not graded.
[[nodiscard]] Result<Screen> rule_verdicts(StudyStore& store, std::int64_t grader, Arm arm);
[[nodiscard]] Result<Screen> judge_verdicts(StudyStore& store, std::int64_t grader, Arm arm,
                                            const Units& units);

/// A unit's permanent random number: it orders audits and queues, so that an audit keeps what it
/// can when draws are added or the screen changes, and what is done of it is a random part.
[[nodiscard]] std::uint64_t verification_rank(const StudyConfig& config, const Behavior& behavior,
                                              std::int64_t key);

/// Only with an oracle, or with labels, is there an audit to draw.
[[nodiscard]] Result<bool> needs_audit(const Study& study);
/// Draws the audits, and the samples of flags that the oracle's budget asks for, of all behaviors
/// and arms anew, and stores those that changed.
Result<void> draw_audits(Study& study, const std::vector<Behavior>& behaviors,
                         const StudyUnits& units);

/// Finds the content ids of answers; each is computed once.
class AnswerIds {
 public:
  explicit AnswerIds(StudyStore& store) : store_(&store) {}
  [[nodiscard]] Result<std::uint64_t> of(std::int64_t key);

 private:
  StudyStore* store_;
  std::optional<AnswerFinder> finder_;
  std::unordered_map<std::int64_t, std::uint64_t> ids_;
};

/// What models said when they verified: by key, only present and absent.
using ModelVerdicts = std::unordered_map<std::int64_t, Verdict>;
[[nodiscard]] Result<ModelVerdicts> model_verdicts(Study& study, const Behavior& behavior, Arm arm);

/// A unit that is to be verified.
struct DesignedUnit {
  std::uint64_t position = 0;
  std::int64_t key = 0;
  bool flag = false;  ///< the screen calls it present; else it passed it
  double pi = 1;      ///< inclusion probability among those
};
/// Flags, then the audit as far as it was drawn.
[[nodiscard]] Result<std::vector<DesignedUnit>> designed_units(StudyStore& store,
                                                               const Screen& screen, Arm arm,
                                                               const Units& units);

/// A unit that is not simply absent: what the screen says, what verification says.
struct VerifiedUnit {
  std::uint64_t position = 0;
  Verdict screen = Verdict::kAbsent;
  bool asked = true;                 ///< it is part of what is to be verified
  std::optional<bool> present = {};  ///< verified: present or absent; empty: not, or undecided
  double pi = 1;                     ///< probability of having been verified
};
/// All units that the screen does not call absent, and the audit.
[[nodiscard]] Result<std::vector<VerifiedUnit>> verified_units(
    Study& study, const Behavior& behavior, Arm arm, const Units& units, const Screen& screen,
    const Labels& labels, AnswerIds& ids);

}  // namespace understudy
