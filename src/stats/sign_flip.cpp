#include "stats/sign_flip.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.hpp"

namespace understudy {
namespace {

constexpr std::size_t kExactMax = 16;
constexpr std::uint64_t kFlips = 100'000;

// Sum of the magnitudes with the signs that the bits of `signs` give.
double flipped(const std::vector<double>& magnitudes, std::uint64_t signs) {
  double sum = 0;
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    sum += (signs >> i & 1) != 0 ? magnitudes[i] : -magnitudes[i];
  }
  return sum;
}

}  // namespace

double sign_flip_p(std::span<const double> differences) {
  std::vector<double> magnitudes;
  double sum = 0;
  std::vector<double> sorted(differences.begin(), differences.end());
  std::sort(sorted.begin(), sorted.end());
  for (const double value : sorted) {
    if (value == 0) continue;
    magnitudes.push_back(std::abs(value));
    sum += value;
  }
  if (magnitudes.empty()) return 1;
  std::sort(magnitudes.begin(), magnitudes.end());
  // A flip counts as extreme within rounding: the observed one is among them.
  const double seen = std::abs(sum) * (1 - 1e-12);
  if (magnitudes.size() <= kExactMax) {
    const std::uint64_t all = std::uint64_t{1} << magnitudes.size();
    std::uint64_t extreme = 0;
    for (std::uint64_t signs = 0; signs < all; ++signs) {
      if (std::abs(flipped(magnitudes, signs)) >= seen) ++extreme;
    }
    return static_cast<double>(extreme) / static_cast<double>(all);
  }
  Rng rng(0x7369676E, magnitudes.size());
  std::uint64_t extreme = 0;
  for (std::uint64_t flip = 0; flip < kFlips; ++flip) {
    double total = 0;
    for (std::size_t i = 0; i < magnitudes.size();) {
      const std::uint64_t bits = rng.next();
      for (std::size_t bit = 0; bit < 64 && i < magnitudes.size(); ++bit, ++i) {
        total += (bits >> bit & 1) != 0 ? magnitudes[i] : -magnitudes[i];
      }
    }
    if (std::abs(total) >= seen) ++extreme;
  }
  return static_cast<double>(extreme + 1) / static_cast<double>(kFlips + 1);
}

}  // namespace understudy
