#pragma once
// What nobody named: the candidate's answers against the logged answers to the same prefixes, from
// what the study has stored, what an auditor noted, and groups of embeddings. No model is asked
// unless an audit or embeddings are asked for.
//
// One completed draw for each prefix (the first) is compared with its one logged answer.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "discovery/contrast.hpp"
#include "discovery/situations.hpp"
#include "engine/audit_findings.hpp"
#include "engine/embeddings.hpp"
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
  std::string note;       ///< the auditor's description and messages; empty: there is none
};

/// What a person is shown of a finding.
struct Described {
  std::vector<Situation> situations;
  std::vector<Transcript> transcripts;  ///< the most typical first
  std::vector<std::string> words;       ///< of a cluster: what sets its answers apart
};

/// Findings are numbered from 1: the audit's, the contrast's, then kinds of notes that are not
/// shown to be commoner with either model.
struct Discovery {
  Contrast contrast;
  std::vector<Described> described;  ///< parallel to the contrast's findings
  std::optional<AnswerClusters> clusters;
  std::optional<Audit> audit;
  std::vector<Described> noted;  ///< parallel to the audit's kinds
};

struct DiscoveryOptions {
  double level = 0.05;                      ///< adjusted p-value of a finding, (0, 1)
  std::optional<std::uint64_t> audit = {};  ///< so many answers the auditor reads first (audit.hpp)
  bool embed = false;  ///< missing vectors are asked for first (embeddings.hpp)
};
/// Fails with kUsage where no prefix has both answers.
[[nodiscard]] Result<Discovery> discover(Study& study, const DiscoveryOptions& options);

/// What carries a number: one of the two.
struct NumberedFinding {
  const ContrastFinding* contrast = nullptr;
  const NotedKind* kind = nullptr;
  const Described* described = nullptr;
};
/// kUsage where there is none of that number.
[[nodiscard]] Result<NumberedFinding> finding_of(const Discovery& found, std::size_t number);

/// understudy.discovery/1.
[[nodiscard]] Json to_json(const Discovery& found);
/// For a terminal: every character is safe to show.
[[nodiscard]] std::string discovery_text(const Discovery& found, const std::string& directory);
/// The transcripts of finding `number`, counted from 1.
[[nodiscard]] Result<std::string> transcripts_text(const Discovery& found, std::size_t number);

/// The text of a behavior file: its rule is the finding's tested feature; of notes and of a group
/// of embeddings it is a judge's, with their words as definition. Its examples are an answer that
/// has it and one that does not.
[[nodiscard]] Result<std::string> draft_behavior(Study& study, const Discovery& found,
                                                 std::size_t number);

}  // namespace understudy
