#pragma once
// A sum of doubles without rounding, rounded once when it is read: the result depends neither on
// the order of the terms nor on whether equal terms come one by one or as a count. Kulisch's long
// accumulator in base 2^32 (U. Kulisch, Computer Arithmetic and Validity, 2008). Pinned by
// ExactSum.* in stats_test.

#include <array>
#include <cstddef>
#include <cstdint>

namespace understudy {

class ExactSum {
 public:
  /// Adds count · value, exactly. The value is finite. About ten operations.
  void add(double value, std::uint64_t count = 1);
  /// The sum, rounded to nearest.
  [[nodiscard]] double value() const;

 private:
  using Limbs = std::array<std::int64_t, 70>;
  static void carry(Limbs& limbs);
  void add_scaled(std::uint64_t mantissa, std::uint32_t factor, int position, bool negative);

  Limbs limbs_{};  // Σ limbs_[i] · 2^(32 i − 1074)
  std::uint32_t additions_ = 0;
};

}  // namespace understudy
