#include "estimate/prior.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/assert.hpp"
#include "stats/distributions.hpp"
#include "stats/exact_sum.hpp"

namespace understudy {
namespace {

// d from a 10,000-fold fall to a 10,000-fold rise, in steps of 2%.
constexpr double kStep = 0.02;
constexpr int kHalf = 460;
constexpr int kPoints = 2 * kHalf + 1;
using Grid = std::array<double, kPoints>;

double change_at(int i) {
  return kStep * (i - kHalf);
}

void normalize(Grid& density) {
  const double sum = std::accumulate(density.begin(), density.end(), 0.0);
  UNDERSTUDY_ASSERT(sum > 0);
  for (double& value : density) value /= sum;
}

// Averages a function of d over normal noise of the given variance.
Grid smoothed(const Grid& values, double variance) {
  if (variance < kStep * kStep) return values;
  const double sd = std::sqrt(variance);
  const int reach = std::min(static_cast<int>(4 * sd / kStep) + 1, kPoints - 1);
  std::vector<double> kernel(static_cast<std::size_t>(reach) + 1);
  double sum = 0;
  for (int j = 0; j <= reach; ++j) {
    const double z = j * kStep / sd;
    kernel[static_cast<std::size_t>(j)] = std::exp(-z * z / 2);
    sum += kernel[static_cast<std::size_t>(j)] * (j == 0 ? 1 : 2);
  }
  Grid result{};
  for (int i = 0; i < kPoints; ++i) {
    double total = 0;
    for (int j = -reach; j <= reach; ++j) {
      const int at = std::clamp(i + j, 0, kPoints - 1);
      total += kernel[static_cast<std::size_t>(std::abs(j))] * values[static_cast<std::size_t>(at)];
    }
    result[static_cast<std::size_t>(i)] = total / sum;
  }
  return result;
}

// Likelihood of d, scaled to a maximum of 1.
Grid likelihood(const ChangeEvidence& evidence) {
  std::vector<double> recall = {1};
  if (evidence.recall_positives > 0) {
    recall.clear();
    for (int i = 0; i < 9; ++i) {
      recall.push_back(beta_quantile(evidence.recall_flagged + 0.5,
                                     evidence.recall_positives - evidence.recall_flagged + 0.5,
                                     (i + 0.5) / 9));
    }
  }
  Grid result{};
  double best = -1e300;
  std::vector<Grid> parts(recall.size());
  for (std::size_t r = 0; r < recall.size(); ++r) {
    const double base = evidence.previous * evidence.exposure * recall[r];
    for (int i = 0; i < kPoints; ++i) {
      const double log_mean = std::log(base) + change_at(i) + evidence.offset;
      const double value = evidence.events * log_mean - std::exp(log_mean);
      parts[r][static_cast<std::size_t>(i)] = value;
      best = std::max(best, value);
    }
  }
  for (std::size_t i = 0; i < kPoints; ++i) {
    for (const Grid& part : parts) result[i] += std::exp(part[i] - best);
    result[i] /= static_cast<double>(parts.size());
  }
  return smoothed(result, evidence.bias_variance);
}

Grid history_prior(const HistoryFit& fit) {
  Grid prior{};
  for (int i = 0; i < kPoints; ++i) {
    const double d = change_at(i);
    prior[static_cast<std::size_t>(i)] =
        fit.share / fit.narrow * std::exp(-0.5 * (d / fit.narrow) * (d / fit.narrow)) +
        (1 - fit.share) / fit.wide * std::exp(-0.5 * (d / fit.wide) * (d / fit.wide)) + 1e-12;
  }
  normalize(prior);
  return prior;
}

Grid student_prior(double center, double scale, double freedom) {
  Grid prior{};
  for (int i = 0; i < kPoints; ++i) {
    const double u = (change_at(i) - center) / scale;
    prior[static_cast<std::size_t>(i)] = std::pow(1 + u * u / freedom, -(freedom + 1) / 2);
  }
  normalize(prior);
  return prior;
}

double dot(const Grid& a, const Grid& b) {
  double sum = 0;
  for (std::size_t i = 0; i < kPoints; ++i) sum += a[i] * b[i];
  return sum;
}

struct PriorChoice {
  Grid prior;
  double log_weight;
};

// The default priors, made once.
const std::vector<PriorChoice>& prior_choices() {
  static const std::vector<PriorChoice> choices = [] {
    constexpr std::array<double, 9> kScales = {0.12, 0.18, 0.26, 0.38, 0.55, 0.75, 1.0, 1.35, 1.8};
    constexpr double kDefaultScale = 0.59;  // 0.85 ln 2
    std::vector<PriorChoice> list;
    for (const double freedom : {3.0, 8.0}) {  // jumps are likely, or not so likely
      for (int c = -4; c <= 4; ++c) {
        for (const double scale : kScales) {
          const double center = 0.1 * c;
          const double center_z = center / 0.15;
          const double scale_z = std::log(scale / kDefaultScale) / 0.5;
          list.push_back({student_prior(center, scale, freedom),
                          -0.5 * (center_z * center_z + scale_z * scale_z)});
        }
      }
    }
    return list;
  }();
  return choices;
}

// The default prior, averaged over how well each choice explains all behaviors together.
Grid fitted_prior(std::span<const Grid> likelihoods) {
  const std::vector<PriorChoice>& choices = prior_choices();
  std::vector<double> log_weights;
  for (const PriorChoice& choice : choices) {
    ExactSum evidence;  // in any order of the behaviors
    for (const Grid& grid : likelihoods) evidence.add(std::log(dot(grid, choice.prior) + 1e-300));
    log_weights.push_back(choice.log_weight + evidence.value());
  }
  const double best = *std::max_element(log_weights.begin(), log_weights.end());
  Grid prior{};
  for (std::size_t c = 0; c < choices.size(); ++c) {
    const double weight = std::exp(log_weights[c] - best);
    for (std::size_t i = 0; i < kPoints; ++i) prior[i] += weight * choices[c].prior[i];
  }
  normalize(prior);
  return prior;
}

// Quantile of a density on the grid, linear between points.
double grid_quantile(const Grid& density, double p) {
  double below = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double mass = density[static_cast<std::size_t>(i)];
    if (below + mass >= p && mass > 0) return change_at(i) + kStep * ((p - below) / mass - 0.5);
    below += mass;
  }
  return change_at(kPoints - 1);
}

}  // namespace

