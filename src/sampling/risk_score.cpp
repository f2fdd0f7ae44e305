#include "sampling/risk_score.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.hpp"
#include "sampling/text_classifier.hpp"

namespace understudy {

struct RiskModel::Fit {
  double rate = 0;
  double odds_factor = 1;  ///< from odds among the examples to odds in the frame
  TextClassifier regression;
};

RiskModel::RiskModel(RiskModel&&) noexcept = default;
RiskModel& RiskModel::operator=(RiskModel&&) noexcept = default;
RiskModel::~RiskModel() = default;

RiskModel::RiskModel(std::span<const RiskExample> examples, std::span<const RiskTarget> targets) {
  TrainingTexts texts;
  for (const RiskExample& example : examples) texts.add(example.features);
  std::vector<char> labels(examples.size());
  for (const RiskTarget& target : targets) {
    UNDERSTUDY_ASSERT(target.bit < 64 && target.rate > 0 && target.rate < 1);
    std::size_t flagged = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      labels[i] = static_cast<char>(examples[i].flags >> target.bit & 1);
      flagged += labels[i] != 0 ? 1U : 0U;
    }
    if (flagged == 0 || flagged == examples.size()) continue;
    fits_.push_back({target.rate, target.unflagged_kept / target.flagged_kept,
                     TextClassifier(texts, labels, 10)});
  }
}

double RiskModel::draw_size(std::span<const TextFeature> features) const {
  double sum = 0;
  for (const Fit& fit : fits_) {
    const double log_odds = std::clamp(fit.regression.log_odds(features), -30.0, 30.0);
    const double odds = fit.odds_factor * std::exp(log_odds);
    sum += odds / (1 + odds) / (fit.rate * fit.rate);
  }
  return fits_.empty() ? 1 : std::sqrt(std::max(sum, 1e-12));
}

RiskDesign::RiskDesign(std::span<const float> sizes, std::uint64_t wanted) {
  constexpr double kByRisk = 0.7;
  const auto count = static_cast<double>(sizes.size());
  per_size_ = kByRisk / std::accumulate(sizes.begin(), sizes.end(), 0.0);
  equal_part_ = (1 - kByRisk) / count;
  if (static_cast<double>(wanted) >= count) {
    factor_ = 1 / equal_part_;
    return;
  }
  double low = static_cast<double>(wanted), high = 1 / equal_part_;
  for (int step = 0; step < 60; ++step) {
    factor_ = (low + high) / 2;
    double sum = 0;
    for (const float size : sizes) sum += pi(static_cast<double>(size));
    (sum < static_cast<double>(wanted) ? low : high) = factor_;
  }
}

double RiskDesign::pi(double size) const {
  return std::min(1.0, factor_ * (per_size_ * size + equal_part_));
}

}  // namespace understudy
