#include "stats/richness.hpp"

#include "base/assert.hpp"

namespace understudy {
namespace {

struct Frequencies {
  double failures = 0, kinds = 0, once = 0, twice = 0;
};

Frequencies frequencies(std::span<const std::uint64_t> sizes) {
  Frequencies f;
  for (const std::uint64_t size : sizes) {
    UNDERSTUDY_ASSERT(size >= 1);
    f.failures += static_cast<double>(size);
    f.kinds += 1;
    f.once += size == 1 ? 1 : 0;
    f.twice += size == 2 ? 1 : 0;
  }
  return f;
}

}  // namespace

double unseen_share_good_turing(std::span<const std::uint64_t> sizes) {
  const Frequencies f = frequencies(sizes);
  return f.failures == 0 ? 1 : f.once / f.failures;
}

double unseen_share_chao(std::span<const std::uint64_t> sizes) {
  const Frequencies f = frequencies(sizes);
  if (f.failures == 0) return 1;
  if (f.once == 0) return 0;
  const double once_scaled = (f.failures - 1) * f.once;
  if (once_scaled == 0) return 1;  // one failure in all: nothing is known
  return f.once / f.failures * once_scaled / (once_scaled + 2 * f.twice);
}

double kinds_chao1(std::span<const std::uint64_t> sizes) {
  const Frequencies f = frequencies(sizes);
  if (f.failures == 0) return 0;
  return f.kinds + (f.failures - 1) / f.failures * f.once * (f.once - 1) / (2 * (f.twice + 1));
}

}  // namespace understudy
