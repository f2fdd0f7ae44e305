#pragma once
// What a person sees while a stage runs: one line, rewritten in place on a terminal, repeated every
// few seconds elsewhere. Written to stderr; never holds conversation text.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "model/chat_model.hpp"

namespace understudy {

enum class Display : std::uint8_t {
  kRich,   ///< rewrites one line, which fits the terminal
  kPlain,  ///< whole lines, every ten seconds
  kNone,
};

struct ProgressState {
  std::string_view stage = {};
  std::uint64_t done = 0;      ///< of `total`, from earlier runs too
  std::uint64_t total = 0;     ///< 0: unknown
  std::string_view unit = {};  ///< "draws", "MB"
  std::uint64_t failed = 0;
  const std::map<std::string, std::uint64_t>* failures = nullptr;  ///< `failed` by reason, if known
  std::uint64_t in_flight = 0;
  std::uint64_t waiting = 0;         ///< to be asked again; not among those in flight
  std::uint64_t in_flight_max = 0;   ///< what the limit is now; 0: none that is worth showing
  std::string_view limited_by = {};  ///< why the limit is what it is, or why it is slow
  std::uint64_t tokens = 0;          ///< generated so far in this run
  double cost = 0;                   ///< so far, over all runs; 0: free or unknown

  /// What the model itself says of its requests.
  [[nodiscard]] ProgressState with(const ModelStatus& status) const;
};

class Progress {
 public:
  using Write = std::function<void(std::string_view)>;
  using Width = std::function<std::size_t()>;
  /// `width`: columns of the terminal, asked anew for each line since windows change; only the rich
  /// display looks at it.
  Progress(
      Display display, Clock& clock, Write write, Width width = [] { return std::size_t{100}; });

  /// Cheap to call often: writes a few times a second at most.
  void update(const ProgressState& state);
  /// Ends the stage's line with its last state and starts the next stage's clock.
  void finish(const ProgressState& state);
  /// A line of its own: "ingest: up to date".
  void say(std::string_view line);

 private:
  // A part of the line; those of the least weight go first where there is no room.
  struct Part {
    int weight = 0;
    std::string text;
  };
  struct Rates {
    double done_per_s = 0;
    double tokens_per_s = 0;
  };
  struct Moment {
    std::int64_t at_us = 0;
    std::uint64_t done = 0;
    std::uint64_t tokens = 0;
  };

  void start_if_new(const ProgressState& state);
  void remember(const ProgressState& state);
  [[nodiscard]] Rates recent_rates(const ProgressState& state) const;
  [[nodiscard]] Rates mean_rates(const ProgressState& state) const;
  [[nodiscard]] static std::vector<Part> parts(const ProgressState& state, const Rates& rates);
  [[nodiscard]] std::string fitted(std::vector<Part> parts) const;

  Display display_;
  Clock& clock_;
  Write write_;
  Width width_;
  std::string stage_;
  std::int64_t started_us_ = 0;
  std::int64_t written_us_ = 0;
  std::uint64_t done_at_start_ = 0;
  std::deque<Moment> moments_;  ///< of the last half minute, a second apart
  bool line_open_ = false;
};

/// 95 → "1 min 35 s".
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace understudy
