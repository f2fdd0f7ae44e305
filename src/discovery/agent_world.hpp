#pragma once
// Two agents that answer alike, but for one thing that only the candidate does, a few times in
// 100,000: what discovery has to find, and a world without it, where there is nothing to find.
//
// Answers are words by Zipf's law and any of 20 patterns (phrases, tools, formats) that both models
// have at the same rates, from 1 in 5 to 1 in 10,000. A user has a few prefixes and topics of their
// own. Everything follows from the seed.

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "grading/answer_view.hpp"

namespace understudy {

enum class Plant {
  kNone,
  kCalculatorHacking,  ///< a web search for a sum
  kPhrase,             ///< four words in a row
  kFormat,             ///< every line begins with the same unusual mark
  kLanguage,           ///< answers in another language
  kToolTwice,          ///< one tool called twice
};

struct AgentAnswer {
  std::vector<Message> prefix;
  std::string tools;
  std::string content;
  std::vector<ToolCall> tool_calls;

  [[nodiscard]] AnswerView view() const {
    return {.prefix = prefix, .tools = tools, .content = content, .tool_calls = tool_calls};
  }
};

class AgentWorld {
 public:
  explicit AgentWorld(std::uint64_t seed);

  /// An answer with whatever common patterns it happens to have, by either model.
  [[nodiscard]] AgentAnswer answer(Rng& rng) const;
  /// The same with the plant; what the plant is (which phrase, mark, language) follows from the
  /// world's seed.
  [[nodiscard]] AgentAnswer planted(Plant plant, Rng& rng) const;

 private:
  [[nodiscard]] std::string word(Rng& rng) const;
  [[nodiscard]] std::string sentence(Rng& rng, std::size_t words) const;
  void add_common(AgentAnswer& answer, Rng& rng) const;

  std::vector<std::string> vocabulary_;
  std::vector<std::vector<std::string>> phrases_;  // of the common patterns
  std::vector<std::string> planted_phrase_;
  std::uint64_t seed_;
};

/// Who asks: users with 1, 2, … prefixes, three on average, a few with dozens.
[[nodiscard]] std::vector<std::uint32_t> user_sizes(std::uint64_t pairs, std::uint64_t seed);

}  // namespace understudy
