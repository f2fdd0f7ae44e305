#pragma once
// Which turns of a conversation are eligible, and how much of each logged answer both arms are
// graded on. Input: a conversation's messages; output: its turns in the frame, and a count for
// every turn that is not. Nothing is ever cut to fit: a prefix that is too long is counted out.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "records/conversation.hpp"
#include "records/frame.hpp"
#include "records/tokenizer.hpp"

namespace understudy {

struct FrameRules {
  Unit unit = Unit::kTurn;
  std::optional<std::uint32_t> prefix_tokens_max;  ///< eligibility rule; none: no limit
  std::optional<std::uint32_t> window_tokens;  ///< leading tokens graded in both arms; none: all
  std::uint32_t max_steps = 1;    ///< answers of a trajectory; 1: an answer is a unit of its own
  bool after_users_only = false;  ///< no cut after a tool result
};

enum class TurnExclusion : std::uint8_t { kNoLoggedAnswer = 0, kPrefixTooLong = 1 };
inline constexpr std::size_t kTurnExclusionCount = 2;
[[nodiscard]] std::string_view turn_exclusion_name(TurnExclusion reason);

struct ConversationFrame {
  std::vector<FrameTurn> turns;
  std::array<std::uint64_t, kTurnExclusionCount> excluded{};
};

[[nodiscard]] ConversationFrame frame_of(const std::vector<Message>& messages,
                                         const FrameRules& rules, const Tokenizer& tokenizer);

/// For models whose tokenizer is not to be had. A token is taken as 4 bytes where a limit protects
/// the model, and the window as 3 bytes a token, so that an answer which the model itself cut at
/// the same number of tokens nearly always fills it, and both arms are graded on the same length.
class EstimatedTokenizer final : public Tokenizer {
 public:
  [[nodiscard]] std::size_t message_tokens(const Message& message) const override;
  [[nodiscard]] std::size_t prompt_overhead_tokens() const override { return 3; }
  [[nodiscard]] std::string_view first_tokens(std::string_view text,
                                              std::size_t tokens_max) const override;
  [[nodiscard]] std::string identity() const override { return "estimated/1"; }
};

}  // namespace understudy
