#pragma once
// Counter-based random numbers (Philox 4x64-10, Salmon et al. 2011): the same key gives the same
// sequence on every machine and library. The distributions of <random> do not, so we have our own.

#include <Random123/philox.h>
#include <cstdint>

namespace understudy {

class Rng {
 public:
  explicit Rng(std::uint64_t key, std::uint64_t stream = 0) : key_{{key, stream}} {}

  std::uint64_t next() {
    if (used_ == 4) {
      block_ = philox_(counter_, key_);
      counter_.incr();
      used_ = 0;
    }
    return block_[used_++];
  }

  /// Uniform on [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  /// Uniform on (0, 1]: safe to take the logarithm of.
  double uniform_positive() { return static_cast<double>((next() >> 11) + 1) * 0x1.0p-53; }
  /// Uniform on {0, …, bound - 1}; bound >= 1. Lemire's method without the rejection step: the bias
  /// is below bound / 2^64.
  std::uint64_t below(std::uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }

 private:
  r123::Philox4x64 philox_;
  r123::Philox4x64::ctr_type counter_{};
  r123::Philox4x64::key_type key_{};
  r123::Philox4x64::ctr_type block_{};
  unsigned used_ = 4;
};

/// A 64-bit hash as a number on [0, 1).
inline double unit_interval(std::uint64_t hash) {
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

}  // namespace understudy
