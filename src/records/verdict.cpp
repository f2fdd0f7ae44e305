#include "records/verdict.hpp"

#include "records/codec.hpp"

namespace understudy {

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAbsent:
      return "absent";
    case Verdict::kPresent:
      return "present";
    case Verdict::kUngradableLanguage:
      return "language";
    case Verdict::kUngradableRefused:
      return "judge_refused";
    case Verdict::kUngradableUnparsable:
      return "unparsable";
    case Verdict::kUngradableContradictory:
      return "contradictory";
    case Verdict::kUngradableNoText:
      return "no_text";
    case Verdict::kUngradableTooLong:
      return "too_long";
    case Verdict::kUngradableCannotTell:
      return "cannot_tell";
    case Verdict::kUngradableJudgeEmpty:
      return "judge_empty";
    case Verdict::kUngradableJudgeHtml:
      return "judge_html";
    case Verdict::kUngradableJudgeLanguage:
      return "judge_language";
    case Verdict::kUngradableSeveral:
      return "several_verdicts";
    case Verdict::kUngradableJudgeCutOff:
      return "judge_cut_off";
    case Verdict::kUngradableNoEvidence:
      return "no_evidence";
    case Verdict::kUngradableGraderDied:
      return "grader_died";
    case Verdict::kUngradableGraderHung:
      return "grader_hung";
    case Verdict::kUngradableGraderFlood:
      return "grader_flood";
    case Verdict::kUngradableGraderSilent:
      return "grader_silent";
    case Verdict::kUngradableEndedEarly:
      return "trajectory_ended_early";
    case Verdict::kUngradableEssay:
      return "essay";
    case Verdict::kUngradableEcho:
      return "repeats_transcript";
    case Verdict::kUngradableListed:
      return "listed";
    case Verdict::kNotGradedNoJudge:
      return "no_judge";
    case Verdict::kNotGradedNotSelected:
      return "not_selected";
    case Verdict::kNotGradedJudgeFailed:
      return "judge_failed";
  }
  return "unknown";
}

std::string pack_verdicts(const std::vector<SparseVerdict>& verdicts) {
  Encoder out;
  std::uint64_t next = 0;
  for (const SparseVerdict& entry : verdicts) {
    UNDERSTUDY_ASSERT(entry.position >= next);
    out.number(entry.position - next).byte(static_cast<std::uint8_t>(entry.verdict));
    next = entry.position + 1;
  }
  return std::move(out).bytes();
}

std::vector<SparseVerdict> unpack_verdicts(std::string_view bytes, bool& ok) {
  Decoder in(bytes);
  std::vector<SparseVerdict> verdicts;
  std::uint64_t next = 0;
  while (!in.at_end() && in.ok()) {
    SparseVerdict entry;
    entry.position = next + in.number();
    entry.verdict = static_cast<Verdict>(in.byte());
    next = entry.position + 1;
    verdicts.push_back(entry);
  }
  ok = in.ok();
  return verdicts;
}

}  // namespace understudy
