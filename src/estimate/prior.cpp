#include "estimate/prior.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <tuple>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

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

// --- The default prior: which of many the behaviors at hand make probable.

struct Shape {
  double freedom, scale;
};
constexpr std::array<double, 9> kScales = {0.12, 0.18, 0.26, 0.38, 0.55, 0.75, 1.0, 1.35, 1.8};
constexpr int kCenterSteps = 5;  // centers are 0.1 apart, on the grid
constexpr int kCenters = 4;      // on either side of zero

// Jumps are likely (3 degrees of freedom), or not so likely.
std::vector<Shape> shapes() {
  std::vector<Shape> list;
  for (const double freedom : {3.0, 8.0}) {
    for (const double scale : kScales) list.push_back({freedom, scale});
  }
  return list;
}

Grid student(const Shape& shape) {
  Grid density{};
  for (int i = 0; i < kPoints; ++i) {
    const double u = change_at(i) / shape.scale;
    density[static_cast<std::size_t>(i)] =
        std::pow(1 + u * u / shape.freedom, -(shape.freedom + 1) / 2);
  }
  normalize(density);
  return density;
}

double log_hyperprior(const Shape& shape, int center) {
  constexpr double kDefaultScale = 0.59;  // 0.85 ln 2
  const double center_z = kStep * kCenterSteps * center / 0.15;
  const double scale_z = std::log(shape.scale / kDefaultScale) / 0.5;
  return -0.5 * (center_z * center_z + scale_z * scale_z);
}

// Rates of one report lie between two ends, which their own values tell. Either it is today's rates
// that spread evenly (on the log scale) between the ends, and then a change is more probable that
// leads back from an end; or the old rates do, and changes are what they are. Both are averaged
// over how well they explain all old rates and draws together.
constexpr std::size_t kBandBehaviors = 10;  // fewer tell nothing about ends
constexpr double kBandStep = 0.25;
constexpr int kBandOut = 12, kBandIn = 8;  // how far ends may lie outside and inside the old rates
constexpr std::size_t kEnds = kBandOut + kBandIn + 1;

struct Behavior {
  Grid likelihood;
  std::vector<Grid> priors;  // one a shape; empty: the shared ones, as the old rate is exact
  double log_old = 0;
};

class DefaultPrior {
 public:
  explicit DefaultPrior(std::span<const ChangeEvidence> evidence) : shapes_(shapes()) {
    for (const Shape& shape : shapes_) shared_.push_back(student(shape));
    for (const ChangeEvidence& one : evidence) {
      Behavior behavior{likelihood(one), {}, std::log(one.previous)};
      if (one.previous_log_variance >= kStep * kStep) {
        // An uncertain old rate spreads the prior, not what the draws say.
        for (const Grid& prior : shared_) {
          behavior.priors.push_back(smoothed(prior, one.previous_log_variance));
        }
      }
      behaviors_.push_back(std::move(behavior));
    }
    set_bands();
  }

  // Densities of d, one a behavior, not normalized.
  [[nodiscard]] std::vector<Grid> densities() const {
    std::vector<Choice> choices;
    for (std::size_t shape = 0; shape < shapes_.size(); ++shape) {
      for (int center = -kCenters; center <= kCenters; ++center) {
        choices.push_back(weighed(shape, center));
      }
    }
    double best = -1e300;
    for (const Choice& choice : choices) {
      best = std::max(best, choice.log_free);
      for (const double value : choice.log_banded) best = std::max(best, value);
    }
    std::vector<Grid> sums(behaviors_.size(), Grid{});
    for (const Choice& choice : choices) add(choice, best, sums);
    return sums;
  }

 private:
  // A prior, and the logarithm of its evidence without a band and with each.
  struct Choice {
    std::size_t shape = 0;
    int center = 0;
    double log_free = 0;
    std::vector<double> log_banded;
  };
  // Sums of a density up to each point: mass between two points is a difference.
  using Cumulative = std::array<double, kPoints + 1>;

  void set_bands() {
    const auto by_old = [](const Behavior& a, const Behavior& b) { return a.log_old < b.log_old; };
    const auto [least, most] = std::minmax_element(behaviors_.begin(), behaviors_.end(), by_old);
    const auto count = static_cast<double>(behaviors_.size());
    if (behaviors_.size() < kBandBehaviors) return;
    double free = 0;
    for (std::size_t i = 0; i < kEnds; ++i) {
      lower_.push_back(least->log_old + kBandStep * (static_cast<int>(i) - kBandOut));
      upper_.push_back(std::min(most->log_old + kBandStep * (kBandOut - static_cast<int>(i)), 0.0));
    }
    const double spread = most->log_old - least->log_old;
    for (int below = 0; below < kBandOut; ++below) {
      for (int above = 0; above < kBandOut; ++above) {
        free += std::pow(spread + kBandStep * (below + above + 1), -count);
      }
    }
    log_spread_ = std::log(free);
  }

  [[nodiscard]] Cumulative cumulative(const Behavior& behavior, const Choice& choice) const {
    const Grid& prior =
        behavior.priors.empty() ? shared_[choice.shape] : behavior.priors[choice.shape];
    Cumulative sums{};
    for (int i = 0; i < kPoints; ++i) {
      const auto from =
          static_cast<std::size_t>(std::clamp(i - kCenterSteps * choice.center, 0, kPoints - 1));
      const auto at = static_cast<std::size_t>(i);
      sums[at + 1] = sums[at] + behavior.likelihood[at] * prior[from];
    }
    return sums;
  }

