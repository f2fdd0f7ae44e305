#include "sampling/frame.hpp"

#include "base/text.hpp"

namespace understudy {

std::string_view turn_exclusion_name(TurnExclusion reason) {
  switch (reason) {
    case TurnExclusion::kNoLoggedAnswer:
      return "no_logged_answer";
    case TurnExclusion::kPrefixTooLong:
      return "prefix_too_long";
  }
  return "unknown";
}

namespace {

// Tokens of growing prefixes, counted only as far as the limit needs.
class PrefixTokens {
 public:
  PrefixTokens(const std::vector<Message>& messages, const Tokenizer& tokenizer)
      : messages_(messages), tokenizer_(tokenizer), tokens_(tokenizer.prompt_overhead_tokens()) {}

  bool exceeds(std::uint32_t cut, std::uint32_t tokens_max) {
    while (counted_ < cut && tokens_ <= tokens_max) {
      tokens_ += tokenizer_.message_tokens(messages_[counted_++]);
    }
    return tokens_ > tokens_max;
  }

 private:
  const std::vector<Message>& messages_;
  const Tokenizer& tokenizer_;
  std::size_t tokens_;
  std::size_t counted_ = 0;
};

}  // namespace

ConversationFrame frame_of(const std::vector<Message>& messages, const FrameRules& rules,
                           const Tokenizer& tokenizer) {
  ConversationFrame frame;
  const auto exclude = [&](TurnExclusion reason) {
    ++frame.excluded[static_cast<std::size_t>(reason)];
  };
  std::vector<Turn> turns = turns_of(messages, rules.after_users_only);
  if (rules.unit == Unit::kFinalTurn && !turns.empty()) turns = {turns.back()};
  PrefixTokens prefix_tokens(messages, tokenizer);
  for (const Turn& turn : turns) {
    if (!turn.answered) {
      exclude(TurnExclusion::kNoLoggedAnswer);
    } else if (rules.prefix_tokens_max &&
               prefix_tokens.exceeds(turn.cut, *rules.prefix_tokens_max)) {
      exclude(TurnExclusion::kPrefixTooLong);
    } else {
      FrameTurn eligible{.cut = turn.cut, .window_bytes = {}};
      const std::uint32_t end = logged_end(messages, turn.cut, rules.max_steps);
      if (rules.max_steps > 1) eligible.steps = end - turn.cut;
      if (rules.window_tokens) {
        const std::string_view answer = messages[end].content;
        const std::string_view window = tokenizer.first_tokens(answer, *rules.window_tokens);
        if (window.size() < answer.size()) eligible.window_bytes = window.size();
      }
      frame.turns.push_back(eligible);
    }
  }
  return frame;
}

std::size_t EstimatedTokenizer::message_tokens(const Message& message) const {
  constexpr std::size_t kMarkerTokens = 4;
  std::size_t bytes = message.content.size();
  for (const ToolCall& call : message.tool_calls) bytes += call.name.size() + call.arguments.size();
  return kMarkerTokens + (bytes + 3) / 4;
}

std::string_view EstimatedTokenizer::first_tokens(std::string_view text,
                                                  std::size_t tokens_max) const {
  return utf8_prefix(text, 3 * tokens_max);
}

}  // namespace understudy
