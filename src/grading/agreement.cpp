#include "grading/agreement.hpp"

#include <algorithm>
#include <map>

#include "base/assert.hpp"
#include "base/rng.hpp"

namespace understudy {
namespace {

// The value at a share of a sorted list, without interpolation.
double at_share(const std::vector<double>& sorted, double share) {
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[index];
}

template <class Unit, class Figure>
std::optional<Agreement> with_interval(std::span<const Unit> units, std::uint64_t seed,
                                       std::size_t resamples, const Figure& figure) {
  UNDERSTUDY_ASSERT(resamples >= 1);
  const std::optional<double> value = figure(units);
  if (!value) return std::nullopt;
  Rng rng(seed);
  std::vector<double> values;
  std::vector<Unit> drawn(units.size());
  for (std::size_t r = 0; r < resamples; ++r) {
    for (Unit& unit : drawn) unit = units[rng.below(units.size())];
    const std::optional<double> again = figure(std::span<const Unit>(drawn));
    if (again) values.push_back(*again);
  }
  Agreement agreement{*value, *value, *value, units.size()};
  if (values.empty()) return agreement;
  std::sort(values.begin(), values.end());
  agreement.lo = at_share(values, 0.025);
  agreement.hi = at_share(values, 0.975);
  return agreement;
}

}  // namespace

std::optional<double> cohen_kappa(std::span<const std::pair<int, int>> labels) {
  std::map<int, std::pair<double, double>> counts;  // by label: the first's, the second's
  double same = 0;
  for (const auto& [first, second] : labels) {
    counts[first].first += 1;
    counts[second].second += 1;
    same += first == second ? 1 : 0;
  }
  const auto n = static_cast<double>(labels.size());
  double by_chance = 0;
  for (const auto& [label, count] : counts) by_chance += count.first * count.second;
  if (labels.empty() || by_chance == n * n) return std::nullopt;
  by_chance /= n * n;
  return (same / n - by_chance) / (1 - by_chance);
}

std::optional<double> krippendorff_alpha(std::span<const std::vector<int>> units) {
  std::map<int, double> totals;  // n_c: pairable values by label
  double n = 0;
  double disagreement = 0;  // of pairs within units, each unit's weighted by 1 / (m - 1)
  for (const std::vector<int>& unit : units) {
    if (unit.size() < 2) continue;
    std::map<int, double> counts;
    for (const int label : unit) counts[label] += 1;
    const auto m = static_cast<double>(unit.size());
    double different = m * (m - 1);
    for (const auto& [label, count] : counts) {
      totals[label] += count;
      different -= count * (count - 1);
    }
    disagreement += different / (m - 1);
    n += m;
  }
  double expected = n * (n - 1);
  for (const auto& [label, total] : totals) expected -= total * (total - 1);
  if (n < 2 || expected <= 0) return std::nullopt;
  return 1 - (n - 1) * disagreement / expected;
}

std::optional<Agreement> cohen_agreement(std::span<const std::pair<int, int>> labels,
                                         std::uint64_t seed, std::size_t resamples) {
  return with_interval(labels, seed, resamples, cohen_kappa);
}

std::optional<Agreement> krippendorff_agreement(std::span<const std::vector<int>> units,
                                                std::uint64_t seed, std::size_t resamples) {
  std::vector<std::vector<int>> labeled;
  std::copy_if(units.begin(), units.end(), std::back_inserter(labeled),
               [](const std::vector<int>& unit) { return unit.size() >= 2; });
  return with_interval(std::span<const std::vector<int>>(labeled), seed, resamples,
                       krippendorff_alpha);
}

}  // namespace understudy
