#pragma once
// How many threads compute a step: all cores, or one. Threads of one computation wait for each
// other by spinning, after every operation. On idle cores all of them are the fastest; where other
// work uses a core too, one is always waited for, and one thread alone is up to ten times as fast.
// Which of the two it is can only be measured: now and then a step is done the other way.

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace understudy {

class ThreadChoice {
 public:
  /// `most` >= 1 threads.
  explicit ThreadChoice(std::size_t most) : most_(most) {}

  /// For the next step.
  [[nodiscard]] std::size_t threads() const { return probing_ ? other() : current_; }

  /// What that step took. Only steps of the same number of tokens are compared.
  void took(std::size_t tokens, std::int64_t us) {
    if (most_ == 1) return;
    if (!probing_) {
      const bool is_steady = tokens == before_tokens_;
      before_tokens_ = tokens;
      before_us_ = us;
      probing_ = ++steps_ >= interval_ && is_steady;
      return;
    }
    probing_ = false;
    steps_ = 0;
    if (tokens != before_tokens_) return;
    if (us < before_us_) {
      current_ = other();
      interval_ = kIntervalMin;
    } else {
      const std::int64_t times = us / std::max<std::int64_t>(before_us_, 1);
      interval_ = kIntervalSlowed * static_cast<std::size_t>(std::min(times + 1, kTimesMax));
    }
  }

 private:
  static constexpr std::size_t kIntervalMin = 2;
  /// Times how many steps a probe took: the longer, the later the next one, so that all of them
  /// together take a sixtieth of the time or less.
  static constexpr std::size_t kIntervalSlowed = 64;
  static constexpr std::int64_t kTimesMax = 32;

  [[nodiscard]] std::size_t other() const { return current_ == 1 ? most_ : 1; }

  std::size_t most_;
  std::size_t current_ = 1;
  bool probing_ = false;
  std::size_t interval_ = kIntervalMin;  ///< steps until the next probe
  std::size_t steps_ = 0;
  std::size_t before_tokens_ = 0;
  std::int64_t before_us_ = 0;
};

}  // namespace understudy
