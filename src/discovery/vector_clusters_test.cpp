#include "discovery/vector_clusters.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.hpp"

namespace understudy {
namespace {

TEST(ReadVector, IsOfLengthOne) {
  const ReadVector read = read_vector("[3, -4, 0]");
  EXPECT_EQ(read.fault, "");
  ASSERT_EQ(read.values.size(), 3U);
  EXPECT_FLOAT_EQ(read.values[0], 0.6F);
  EXPECT_FLOAT_EQ(read.values[1], -0.8F);
  // Numbers whose squares a double can't hold.
  EXPECT_FLOAT_EQ(read_vector("[1e300, 0]").values[0], 1);
  EXPECT_FLOAT_EQ(read_vector("[1e-300, 0]").values[0], 1);
}

TEST(ReadVector, NamesWhatIsWrong) {
  for (const char* json : {"", "NaN", "[1, NaN]", "[1, null]", "[\"1\"]", "[[1]]", "{}", "[]",
                           "[1, 1e999]", "[true]", "AAAA", "[1", "1"}) {
    EXPECT_EQ(read_vector(json).fault, "not_numbers") << json;
    EXPECT_TRUE(read_vector(json).values.empty()) << json;
  }
  EXPECT_EQ(read_vector("[0, -0.0, 0]").fault, "zero_vector");
  std::string many = "[1";
  for (std::size_t i = 0; i < kVectorNumbersMax; ++i) many += ",1";
  EXPECT_EQ(read_vector(many + "]").fault, "too_long");
}

// `groups` directions, `each` vectors near each, one group after the other.
std::vector<float> directions(std::size_t groups, std::size_t each, std::size_t dimensions) {
  Rng random(1);
  std::vector<float> vectors;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t i = 0; i < each; ++i) {
      std::vector<double> one(dimensions);
      double squares = 0;
      for (std::size_t d = 0; d < dimensions; ++d) {
        one[d] = (d == g ? 1 : 0) + 0.1 * (random.uniform() - 0.5);
        squares += one[d] * one[d];
      }
      for (const double value : one) {
        vectors.push_back(static_cast<float>(value / std::sqrt(squares)));
      }
    }
  }
  return vectors;
}

TEST(ClusterVectors, FindsTheDirectionsThatThereAre) {
  constexpr std::size_t kGroups = 5, kEach = 40, kDimensions = 19;
  const std::vector<float> vectors = directions(kGroups, kEach, kDimensions);
  const VectorClusters clusters = cluster_vectors(vectors, kDimensions, kGroups, 7);
  ASSERT_EQ(clusters.count(), kGroups);
  std::set<std::size_t> centers;
  for (std::size_t g = 0; g < kGroups; ++g) {
    const auto vector = [&](std::size_t i) {
      return std::span(vectors).subspan((g * kEach + i) * kDimensions, kDimensions);
    };
    const Nearest first = clusters.nearest(vector(0));
    EXPECT_GT(first.cosine, 0.9);
    centers.insert(first.center);
    for (std::size_t i = 1; i < kEach; ++i) {
      EXPECT_EQ(clusters.nearest(vector(i)).center, first.center);
    }
  }
  EXPECT_EQ(centers.size(), kGroups);
  EXPECT_EQ(cluster_vectors(vectors, kDimensions, kGroups, 7).centers, clusters.centers);
}

TEST(ClusterVectors, MakesNoMoreGroupsThanThereAreDifferentVectors) {
  const std::vector<float> same = {0.6F, 0.8F, 0.6F, 0.8F, 0.6F, 0.8F};
  EXPECT_EQ(cluster_vectors(same, 2, 64, 1).count(), 1U);
  const std::vector<float> two = {0.6F, 0.8F, 1, 0, 0.6F, 0.8F, 1, 0};
  EXPECT_EQ(cluster_vectors(two, 2, 64, 1).count(), 2U);
  const std::vector<float> opposite = {1, 0, -1, 0};
  EXPECT_EQ(cluster_vectors(opposite, 2, 1, 1).count(), 1U);
  EXPECT_EQ(cluster_vectors({}, 2, 64, 1).count(), 0U);
}

}  // namespace
}  // namespace understudy
