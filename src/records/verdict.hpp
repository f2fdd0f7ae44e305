#pragma once
// A verdict: what a grader says of one answer and one behavior. Missing is a value with a reason.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace understudy {

/// One byte, so that 26 million of them stay small: absent is 0 and is not stored at all.
enum class Verdict : std::uint8_t {
  kAbsent = 0,
  kPresent = 1,
  // The grader looked and can't say: `ungradable{reason}`.
  kUngradableLanguage = 16,       ///< the rule is written for other languages
  kUngradableRefused = 17,        ///< the judge refused to judge
  kUngradableUnparsable = 18,     ///< the judge's answer is not a verdict
  kUngradableContradictory = 19,  ///< the judge gave several verdicts
  kUngradableNoText = 20,         ///< there is nothing this grader can look at
  kUngradableTooLong = 21,        ///< does not fit the judge's context
  kUngradableCannotTell = 22,     ///< the grader says that the transcript does not decide it
  kUngradableJudgeEmpty = 23,     ///< the judge answered nothing
  kUngradableJudgeHtml = 24,      ///< the judge's answer is a web page
  kUngradableJudgeLanguage = 25,  ///< the judge's answer is prose in another language
  kUngradableSeveral = 26,        ///< the judge's answer holds more than one verdict
  kUngradableJudgeCutOff = 27,    ///< the judge's answer ended at its length limit
  kUngradableNoEvidence = 28,     ///< present, but without a message that shows it
  kUngradableGraderDied = 29,     ///< the external program ended with an error
  kUngradableGraderHung = 30,     ///< the external program gave no output in its time
  kUngradableGraderFlood = 31,    ///< the external program wrote more than verdicts can be
  kUngradableGraderSilent = 32,   ///< the external program left this answer out
  kUngradableEndedEarly = 33,     ///< not seen, in a trajectory that the model did not end itself
  kUngradableEssay = 34,          ///< the auditor's description is no single short line
  kUngradableEcho = 35,           ///< the auditor's description copies the transcript
  kUngradableListed = 36,         ///< the auditor names what is on its list
  // Nobody looked: `not_graded{reason}`.
  kNotGradedNoJudge = 64,      ///< the behavior needs a judge and no judge role is set
  kNotGradedNotSelected = 65,  ///< outside the part of the frame that the judge was given
  kNotGradedJudgeFailed = 66,  ///< the judge could not be reached
};

[[nodiscard]] constexpr bool is_ungradable(Verdict verdict) {
  return verdict >= Verdict::kUngradableLanguage && verdict < Verdict::kNotGradedNoJudge;
}
[[nodiscard]] constexpr bool is_not_graded(Verdict verdict) {
  return verdict >= Verdict::kNotGradedNoJudge;
}
/// "absent", "present", or the reason's name as the report prints it ("language", "no_judge").
[[nodiscard]] std::string_view verdict_name(Verdict verdict);

/// Which grader gave it: the screen sees everything; verification sees a designed subset.
/// A probe only measures the grader, and an audit looks for what has no name yet: none of their
/// verdicts is ever in an estimate.
enum class GradingLayer : std::uint8_t { kScreen = 0, kVerified = 1, kProbe = 2, kAudit = 3 };

/// A run of verdicts in the order of its draws, sparse in what is not absent.
/// Wire form: varint gaps and one byte each.
struct SparseVerdict {
  std::uint64_t position = 0;  ///< within the run
  Verdict verdict = Verdict::kPresent;
  bool operator==(const SparseVerdict&) const = default;
};
[[nodiscard]] std::string pack_verdicts(const std::vector<SparseVerdict>& verdicts);
/// Empty on damage only when `bytes` is not what pack_verdicts gave; `ok` says.
[[nodiscard]] std::vector<SparseVerdict> unpack_verdicts(std::string_view bytes, bool& ok);

}  // namespace understudy
