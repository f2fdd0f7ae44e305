#include "discovery/vector_clusters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "base/assert.hpp"
#include "base/json.hpp"
#include "base/rng.hpp"

namespace understudy {
namespace {

constexpr int kRoundsMax = 25;
constexpr double kSame = 1e-6;  // 1 - cosine of what rounding alone tells apart

// Several sums at once: one alone would wait for itself at each step.
double dot(const float* a, const float* b, std::size_t size) {
  constexpr std::size_t kSums = 8;
  std::array<float, kSums> sums{};
  std::size_t i = 0;
  for (; i + kSums <= size; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (; i < size; ++i) sums[0] += a[i] * b[i];
  double sum = 0;
  for (const float one : sums) sum += static_cast<double>(one);
  return sum;
}

class KMeans {
 public:
  KMeans(std::span<const float> vectors, std::size_t dimensions)
      : vectors_(vectors), dimensions_(dimensions), count_(vectors.size() / dimensions) {
    clusters_.dimensions = dimensions;
  }

  VectorClusters run(std::size_t most, std::uint64_t seed) {
    begin(most, seed);
    std::vector<std::size_t> groups(count_, most);
    for (int round = 0; round < kRoundsMax; ++round) {
      bool changed = false;
      for (std::size_t i = 0; i < count_; ++i) {
        const std::size_t nearest = clusters_.nearest(vector(i)).center;
        changed = changed || nearest != groups[i];
        groups[i] = nearest;
      }
      if (!changed) break;
      move_centers(groups);
    }
    return std::move(clusters_);
  }

 private:
  [[nodiscard]] std::span<const float> vector(std::size_t i) const {
    return vectors_.subspan(i * dimensions_, dimensions_);
  }
  void add_center(std::size_t i) {
    clusters_.centers.insert(clusters_.centers.end(), vector(i).begin(), vector(i).end());
  }

  // k-means++: the next center is a vector far from those that there are, oftener the farther.
  void begin(std::size_t most, std::uint64_t seed) {
    if (count_ == 0 || most == 0) return;
    Rng random(seed);
    std::vector<double> distances(count_, std::numeric_limits<double>::infinity());
    add_center(random.below(count_));
    while (clusters_.count() < most) {
      const float* const newest = &clusters_.centers[clusters_.centers.size() - dimensions_];
      double sum = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        const double distance = 1 - dot(vector(i).data(), newest, dimensions_);
        distances[i] = distance < kSame ? 0 : std::min(distances[i], distance);
        sum += distances[i];
      }
      if (sum == 0) return;
      double left = random.uniform() * sum;
      std::size_t chosen = count_;
      for (std::size_t i = 0; i < count_ && (chosen == count_ || left >= 0); ++i) {
        if (distances[i] == 0) continue;
        chosen = i;
        left -= distances[i];
      }
      add_center(chosen);
    }
  }

  void move_centers(const std::vector<std::size_t>& groups) {
    std::vector<double> sums(clusters_.centers.size());
    for (std::size_t i = 0; i < count_; ++i) {
      const std::span<const float> values = vector(i);
      double* const sum = &sums[groups[i] * dimensions_];
      for (std::size_t d = 0; d < dimensions_; ++d) sum[d] += static_cast<double>(values[d]);
    }
    for (std::size_t c = 0; c < clusters_.count(); ++c) {
      double squares = 0;
      for (std::size_t d = 0; d < dimensions_; ++d) {
        squares += sums[c * dimensions_ + d] * sums[c * dimensions_ + d];
      }
      // A center that nothing is near, or whose vectors cancel out, stays where it was.
      if (squares < kSame) continue;
      for (std::size_t d = 0; d < dimensions_; ++d) {
        clusters_.centers[c * dimensions_ + d] =
            static_cast<float>(sums[c * dimensions_ + d] / std::sqrt(squares));
      }
    }
  }

  std::span<const float> vectors_;
  std::size_t dimensions_;
  std::size_t count_;
  VectorClusters clusters_;
};

}  // namespace

ReadVector read_vector(std::string_view json) {
  const Result<Json> parsed = parse_json(json);
  if (!parsed || !parsed->is_array() || parsed->empty()) return {.fault = "not_numbers"};
  if (parsed->size() > kVectorNumbersMax) return {.fault = "too_long"};
  std::vector<double> values;
  double most = 0;
  for (const Json& value : *parsed) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return {.fault = "not_numbers"};
    values.push_back(value.get<double>());
    most = std::max(most, std::abs(values.back()));
  }
  if (most == 0) return {.fault = "zero_vector"};
  double squares = 0;
  for (double& value : values) {
    value /= most;  // so that no square is too large or too small
    squares += value * value;
  }
  ReadVector read;
  for (const double value : values) {
    read.values.push_back(static_cast<float>(value / std::sqrt(squares)));
  }
  return read;
}

Nearest VectorClusters::nearest(std::span<const float> vector) const {
  UNDERSTUDY_ASSERT(count() > 0 && vector.size() == dimensions);
  Nearest nearest{.center = 0, .cosine = -2};
  for (std::size_t c = 0; c < count(); ++c) {
    const double cosine = dot(vector.data(), &centers[c * dimensions], dimensions);
    if (cosine > nearest.cosine) nearest = {c, cosine};
  }
  return nearest;
}

VectorClusters cluster_vectors(std::span<const float> vectors, std::size_t dimensions,
                               std::size_t most, std::uint64_t seed) {
  UNDERSTUDY_ASSERT(dimensions > 0 && vectors.size() % dimensions == 0);
  return KMeans(vectors, dimensions).run(most, seed);
}

}  // namespace understudy
