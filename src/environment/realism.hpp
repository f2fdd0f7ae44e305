#pragma once
// "Which of these two is real?": a recorded result and one that was made up for the same call, put
// to a judge in an order that is drawn. A judge that can't tell them apart picks the made-up one
// half of the time, whatever it thinks of the first place.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "records/conversation.hpp"
#include "records/draw.hpp"

namespace understudy {

struct RealismQuestion {
  std::vector<Message> messages;
  bool recorded_first = false;
};

/// `schema`: the tool's, may be empty. `key`: decides the order and the fence; another for each
/// pair.
[[nodiscard]] RealismQuestion realism_question(const ToolCall& call, std::string_view schema,
                                               std::string_view recorded,
                                               std::string_view simulated, std::uint64_t key);

enum class RealismVerdict : std::uint8_t {
  kRecorded,    ///< it took the recorded one for real
  kSimulated,   ///< it took the made-up one for real
  kCannotTell,  ///< it says so
  kNone,        ///< no answer, or none that could be read
};
[[nodiscard]] RealismVerdict read_realism(const RealismQuestion& question,
                                          const DrawOutcome& outcome);

}  // namespace understudy
