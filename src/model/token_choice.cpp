#include "model/token_choice.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <utility>

#include "base/assert.hpp"

namespace understudy {
namespace {

// Loops over a fixed number of lanes become vector instructions, and the order of additions stays
// the same whatever their width. A vocabulary has 50,000 entries, and this runs for every token.
constexpr std::size_t kLanes = 16;
constexpr std::size_t kBlock = 256;

/// exp(x) for x <= 0, relative error below 2e-7; 0 below -87. Cephes' expf polynomial: x = n ln 2 +
/// r with |r| <= ln 2 / 2, and 2^n is made of its bits.
inline float exp_nonpositive(float x) {
  const float clamped = x < -87.0F ? -87.0F : x;
  const float rounding = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = clamped * 1.44269504F + rounding;
  const float n = shifted - rounding;
  const float r = (clamped - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float fraction = p * r * r + r + 1.0F;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) + 127U;
  const float power = std::bit_cast<float>(exponent << 23U);
  return x < -87.0F ? 0.0F : fraction * power;
}

float largest(std::span<const float> values) {
  float best = values[0];
  for (const float value : values) best = value > best ? value : best;
  return best;
}

double sum_of_lanes(const float* values, std::size_t count) {
  std::array<float, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += values[i + lane];
  }
  double sum = 0;
  for (const float lane : lanes) sum += static_cast<double>(lane);
  for (; i < count; ++i) sum += static_cast<double>(values[i]);
  return sum;
}

/// Weights relative to the most probable token, into `weights`.
void relative_weights(std::span<const float> logits, float top, float inverse_temperature,
                      std::vector<float>& weights) {
  weights.resize(logits.size());
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    const float* from = logits.data() + i;
    float* to = weights.data() + i;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      to[lane] = exp_nonpositive((from[lane] - top) * inverse_temperature);
    }
  }
  for (; i < logits.size(); ++i)
    weights[i] = exp_nonpositive((logits[i] - top) * inverse_temperature);
}

/// The first index at which the running sum passes `target`; blocks are skipped by their sums.
std::size_t index_at(const std::vector<float>& weights, const std::vector<double>& block_sums,
                     double target) {
  std::size_t block = 0;
  while (block + 1 < block_sums.size() && target >= block_sums[block]) {
    target -= block_sums[block];
    ++block;
  }
  std::size_t last = block * kBlock;
  const std::size_t end = std::min(weights.size(), last + kBlock);
  for (std::size_t i = block * kBlock; i < end; ++i) {
    if (weights[i] <= 0.0F) continue;
    last = i;
    target -= static_cast<double>(weights[i]);
    if (target < 0) return i;
  }
  return last;  // rounding: the block's sum was larger than the sum of its parts
}

/// From the most probable tokens down until `top_p` of the `total` weight is in; then one of these.
std::size_t index_in_nucleus(const std::vector<float>& weights, double total, double top_p,
                             double uniform) {
  using Candidate = std::pair<float, std::size_t>;
  const auto more_probable = [](const Candidate& a, const Candidate& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  std::vector<Candidate> nucleus;
  // Nearly always a few hundred tokens hold the nucleus, so that sorting all of them is not needed.
  for (const float floor : {1e-3F, 1e-6F, 0.0F}) {
    nucleus.clear();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] > floor) nucleus.emplace_back(weights[i], i);
    }
    std::sort(nucleus.begin(), nucleus.end(), more_probable);
    double sum = 0;
    for (std::size_t size = 0; size < nucleus.size(); ++size) {
      sum += static_cast<double>(nucleus[size].first);
      if (sum < top_p * total && !(floor <= 0.0F && size + 1 == nucleus.size())) continue;
      double target = uniform * sum;
      for (std::size_t i = 0; i < size; ++i) {
        target -= static_cast<double>(nucleus[i].first);
        if (target < 0) return nucleus[i].second;
      }
      return nucleus[size].second;
    }
  }
  UNDERSTUDY_ASSERT(false);  // the most probable token's weight is 1
}

}  // namespace

std::size_t choose_token(std::span<const float> logits, double temperature, double top_p,
                         double uniform, std::vector<float>& scratch) {
  UNDERSTUDY_ASSERT(!logits.empty() && temperature >= 0 && top_p > 0 && uniform < 1);
  const float top = largest(logits);
  if (temperature == 0) {  // NOLINT(clang-diagnostic-float-equal)
    return static_cast<std::size_t>(std::find(logits.begin(), logits.end(), top) - logits.begin());
  }
  relative_weights(logits, top, static_cast<float>(1 / temperature), scratch);
  std::vector<double> block_sums;
  double total = 0;
  for (std::size_t i = 0; i < scratch.size(); i += kBlock) {
    block_sums.push_back(sum_of_lanes(scratch.data() + i, std::min(kBlock, scratch.size() - i)));
    total += block_sums.back();
  }
  if (top_p < 1) return index_in_nucleus(scratch, total, top_p, uniform);
  return index_at(scratch, block_sums, uniform * total);
}

}  // namespace understudy
