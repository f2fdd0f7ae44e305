#pragma once
// Prompts of a benchmark, and the candidate's answers to them: what a test that is plainly one
// looks like. The file stays where it is; answers are stored in an arm of their own, by the content
// of the prompt, and each is asked for once.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "grading/answer_view.hpp"

namespace understudy {

class BenchmarkPrompts {
 public:
  /// Records in any format of logs, de-identified, each up to its last user message. kInput, naming
  /// file and line: a record that is no conversation, or has no user message; or there is none.
  [[nodiscard]] static Result<BenchmarkPrompts> load(const std::string& path);

  [[nodiscard]] std::size_t count() const { return prompts_.size(); }
  /// Puts those to the candidate that have no answer stored, with its settings. kPaused where the
  /// budget or Ctrl-C ended it.
  Result<void> ask(Study& study);
  /// Keys of the prompts that have an answer, in their order.
  [[nodiscard]] Result<std::vector<std::int64_t>> answered(StudyStore& store) const;
  /// Of one of those; valid until the next call.
  [[nodiscard]] Result<AnswerView> answer(StudyStore& store, std::int64_t key);

 private:
  struct Prompt {
    std::int64_t key = 0;  ///< packed; from the content
    Conversation conversation;
  };
  [[nodiscard]] const Prompt& prompt(std::int64_t key) const;

  std::vector<Prompt> prompts_;  ///< by key: an order that the content makes a random one
  std::optional<StoredDraw> draw_;
  std::vector<Message> own_;
};

}  // namespace understudy
