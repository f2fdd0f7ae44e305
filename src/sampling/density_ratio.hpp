#pragma once
// Density-ratio weights (statistics.md (50)): how much oftener a prefix like this comes in the
// target traffic than in the logs, from unlabeled texts of both. A classifier tells them apart; its
// odds are the ratio. Cross-fitted: nobody's text is weighed by a classifier that has read it.

#include <cstddef>
#include <memory>
#include <vector>

#include "sampling/text_classifier.hpp"

namespace understudy {

class DensityRatio {
 public:
  /// Texts of the two halves (0 and 1) of the logs and of the target. Which half a text is in is
  /// decided by its author. Every half of both holds some.
  struct Texts {
    std::vector<std::vector<TextFeature>> logs[2], target[2];
  };
  explicit DensityRatio(const Texts& texts);

  /// For a text of this half of the logs, by the classifier of the other half: > 0, 1 where the
  /// text says nothing, clipped at 20 either way. Odds are calibrated on texts that the classifier
  /// has not read (a line in the log odds: Platt 1999), so that one that learned noise gives 1.
  [[nodiscard]] double weight(std::size_t half, const std::vector<TextFeature>& features) const;
  /// Of telling the two apart, over pairs; ½: not at all. On texts that were not read.
  [[nodiscard]] double area() const { return area_; }

 private:
  std::vector<TextClassifier> of_half_;  ///< by the half that it learned from
  double intercept_ = 0, slope_ = 1;
  double log_prior_ = 0;  ///< ln(texts of the target / texts of the logs)
  double area_ = 0.5;
};

/// ln odds = intercept + slope · score by maximum likelihood, a touch of ridge on the slope; slope
/// at least 0. Both labels occur.
struct LogisticLine {
  double intercept = 0, slope = 0;
};
[[nodiscard]] LogisticLine fit_logistic_line(const std::vector<double>& scores,
                                             const std::vector<char>& labels);

}  // namespace understudy
