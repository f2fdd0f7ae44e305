#pragma once
// What a person sees while a stage runs: one line, rewritten in place on a terminal, repeated every
// few seconds elsewhere. Written to stderr; never holds conversation text.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace understudy {

enum class Display : std::uint8_t {
  kRich,   ///< rewrites one line
  kPlain,  ///< whole lines, every ten seconds
  kNone,
};

struct ProgressState {
  std::string_view stage = {};
  std::uint64_t done = 0;      ///< of `total`, from earlier runs too
  std::uint64_t total = 0;     ///< 0: unknown
  std::string_view unit = {};  ///< "draws", "MB"
  std::uint64_t failed = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t tokens = 0;    ///< generated so far in this run
  double cost = 0;             ///< so far, over all runs; 0: free or unknown
  std::string_view note = {};  ///< why it is slow, if it is
};

class Progress {
 public:
  using Write = std::function<void(std::string_view)>;
  Progress(Display display, Clock& clock, Write write);

  /// Cheap to call often: writes a few times a second at most.
  void update(const ProgressState& state);
  /// Ends the stage's line with its last state and starts the next stage's clock.
  void finish(const ProgressState& state);
  /// A line of its own: "ingest: up to date".
  void say(std::string_view line);

 private:
  [[nodiscard]] std::string line(const ProgressState& state) const;
  void start_if_new(const ProgressState& state);

  Display display_;
  Clock& clock_;
  Write write_;
  std::string stage_;
  std::int64_t started_us_ = 0;
  std::int64_t written_us_ = 0;
  std::uint64_t done_at_start_ = 0;
  bool line_open_ = false;
};

/// 95 → "1 min 35 s".
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace understudy
