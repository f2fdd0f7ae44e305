#include "sampling/text_classifier.hpp"

#include <linear.h>

#include "base/assert.hpp"

namespace understudy {
namespace {

// liblinear's form: nodes up to an index of -1.
std::vector<feature_node> nodes_of(std::span<const TextFeature> features) {
  std::vector<feature_node> nodes;
  nodes.reserve(features.size() + 1);
  for (const TextFeature& feature : features) nodes.push_back({feature.index, feature.value});
  nodes.push_back({-1, 0});
  return nodes;
}

struct FreeModel {
  void operator()(model* owned) const { free_and_destroy_model(&owned); }
};

}  // namespace

struct TextClassifier::Fit {
  std::unique_ptr<model, FreeModel> regression;
};

TrainingTexts::TrainingTexts() = default;
TrainingTexts::TrainingTexts(TrainingTexts&&) noexcept = default;
TrainingTexts::~TrainingTexts() = default;

void TrainingTexts::add(std::span<const TextFeature> features) {
  rows_.push_back(nodes_of(features));
}

TextClassifier::TextClassifier(TextClassifier&&) noexcept = default;
TextClassifier& TextClassifier::operator=(TextClassifier&&) noexcept = default;
TextClassifier::~TextClassifier() = default;

TextClassifier::TextClassifier(TrainingTexts& texts, std::span<const char> labels, double cost) {
  UNDERSTUDY_ASSERT(labels.size() == texts.size());
  set_print_string_function([](const char*) {});
  std::vector<feature_node*> rows;
  rows.reserve(texts.rows_.size());
  for (auto& row : texts.rows_) rows.push_back(row.data());
  std::vector<double> signs;
  signs.reserve(labels.size());
  for (const char label : labels) signs.push_back(label != 0 ? 1 : -1);
  problem data{};
  data.l = static_cast<int>(rows.size());
  data.n = kTextFeatures;
  data.y = signs.data();
  data.x = rows.data();
  data.bias = -1;  // none: the features every text has do its work
  parameter how{};
  how.solver_type = L2R_LR;
  how.eps = 0.01;
  how.C = cost;
  fit_ = std::make_unique<Fit>(Fit{std::unique_ptr<model, FreeModel>(train(&data, &how))});
  UNDERSTUDY_ASSERT(fit_->regression->nr_class == 2);
}

double TextClassifier::log_odds(std::span<const TextFeature> features) const {
  const std::vector<feature_node> nodes = nodes_of(features);
  double decision = 0;
  predict_values(fit_->regression.get(), nodes.data(), &decision);
  return fit_->regression->label[0] == 1 ? decision : -decision;
}

}  // namespace understudy
