#include "stats/weighting.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/assert.hpp"

namespace understudy {
namespace {

constexpr int kRoundsMax = 1000;
constexpr double kDeviationMax = 1e-6;

std::vector<double> sums_of(const std::vector<double>& weights, const Margin& margin) {
  std::vector<double> sums(margin.shares.size(), 0);
  for (std::size_t i = 0; i < weights.size(); ++i) sums[margin.stratum_of[i]] += weights[i];
  return sums;
}

// The largest difference of a stratum's share from what it should be.
double deviation(const std::vector<double>& weights, const Margin& margin, double total) {
  const std::vector<double> sums = sums_of(weights, margin);
  double worst = 0;
  for (std::size_t s = 0; s < sums.size(); ++s) {
    worst = std::max(worst, std::abs(sums[s] / total - margin.shares[s]));
  }
  return worst;
}

// False where a stratum that has a share has no weight.
bool fit(std::vector<double>& weights, const Margin& margin, double total) {
  const std::vector<double> sums = sums_of(weights, margin);
  std::vector<double> factors(sums.size(), 0);
  for (std::size_t s = 0; s < sums.size(); ++s) {
    if (sums[s] > 0) factors[s] = margin.shares[s] * total / sums[s];
    if (sums[s] <= 0 && margin.shares[s] > 0) return false;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] *= factors[margin.stratum_of[i]];
  return true;
}

}  // namespace

double kish_share(std::span<const double> weights) {
  double sum = 0, squares = 0;
  for (const double weight : weights) {
    sum += weight;
    squares += weight * weight;
  }
  return squares > 0 ? sum * sum / (static_cast<double>(weights.size()) * squares) : 0;
}

std::optional<std::vector<double>> raked(std::vector<double> weights,
                                         std::span<const Margin> margins) {
  const auto total = static_cast<double>(weights.size());
  for (const Margin& margin : margins) {
    UNDERSTUDY_ASSERT(margin.stratum_of.size() == weights.size());
  }
  for (int round = 0; round < kRoundsMax; ++round) {
    double worst = 0;
    for (const Margin& margin : margins) {
      if (!fit(weights, margin, total)) return std::nullopt;
    }
    for (const Margin& margin : margins) {
      worst = std::max(worst, deviation(weights, margin, total));
    }
    if (worst <= kDeviationMax) return weights;
  }
  return std::nullopt;
}

}  // namespace understudy
