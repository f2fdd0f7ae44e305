#pragma once
// Cases that are known to show a behavior, to measure what its screen misses: the positive examples
// of the behavior's own file, and DIR/known.jsonl beside the study. Those with a text are put to
// the screen blind, among the real transcripts and in the same form. None ever enters a rate.
//
// known.jsonl has a record a line: `behavior`, optional `channel` (default "known") and
// `source_model` (what wrote the answer), and either a conversation in any format of logs that ends
// with the answer, or the `id` of a stored answer that somebody found without the screen's help.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "grading/answer_view.hpp"
#include "grading/behavior.hpp"
#include "store/study_store.hpp"

namespace understudy {

/// Known cases have keys like draws, in an arm of their own beyond the real ones: whatever counts
/// draws never meets them.
inline constexpr Arm kKnownArm = static_cast<Arm>(kArmCount);

struct KnownCase {
  std::string behavior;
  std::string channel;
  std::string source_model;             ///< empty: not said
  std::optional<std::uint64_t> stored;  ///< content id of a stored answer: there is no text here
  std::vector<Message> prefix;
  std::string tools;
  Message answer;
  FinishReason finish = FinishReason::kUnknown;
  std::int64_t key = 0;  ///< packed; from the content, so that it outlives changes to the file

  [[nodiscard]] AnswerView view() const;
};

class KnownCases {
 public:
  /// Errors (kInput) name file and line: no or an unknown behavior, an id that is none, a record
  /// that is no conversation, or one that does not end with an answer.
  [[nodiscard]] static Result<KnownCases> load(const std::string& directory,
                                               const std::vector<Behavior>& behaviors);

  [[nodiscard]] const std::vector<KnownCase>& all() const { return cases_; }
  /// What the screen of this behavior is asked about: each text once.
  [[nodiscard]] std::vector<std::int64_t> keys(const Behavior& behavior) const;
  [[nodiscard]] const KnownCase* find(std::int64_t key) const;

 private:
  std::vector<KnownCase> cases_;
};

/// Every known name, for messages about files beside a study: what it grades, and what is built in.
[[nodiscard]] Result<void> check_behavior_name(const std::string& name,
                                               const std::vector<Behavior>& behaviors,
                                               const ErrorContext& where);

}  // namespace understudy
