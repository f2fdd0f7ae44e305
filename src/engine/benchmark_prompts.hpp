#pragma once
// Prompts of a benchmark, and the candidate's answers to them: what a test that is plainly one
// looks like. The file stays where it is; answers are stored in an arm of their own, by the content
// of the prompt, and each is asked for once, whether an answer comes or none.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "grading/answer_view.hpp"

namespace understudy {

class BenchmarkPrompts {
 public:
  /// Records in any format of logs, compressed or not, de-identified, each up to its last user
  /// message. kInput, naming file and line: a record that is no conversation, or has no user
  /// message; or there is none.
  [[nodiscard]] static Result<BenchmarkPrompts> load(const std::string& path);
  /// All that were ever asked, without their texts: only the answers are in the store.
  [[nodiscard]] static Result<BenchmarkPrompts> stored(Study& study);

  [[nodiscard]] std::size_t count() const { return prompts_.size(); }
  /// Of `stored`: another model's answers, or those to other settings, than the candidate has now.
  [[nodiscard]] bool are_others() const { return are_others_; }
  /// Puts those to the candidate that have not ended, as the replay would; with `retry_errors` also
  /// those that failed. kUsage where another candidate answered before. kPaused where the budget or
  /// Ctrl-C ended it.
  Result<void> ask(Study& study) const;
  /// Keys of the prompts, each in their order.
  struct Answers {
    std::vector<std::int64_t> answered, failed, open;
    std::map<std::string, std::uint64_t> reasons;  ///< of those that failed
  };
  [[nodiscard]] Result<Answers> answers(StudyStore& store) const;
  /// Of one that is answered; valid until the next call.
  [[nodiscard]] Result<AnswerView> answer(StudyStore& store, std::int64_t key);

 private:
  class Asking;
  struct Prompt {
    std::int64_t key = 0;  ///< packed; from the content
    Conversation conversation;
  };
  [[nodiscard]] const Prompt& prompt(std::int64_t key) const;

  std::vector<Prompt> prompts_;  ///< by key: an order that the content makes a random one
  bool are_others_ = false;
  std::optional<StoredDraw> draw_;
  std::vector<Message> own_;
};

}  // namespace understudy
