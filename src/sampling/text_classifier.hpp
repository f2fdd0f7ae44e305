#pragma once
// Logistic regression with L2 penalty on hashed text features (liblinear): what the risk score and
// the density ratio are learned with. Deterministic: a Newton method, nothing random in it.

#include <memory>
#include <span>
#include <vector>

#include "sampling/text_features.hpp"

struct feature_node;

namespace understudy {

/// Texts that several classifiers learn from, in the form that liblinear reads.
class TrainingTexts {
 public:
  TrainingTexts();
  TrainingTexts(TrainingTexts&&) noexcept;
  ~TrainingTexts();
  void add(std::span<const TextFeature> features);
  [[nodiscard]] std::size_t size() const { return rows_.size(); }

 private:
  friend class TextClassifier;
  std::vector<std::vector<feature_node>> rows_;
};

class TextClassifier {
 public:
  /// One label a text, and some of both kinds. `cost` of an error against the penalty: the less,
  /// the smoother.
  TextClassifier(TrainingTexts& texts, std::span<const char> labels, double cost);
  TextClassifier(TextClassifier&&) noexcept;
  TextClassifier& operator=(TextClassifier&&) noexcept;
  ~TextClassifier();

  /// ln odds of the label among texts like those learned from.
  [[nodiscard]] double log_odds(std::span<const TextFeature> features) const;

 private:
  struct Fit;
  std::unique_ptr<Fit> fit_;
};

}  // namespace understudy
