#include "stats/exact_sum.hpp"

#include <bit>
#include <cmath>

#include "base/assert.hpp"

namespace understudy {
namespace {
__extension__ using Wide = unsigned __int128;
constexpr int kLowestExponent = 1074;  // the smallest subnormal is 2^-1074
}  // namespace

void ExactSum::add(double value, std::uint64_t count) {
  UNDERSTUDY_ASSERT(std::isfinite(value));
  if (value == 0 || count == 0) return;
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto exponent_field = static_cast<int>((bits >> 52) & 0x7FF);
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  int position = 0;
  if (exponent_field != 0) {
    mantissa |= std::uint64_t{1} << 52;
    position = exponent_field - 1;
  }
  const bool negative = (bits >> 63) != 0;
  add_scaled(mantissa, static_cast<std::uint32_t>(count), position, negative);
  add_scaled(mantissa, static_cast<std::uint32_t>(count >> 32), position + 32, negative);
}

void ExactSum::add_scaled(std::uint64_t mantissa, std::uint32_t factor, int position,
                          bool negative) {
  if (factor == 0) return;
  const Wide product = (Wide{mantissa} * factor) << (position % 32);  // at most 116 bits
  auto limb = static_cast<std::size_t>(position / 32);
  for (Wide rest = product; rest != 0; rest >>= 32, ++limb) {
    const auto part = static_cast<std::int64_t>(rest & 0xFFFFFFFF);
    limbs_[limb] += negative ? -part : part;
  }
  // Each addition changes a limb by less than 2^32, so 2^30 of them can't overflow 63 bits.
  if (++additions_ == (1U << 30)) {
    carry(limbs_);
    additions_ = 0;
  }
}

void ExactSum::carry(Limbs& limbs) {
  for (std::size_t i = 0; i + 1 < limbs.size(); ++i) {
    const std::int64_t over = limbs[i] >> 32;  // floor, also for negative limbs
    limbs[i] -= over * (std::int64_t{1} << 32);
    limbs[i + 1] += over;
  }
}

double ExactSum::value() const {
  Limbs limbs = limbs_;
  carry(limbs);
  const bool negative = limbs.back() < 0;
  if (negative) {
    for (auto& limb : limbs) limb = -limb;
    carry(limbs);
  }
  std::size_t top = limbs.size();
  while (top > 0 && limbs[top - 1] == 0) --top;
  if (top == 0) return 0;
  // The top four limbs hold at least 97 significant bits; what lies below only decides ties, so one
  // sticky bit stands for it. The conversion of a 128-bit integer rounds to nearest.
  Wide head = 0;
  bool sticky = false;
  for (std::size_t i = top; i-- > 0;) {
    if (top - i <= 4) {
      head = (head << 32) | static_cast<std::uint64_t>(limbs[i]);
    } else {
      sticky = sticky || limbs[i] != 0;
    }
  }
  if (sticky) head |= 1;
  const int lowest = top <= 4 ? 0 : static_cast<int>(top) - 4;
  const double magnitude = std::ldexp(static_cast<double>(head), 32 * lowest - kLowestExponent);
  return negative ? -magnitude : magnitude;
}

}  // namespace understudy