std::vector<ChangePosterior> change_posteriors(std::span<const ChangeEvidence> evidence,
                                               const std::optional<HistoryFit>& history,
                                               double level) {
  std::vector<Grid> likelihoods;
  likelihoods.reserve(evidence.size());
  // An uncertain old rate spreads the prior, not what the draws say. Averaged over either, the fit
  // of a prior is the same, as the kernel is symmetric.
  std::vector<Grid> spread;
  for (const ChangeEvidence& one : evidence) {
    likelihoods.push_back(likelihood(one));
    spread.push_back(smoothed(likelihoods.back(), one.previous_log_variance));
  }
  std::vector<ChangePosterior> posteriors;
  if (evidence.empty()) return posteriors;
  const Grid prior = history ? history_prior(*history) : fitted_prior(spread);
  const double alpha = (1 - level) / 2;
  for (std::size_t k = 0; k < evidence.size(); ++k) {
    const Grid own_prior = smoothed(prior, evidence[k].previous_log_variance);
    Grid density{};
    for (std::size_t i = 0; i < kPoints; ++i) density[i] = likelihoods[k][i] * own_prior[i];
    normalize(density);
    posteriors.push_back({grid_quantile(density, 0.5), grid_quantile(density, alpha),
                          grid_quantile(density, 1 - alpha)});
  }
  return posteriors;
}

}  // namespace understudy
