#pragma once
// What nobody named: the candidate's answers against the logged answers to the same prefixes, from
// what the study has stored. No model is asked, and the study's records are not changed.
//
// One completed draw for each prefix (the first) is compared with its one logged answer.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "discovery/contrast.hpp"
#include "discovery/situations.hpp"
#include "engine/study.hpp"

namespace understudy {

inline constexpr std::size_t kTranscriptBytes = 16'384;  ///< of a message that is kept to be read
/// Text and tool calls of an answer, for reading: hostile.
[[nodiscard]] std::string readable_answer(const AnswerView& answer);
/// The first line's worth of a text, safe for a terminal.
[[nodiscard]] std::string shown_text(std::string_view text);

struct Transcript {
  std::uint64_t id = 0;   ///< content id, as labels have it
  std::string user_text;  ///< the last user message
  std::string answer;     ///< text and tool calls, for reading: hostile
};

struct Discovery {
  Contrast contrast;
  std::vector<std::vector<Situation>> situations;    ///< parallel to the findings
  std::vector<std::vector<Transcript>> transcripts;  ///< parallel; the most typical first
};

/// Fails with kUsage where no prefix has both answers.
[[nodiscard]] Result<Discovery> discover(Study& study, double level);

/// understudy.discovery/1.
[[nodiscard]] Json to_json(const Discovery& found);
/// For a terminal: every character is safe to show.
[[nodiscard]] std::string discovery_text(const Discovery& found, const std::string& directory);
/// The transcripts of finding `number`, counted from 1.
[[nodiscard]] Result<std::string> transcripts_text(const Discovery& found, std::size_t number);

/// The text of a behavior file whose rule is the finding's tested feature. Its examples are an
/// answer that has it and one that does not. `number` counts from 1.
[[nodiscard]] Result<std::string> draft_behavior(Study& study, const Discovery& found,
                                                 std::size_t number);

}  // namespace understudy
