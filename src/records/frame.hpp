#pragma once
// The frame: which turns of the logs could have been drawn. A turn is one unit of every rate.

#include <cstdint>
#include <optional>

namespace understudy {

/// What a rate is per. Different estimands, never mixed (method.md).
enum class Unit : std::uint8_t {
  kTurn,       ///< every turn of every conversation alike
  kFinalTurn,  ///< the last turn of a conversation drawn uniformly
};

/// An eligible turn: where the prefix ends, and how much of the logged answer lies in the window.
struct FrameTurn {
  std::uint32_t cut = 0;
  std::optional<std::uint64_t> window_bytes;  ///< none: the whole answer
  /// Where answers are trajectories: messages of this one between the cut and its last answer.
  std::optional<std::uint32_t> steps = {};
  bool operator==(const FrameTurn&) const = default;
};

}  // namespace understudy