  // The first point of the grid above an end of the band.
  static std::size_t point_above(double end, const Behavior& behavior) {
    const double at = (end - behavior.log_old) / kStep + kHalf + 0.5;
    return static_cast<std::size_t>(std::clamp(at, 0.0, static_cast<double>(kPoints)));
  }

  // Mass of each band [lower, upper], in rows of lower ends.
  [[nodiscard]] std::vector<double> masses(const Behavior& behavior, const Cumulative& sums) const {
    std::vector<double> result;
    for (const double lower : lower_) {
      const double below = sums[point_above(lower, behavior)];
      for (const double upper : upper_) {
        result.push_back(std::max(sums[point_above(upper, behavior)] - below, 0.0));
      }
    }
    return result;
  }

  [[nodiscard]] Choice weighed(std::size_t shape, int center) const {
    Choice choice{shape, center, log_hyperprior(shapes_[shape], center) + log_spread_, {}};
    const auto count = static_cast<double>(behaviors_.size());
    for (const double lower : lower_) {
      for (const double upper : upper_) {
        choice.log_banded.push_back(upper > lower ? log_hyperprior(shapes_[shape], center) -
                                                        count * std::log(upper - lower)
                                                  : -1e300);
      }
    }
    for (const Behavior& behavior : behaviors_) {
      const Cumulative sums = cumulative(behavior, choice);
      choice.log_free += std::log(sums.back() + 1e-300);
      if (lower_.empty()) continue;
      const std::vector<double> mass = masses(behavior, sums);
      for (std::size_t i = 0; i < mass.size(); ++i) {
        choice.log_banded[i] += std::log(mass[i] + 1e-300);
      }
    }
    return choice;
  }

  // Adds this choice's posterior of every behavior, weighted by the choice's evidence.
  void add(const Choice& choice, double best, std::vector<Grid>& sums) const {
    constexpr double kNegligible = -16;  // 1e-7
    const double free = std::exp(choice.log_free - best);
    double most = choice.log_free - best;
    for (const double value : choice.log_banded) most = std::max(most, value - best);
    if (most < kNegligible) return;
    for (std::size_t b = 0; b < behaviors_.size(); ++b) {
      const Behavior& behavior = behaviors_[b];
      const Cumulative masses_up_to = cumulative(behavior, choice);
      // How much the choices say for a rate at each point: steps at the ends of the bands.
      std::array<double, kPoints + 1> steps{};
      steps[0] = free / (masses_up_to.back() + 1e-300);
      if (!lower_.empty()) {
        const std::vector<double> mass = masses(behavior, masses_up_to);
        for (std::size_t i = 0; i < mass.size(); ++i) {
          const double log_weight = choice.log_banded[i] - best;
          if (log_weight < kNegligible || mass[i] <= 0) continue;
          const double weight = std::exp(log_weight) / mass[i];
          steps[point_above(lower_[i / kEnds], behavior)] += weight;
          steps[point_above(upper_[i % kEnds], behavior)] -= weight;
        }
      }
      double level = 0;
      for (std::size_t i = 0; i < kPoints; ++i) {
        level += steps[i];
        sums[b][i] += std::max(level, 0.0) * (masses_up_to[i + 1] - masses_up_to[i]);
      }
    }
  }

  std::vector<Shape> shapes_;
  std::vector<Grid> shared_;
  std::vector<Behavior> behaviors_;
  std::vector<double> lower_, upper_;  // ends of the bands; empty: no bands
  double log_spread_ = 0;              // evidence of the old rates' own even spread
};

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

auto sort_key(const ChangeEvidence& one) {
  return std::tie(one.previous, one.previous_log_variance, one.events, one.exposure,
                  one.recall_flagged, one.recall_positives, one.offset, one.bias_variance);
}

}  // namespace

std::vector<ChangePosterior> change_posteriors(std::span<const ChangeEvidence> evidence,
                                               const std::optional<HistoryFit>& history,
                                               double level) {
  // Sums over behaviors are taken in an order that depends on their values alone.
  std::vector<std::size_t> order(evidence.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return sort_key(evidence[a]) < sort_key(evidence[b]);
  });
  std::vector<ChangeEvidence> sorted;
  for (const std::size_t i : order) sorted.push_back(evidence[i]);

  std::vector<Grid> densities;
  if (history) {
    const Grid prior = history_prior(*history);
    for (const ChangeEvidence& one : sorted) {
      const Grid own_prior = smoothed(prior, one.previous_log_variance);
      Grid density = likelihood(one);
      for (std::size_t i = 0; i < kPoints; ++i) density[i] *= own_prior[i];
      densities.push_back(density);
    }
  } else if (!sorted.empty()) {
    densities = DefaultPrior(sorted).densities();
  }
  const double alpha = (1 - level) / 2;
  std::vector<ChangePosterior> posteriors(evidence.size());
  for (std::size_t k = 0; k < order.size(); ++k) {
    normalize(densities[k]);
    posteriors[order[k]] = {grid_quantile(densities[k], 0.5), grid_quantile(densities[k], alpha),
                            grid_quantile(densities[k], 1 - alpha)};
  }
  return posteriors;
}

}  // namespace understudy
