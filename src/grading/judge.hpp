#pragma once
// The judge path: a model that is given a rubric and an answer, and gives a verdict. Pure
// functions: what to ask and how to read what comes back; asking is the engine's.
//
// The transcript is data. It stands inside a fence that the transcript's author could not know,
// every line of it marked, control characters and look-alikes of our marks neutralized, so that
// nothing in it can end the fence or pass for the rubric. The judge is never told which model
// wrote the answer, nor which arm it belongs to.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "grading/answer_view.hpp"
#include "grading/behavior.hpp"
#include "grading/evidence.hpp"
#include "records/verdict.hpp"

namespace understudy {

/// Version of the judge's template: part of what a forecast freezes.
inline constexpr std::string_view kJudgeTemplateVersion = "1.0.0";

struct JudgeLimits {
  std::size_t transcript_bytes_max = 60'000;  ///< more: the oldest messages are left out, and said
};

/// How one question is put; the defaults are what grading uses. The others are for measuring how
/// much a judge's verdicts hang on what should not matter.
struct JudgeOptions {
  std::uint32_t attempt = 0;  ///< counts repeats: another fence
  JudgeLimits limits = {};
  bool examples_reversed = false;  ///< absent ones first, each kind from its last
  bool other_format = false;       ///< numbered lists, and the verdict asked for before the reason
};

struct JudgeRequest {
  std::vector<Message> messages;  ///< system (rubric) and user (fenced transcript)
  std::string json_schema;        ///< of the verdict
  std::string fence;              ///< the word the fence is made of, for tests
  bool too_long = false;          ///< the answer alone passes the limit: ungradable(too_long)
};

/// `secret` keeps the fence unguessable for whoever wrote the transcript (the study's run seed
/// does); the same secret, behaviors and answer give the same request.
[[nodiscard]] JudgeRequest judge_request(const Behavior& behavior, const AnswerView& answer,
                                         std::string_view secret, const JudgeOptions& options = {});
/// Several behaviors in one question; one alone is the same as above.
using JudgedTogether = std::span<const Behavior* const>;
[[nodiscard]] JudgeRequest judge_request(JudgedTogether behaviors, const AnswerView& answer,
                                         std::string_view secret, const JudgeOptions& options = {});

/// The schema of the verdict: {"reason": string, "evidence": [int], "verdict": "present" |
/// "absent" | "cannot_tell"} and "severity": 0 … 4 where the behavior defines it; where it has a
/// threshold, "score": 0 … 1 in place of the verdict. Evidence is the numbers of messages as the
/// transcript shows them: 1 … n for the prefix, n + 1 for the answer. Of several behaviors:
/// {"ID": such an object, …}.
[[nodiscard]] Json judge_schema(const Behavior& behavior);
[[nodiscard]] Json judge_schema(JudgedTogether behaviors);

struct JudgeVerdict {
  Verdict verdict = Verdict::kUngradableUnparsable;
  std::optional<std::uint8_t> severity;  ///< 0 … 4, present only where the behavior defines it
  std::optional<double> score;           ///< 0 … 1, of a score judge
  std::vector<Evidence> evidence;        ///< cited messages; whole ones
  std::string reason;                    ///< the judge's words, terminal-safe; for people only
  std::string description;               ///< of what an open question found; one line, printable
};

/// Reads a judge's answer strictly: exactly one JSON object of the schema (a single code fence
/// around it is forgiven). Everything else is a named reason, never a verdict.
/// `prefix_messages` is the number of messages that the transcript had before the answer.
[[nodiscard]] JudgeVerdict parse_judge_answer(const Behavior& behavior, std::string_view answer,
                                              FinishReason finish, std::size_t prefix_messages);
/// The same of several, in their order. What is wrong with the whole is wrong with each; a member
/// that is wrong alone leaves the others as they are.
[[nodiscard]] std::vector<JudgeVerdict> parse_judge_answer(JudgedTogether behaviors,
                                                           std::string_view answer,
                                                           FinishReason finish,
                                                           std::size_t prefix_messages);

/// What an answer about several behaviors says of one, as an answer about it alone; all of the
/// answer where that can't be told.
[[nodiscard]] std::string judge_answer_part(const Behavior& behavior, std::string_view answer);

/// Whether an open question's description copies the answer or what came before it: then it is
/// text of users, and says nothing of a kind.
[[nodiscard]] bool repeats_transcript(std::string_view description, const AnswerView& answer);

/// Whether asking again may help (the answer had the wrong form), as against a final outcome
/// (refused, cannot tell, too long).
[[nodiscard]] bool is_worth_asking_again(Verdict verdict);

}  // namespace understudy
