#pragma once
// From a unit's key to what a grader sees: the conversation before the answer, and the answer cut
// to the window. The same for logged and fresh answers: that is what makes the arms comparable.

#include <optional>
#include <vector>

#include "base/result.hpp"
#include "grading/answer_view.hpp"
#include "store/study_store.hpp"

namespace understudy {

/// A logged answer, as a view into its conversation. Its finish reason is not in logs: kUnknown.
[[nodiscard]] AnswerView logged_answer(const Conversation& conversation, const FrameTurn& turn);
/// A draw's answer; the draw completed. `own` keeps what the view looks at beside the conversation:
/// where the draw is a trajectory, the prefix with the steps behind it.
[[nodiscard]] AnswerView drawn_answer(const Conversation& conversation, std::uint32_t cut,
                                      const StoredDraw& draw, std::vector<Message>& own);

/// Walks an arm's answers in canonical order, loading each conversation once.
using AnswerVisitor = std::function<Result<void>(const AnswerView& answer)>;
Result<void> for_each_answer(StudyStore& store, Arm arm, const AnswerVisitor& visit);

/// Finds single answers by key, for judges and reports.
class AnswerFinder {
 public:
  [[nodiscard]] static Result<AnswerFinder> open(StudyStore& store);
  /// The view is valid until the next call.
  [[nodiscard]] Result<AnswerView> find(const DrawKey& key);

 private:
  struct Place {
    std::int64_t conversation = 0;
    std::uint32_t cut = 0;
  };
  StudyStore* store_ = nullptr;
  std::vector<Place> prefixes_;
  std::optional<StoredConversation> conversation_;
  std::optional<StoredDraw> draw_;
  std::vector<Message> own_;
};

}  // namespace understudy
