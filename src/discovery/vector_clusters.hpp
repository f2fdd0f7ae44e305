#pragma once
// Texts as vectors of length 1, and groups of vectors that point about the same way: spherical
// k-means, begun with k-means++. Deterministic: the same vectors in the same order and the same
// seed give the same groups.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace understudy {

inline constexpr std::size_t kVectorNumbersMax = 65'536;

/// A vector as a server gave it.
struct ReadVector {
  std::vector<float> values = {};  ///< of length 1; empty where there is a fault
  std::string_view fault = {};     ///< "not_numbers", "zero_vector", "too_long"; empty: none
};
/// `json`: an array of finite numbers, at least one of them not 0. NaN, infinity, null, text and
/// whatever else is a fault.
[[nodiscard]] ReadVector read_vector(std::string_view json);

struct Nearest {
  std::size_t center = 0;
  double cosine = 0;
};

struct VectorClusters {
  std::size_t dimensions = 0;
  std::vector<float> centers;  ///< one after the other, each of length 1
  [[nodiscard]] std::size_t count() const {
    return dimensions == 0 ? 0 : centers.size() / dimensions;
  }
  /// `vector`: of `dimensions` numbers and length 1; count() > 0.
  [[nodiscard]] Nearest nearest(std::span<const float> vector) const;
};

/// `vectors`: one after the other, each of `dimensions` numbers and length 1. Gives at most `most`
/// groups: fewer where there are fewer different vectors, none where there is none.
[[nodiscard]] VectorClusters cluster_vectors(std::span<const float> vectors, std::size_t dimensions,
                                             std::size_t most, std::uint64_t seed);

}  // namespace understudy
