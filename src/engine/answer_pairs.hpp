#pragma once
// The candidate's answers beside the logged answers to the same prefixes, user by user.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "discovery/contrast.hpp"
#include "engine/graded_answer.hpp"
#include "store/study_store.hpp"

namespace understudy {

class AnswerPairs {
 public:
  /// Pairs the logged answers with the first completed draw of `arm` for each prefix.
  [[nodiscard]] static Result<AnswerPairs> open(StudyStore& store, Arm arm);

  [[nodiscard]] std::uint64_t count() const { return pairs_.size(); }
  /// A FeaturedPair's id is the place of the pair here.
  [[nodiscard]] Result<void> show(PairVisitor& visitor);

  struct Pair {
    std::uint64_t cluster = 0;
    std::int64_t conversation = 0;
    std::uint32_t cut = 0;
    std::int64_t prefix = 0;
    std::uint32_t index = 0;
  };
  [[nodiscard]] DrawKey key(std::uint64_t id, bool candidate) const;
  /// The user; pairs of a user stand in a row.
  [[nodiscard]] std::uint64_t cluster(std::uint64_t id) const { return pairs_.at(id).cluster; }
  /// From 1; pairs of a conversation stand in the order of its turns.
  [[nodiscard]] std::uint64_t conversation(std::uint64_t id) const {
    return static_cast<std::uint64_t>(pairs_.at(id).conversation);
  }
  /// Valid until the next call of `answer` or `show`.
  [[nodiscard]] Result<AnswerView> answer(std::uint64_t id, bool candidate);

 private:
  Arm arm_ = Arm::kCandidate;
  std::vector<Pair> pairs_;  // users together
  std::optional<AnswerFinder> finder_;
  StudyStore* store_ = nullptr;
};

}  // namespace understudy
