#include "sampling/density_ratio.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/assert.hpp"

namespace understudy {
namespace {

constexpr double kWeightMax = 20;
constexpr double kCost = 0.3;  // smooth: a ratio that follows noise is no ratio

// Mann–Whitney: the share of pairs in which the labeled one scores higher.
double area_of(const std::vector<double>& scores, const std::vector<char>& labels) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  double below = 0, pairs = 0, labeled = 0;
  for (std::size_t i = 0; i < order.size();) {
    double here[2] = {0, 0};
    std::size_t end = i;
    for (; end < order.size() && scores[order[end]] == scores[order[i]]; ++end) {
      ++here[labels[order[end]] != 0 ? 1 : 0];
    }
    pairs += here[1] * (below + here[0] / 2);
    below += here[0];
    labeled += here[1];
    i = end;
  }
  return below > 0 && labeled > 0 ? pairs / (below * labeled) : 0.5;
}

}  // namespace

LogisticLine fit_logistic_line(const std::vector<double>& scores, const std::vector<char>& labels) {
  constexpr double kRidge = 1e-3;
  LogisticLine line;
  for (int round = 0; round < 50; ++round) {
    // Newton's step on the penalized log likelihood.
    double g0 = 0, g1 = -kRidge * line.slope, h00 = 0, h01 = 0, h11 = kRidge;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const double at = std::clamp(line.intercept + line.slope * scores[i], -30.0, 30.0);
      const double p = 1 / (1 + std::exp(-at));
      const double rest = (labels[i] != 0 ? 1.0 : 0.0) - p;
      const double w = std::max(p * (1 - p), 1e-9);
      g0 += rest;
      g1 += rest * scores[i];
      h00 += w;
      h01 += w * scores[i];
      h11 += w * scores[i] * scores[i];
    }
    const double determinant = h00 * h11 - h01 * h01;
    const double d0 = (h11 * g0 - h01 * g1) / determinant;
    const double d1 = (h00 * g1 - h01 * g0) / determinant;
    line.intercept += std::clamp(d0, -5.0, 5.0);
    line.slope += std::clamp(d1, -5.0, 5.0);
    if (std::abs(d0) + std::abs(d1) < 1e-9) break;
  }
  if (line.slope >= 0) return line;
  // Worse than chance: the scores say nothing.
  double labeled = 0;
  for (const char label : labels) labeled += label != 0 ? 1 : 0;
  return {std::log(labeled / (static_cast<double>(labels.size()) - labeled)), 0};
}

DensityRatio::DensityRatio(const Texts& texts) {
  std::vector<double> scores;
  std::vector<char> labels;
  double logs = 0, target = 0;
  for (const std::size_t half : {0U, 1U}) {
    UNDERSTUDY_ASSERT(!texts.logs[half].empty() && !texts.target[half].empty());
    TrainingTexts training;
    std::vector<char> is_target;
    for (const auto& features : texts.logs[half]) training.add(features);
    for (const auto& features : texts.target[half]) training.add(features);
    is_target.assign(texts.logs[half].size(), 0);
    is_target.resize(training.size(), 1);
    of_half_.emplace_back(training, is_target, kCost);
    logs += static_cast<double>(texts.logs[half].size());
    target += static_cast<double>(texts.target[half].size());
  }
  for (const std::size_t half : {0U, 1U}) {
    for (const auto& features : texts.logs[half]) {
      scores.push_back(of_half_[1 - half].log_odds(features));
      labels.push_back(0);
    }
    for (const auto& features : texts.target[half]) {
      scores.push_back(of_half_[1 - half].log_odds(features));
      labels.push_back(1);
    }
  }
  const LogisticLine line = fit_logistic_line(scores, labels);
  intercept_ = line.intercept;
  slope_ = line.slope;
  log_prior_ = std::log(target / logs);
  area_ = area_of(scores, labels);
}

double DensityRatio::weight(std::size_t half, const std::vector<TextFeature>& features) const {
  const double log_odds = intercept_ + slope_ * of_half_.at(1 - half).log_odds(features);
  return std::clamp(std::exp(log_odds - log_prior_), 1 / kWeightMax, kWeightMax);
}

}  // namespace understudy
