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

struct Mean {
  ExactSum sum;
  std::uint64_t count = 0;
  void add(double value) {
    sum.add(value);
    ++count;
  }
  [[nodiscard]] double value() const { return sum.value() / static_cast<double>(count); }
};

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
  Mean candidate_squares, candidate_noise, deployed_squares, deployed_noise, products;
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
      candidate_squares.add(*candidate_bias * *candidate_bias);
      candidate_noise.add(log_variance(*row.candidate_replayed_per_100k, row.candidate_draws));
    }
    if (usable(row.deployed_replayed_per_100k, row.deployed_draws)) {
      deployed_bias = log_ratio(*row.deployed_replayed_per_100k, previous, row.deployed_draws);
      deployed_squares.add(*deployed_bias * *deployed_bias);
      deployed_noise.add(log_variance(*row.deployed_replayed_per_100k, row.deployed_draws));
    }
    if (candidate_bias && deployed_bias) products.add(*candidate_bias * *deployed_bias);
  }
  if (changes.size() < 10) return std::nullopt;
  fit_mixture(changes, fit);
  fit.changes = changes.size();
  fit.releases = releases.size();
  fit.pairs = products.count;
  constexpr double kVarianceFloor = 0.01;  // no pipeline is known to be better than 10%
  if (candidate_squares.count > 0) {
    fit.candidate_bias_variance =
        std::max(candidate_squares.value() - candidate_noise.value(), kVarianceFloor);
  }
  if (deployed_squares.count > 0) {
    fit.deployed_bias_variance =
        std::max(deployed_squares.value() - deployed_noise.value(), kVarianceFloor);
  }
  if (products.count > 0) {
    // Sixty rows can't tell a correlation of 0.9 from a perfect one; trusting too much costs more.
    constexpr double kCorrelationMax = 0.9;
    const double limit =
        kCorrelationMax * std::sqrt(fit.candidate_bias_variance * fit.deployed_bias_variance);
    fit.covariance = std::clamp(products.value(), 0.0, limit);
  }
  return fit;
}

}  // namespace understudy
