#include "stats/clusters.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "stats/exact_sum.hpp"

namespace understudy {
namespace {

ClusterTotal totals(std::span<const ClusterTotal> clusters) {
  ExactSum hits, size;
  for (const ClusterTotal& cluster : clusters) {
    hits.add(cluster.hits);
    size.add(cluster.size);
  }
  return {hits.value(), size.value()};
}

}  // namespace

double cluster_ratio_variance(std::span<const ClusterTotal> clusters) {
  UNDERSTUDY_ASSERT(clusters.size() >= 2);
  const ClusterTotal total = totals(clusters);
  UNDERSTUDY_ASSERT(total.size > 0);
  const double rate = total.hits / total.size;
  ExactSum squares;
  for (const ClusterTotal& cluster : clusters) {
    const double residual = cluster.hits - rate * cluster.size;
    squares.add(residual * residual);
  }
  const auto count = static_cast<double>(clusters.size());
  return count / (count - 1) * squares.value() / (total.size * total.size);
}

double design_effect(std::span<const ClusterTotal> clusters) {
  const ClusterTotal total = totals(clusters);
  const double rate = total.hits / total.size;
  if (rate <= 0 || rate >= 1) return 1;
  return std::max(cluster_ratio_variance(clusters) / (rate * (1 - rate) / total.size), 1.0);
}

}  // namespace understudy
