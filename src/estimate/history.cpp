#include "estimate/history.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "stats/exact_sum.hpp"

namespace understudy {
namespace {

constexpr double kLogLimit = 3;  // what a single log-ratio may contribute: e^3 = 20-fold

// ln(a / b) for rates per 100,000, a replayed one smoothed by half an event of its draws.
double log_ratio(double numerator, double denominator, std::optional<std::uint64_t> draws) {
  double rate = numerator;
  if (draws && *draws > 0) {
    const auto n = static_cast<double>(*draws);
    rate = (numerator / 1e5 * n + 0.5) / (n + 1) * 1e5;
  }
  return std::clamp(std::log(rate / denominator), -kLogLimit, kLogLimit);
}

// Sampling variance of the logarithm of a replayed rate.
double log_variance(double per_100k, std::optional<std::uint64_t> draws) {
  if (!draws) return 0;
  return 1 / std::max(per_100k / 1e5 * static_cast<double>(*draws) + 0.5, 0.5);
}

// How replay differed from what happened, on the log scale: biases and the variance of their noise.
struct Biases {
  std::vector<double> values, noise;
  void add(double value, double variance) {
    values.push_back(value);
    noise.push_back(variance);
  }
};

// Variance of biases around zero that explains their squares beside their noise: the root of
// sum of b^2 / (noise + variance) = n (Paule & Mandel 1982). A mean of squares less the mean of
// noise would let the rarest behaviors decide, whose few draws tell least.
double bias_variance(const Biases& biases) {
  constexpr double kFloor = 0.01;  // no pipeline is known to be better than 10%
  double lo = kFloor, hi = kLogLimit * kLogLimit;
  const auto too_small = [&](double variance) {
    ExactSum sum;
    for (std::size_t i = 0; i < biases.values.size(); ++i) {
      sum.add(biases.values[i] * biases.values[i] / (biases.noise[i] + variance));
    }
    return sum.value() > static_cast<double>(biases.values.size());
  };
  if (!too_small(lo)) return kFloor;
  for (int step = 0; step < 50; ++step) {
    const double middle = (lo + hi) / 2;
    (too_small(middle) ? lo : hi) = middle;
  }
  return lo;
}

// Covariance of two biases that were seen together; rows that tell more of both count for more.
double bias_covariance(const Biases& x, const Biases& y, double x_variance, double y_variance) {
  ExactSum sum, weights;
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const double weight = 1 / ((x.noise[i] + x_variance) * (y.noise[i] + y_variance));
    sum.add(weight * x.values[i] * y.values[i]);
    weights.add(weight);
  }
  return sum.value() / weights.value();
}

// Two zero-mean normals, "barely moved" and "moved", by expectation–maximization.
void fit_mixture(std::vector<double> changes, HistoryFit& fit) {
  std::sort(changes.begin(), changes.end());  // sums below depend on the values alone
  double w = 0.5, a = 0.1, b = 1;
  for (int step = 0; step < 100; ++step) {
    double narrow = 0, narrow_squares = 0, wide = 0, wide_squares = 0;
    for (const double d : changes) {
      const double fa = w / a * std::exp(-0.5 * (d / a) * (d / a));
      const double fb = (1 - w) / b * std::exp(-0.5 * (d / b) * (d / b));
      const double g = fa + fb > 0 ? fa / (fa + fb) : 0;
      narrow += g;
      narrow_squares += g * d * d;
      wide += 1 - g;
      wide_squares += (1 - g) * d * d;
    }
    w = std::clamp(narrow / static_cast<double>(changes.size()), 0.05, 0.95);
    a = narrow > 0 ? std::max(std::sqrt(narrow_squares / narrow), 0.05) : 0.05;
    b = wide > 0 ? std::max(std::sqrt(wide_squares / wide), 2 * a) : 2 * a;
  }
  fit.share = w;
  fit.narrow = a;
  fit.wide = b;
}

bool positive(const std::optional<double>& value) {
  return value && *value > 0;
}

}  // namespace

double HistoryFit::correlation() const {
  const double scale = std::sqrt(candidate_bias_variance * deployed_bias_variance);
  return scale > 0 ? covariance / scale : 0;
}

bool HistoryFit::pivots() const {
  return pairs >= 20 && correlation() > 0.6;
}

std::optional<HistoryFit> fit_history(std::span<const HistoryRow> rows) {
  HistoryFit fit;
  std::vector<double> changes;
  std::set<std::string> releases;
  Biases candidate, deployed, candidate_of_pairs, deployed_of_pairs;
  for (const HistoryRow& row : rows) {
    if (!positive(row.previous_per_100k)) continue;
    const double previous = *row.previous_per_100k;
    std::optional<double> change, candidate_bias, deployed_bias;
    if (positive(row.actual_per_100k)) {
      change = log_ratio(*row.actual_per_100k, previous, std::nullopt);
      changes.push_back(*change);
      releases.insert(row.release);
    }
    const auto usable = [](const std::optional<double>& rate,
                           const std::optional<std::uint64_t>& draws) {
      return rate && (*rate > 0 || (draws && *draws > 0));
    };
    if (change && usable(row.candidate_replayed_per_100k, row.candidate_draws)) {
      candidate_bias =
          log_ratio(*row.candidate_replayed_per_100k, previous, row.candidate_draws) - *change;
      candidate.add(*candidate_bias,
                    log_variance(*row.candidate_replayed_per_100k, row.candidate_draws));
    }
    if (usable(row.deployed_replayed_per_100k, row.deployed_draws)) {
      deployed_bias = log_ratio(*row.deployed_replayed_per_100k, previous, row.deployed_draws);
      deployed.add(*deployed_bias,
                   log_variance(*row.deployed_replayed_per_100k, row.deployed_draws));
    }
    if (candidate_bias && deployed_bias) {
      candidate_of_pairs.add(*candidate_bias, candidate.noise.back());
      deployed_of_pairs.add(*deployed_bias, deployed.noise.back());
    }
  }
  if (changes.size() < 10) return std::nullopt;
  fit_mixture(changes, fit);
  fit.changes = changes.size();
  fit.releases = releases.size();
  fit.pairs = candidate_of_pairs.values.size();
  if (!candidate.values.empty()) fit.candidate_bias_variance = bias_variance(candidate);
  if (!deployed.values.empty()) fit.deployed_bias_variance = bias_variance(deployed);
  if (fit.pairs > 0) {
    // Sixty rows can't tell a correlation of 0.9 from a perfect one; trusting too much costs more.
    constexpr double kCorrelationMax = 0.9;
    const double limit =
        kCorrelationMax * std::sqrt(fit.candidate_bias_variance * fit.deployed_bias_variance);
    const double covariance =
        bias_covariance(candidate_of_pairs, deployed_of_pairs, fit.candidate_bias_variance,
                        fit.deployed_bias_variance);
    fit.covariance = std::clamp(covariance, 0.0, limit);
  }
  return fit;
}

}  // namespace understudy
