#pragma once
// Time as something that is passed in: the only place that reads a clock or sleeps, so that a
// simulator can stand in for it.

#include <cstdint>

namespace understudy {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic microseconds from an unspecified start: for durations and deadlines.
  [[nodiscard]] virtual std::int64_t now_us() const = 0;
  /// Unix milliseconds (UTC): for dates that servers name, never for durations.
  [[nodiscard]] virtual std::int64_t unix_ms() const = 0;
  virtual void sleep_ms(std::int64_t duration_ms) = 0;

  [[nodiscard]] std::int64_t now_ms() const { return now_us() / 1000; }
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_us() const override;
  [[nodiscard]] std::int64_t unix_ms() const override;
  void sleep_ms(std::int64_t duration_ms) override;
};

}  // namespace understudy
