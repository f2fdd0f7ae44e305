#pragma once
// Where a finding happens: which properties of the prefix are commoner among the answers that have
// it than among all. A description of what was found, not a test: the same answers chose it.

#include <span>
#include <string>
#include <vector>

#include "grading/answer_features.hpp"

namespace understudy {

/// Names of properties of the prefix: words, shapes, language and length of the last user message,
/// which turn it is, whether there are tools, a system prompt, or a tool's result is answered.
[[nodiscard]] std::vector<std::string> situations_of(FeatureExtractor& extractor,
                                                     const AnswerView& answer);

struct Situation {
  std::string name;
  double share = 0;      ///< of the finding's answers, [0, 1]
  double share_all = 0;  ///< of all answers
};
/// The most telling first, at most `max`: Fisher's exact test below 0.001, and commoner.
[[nodiscard]] std::vector<Situation> localized(std::span<const std::vector<std::string>> of_finding,
                                               std::span<const std::vector<std::string>> of_all,
                                               std::size_t max);

}  // namespace understudy
