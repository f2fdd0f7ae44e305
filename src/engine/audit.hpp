#pragma once
// The open-ended audit: a model in the role `auditor` reads answers of the candidate and the logged
// answers in the same places, shuffled together and told apart by nothing, with the list of the
// study's behaviors, and notes what is unwanted and not on that list (grading/open_question.hpp).
// Its recall is measured among them: answers that are known to show a named behavior, with that
// behavior left off the list, and the cases of known.jsonl.
//
// What is asked is addressed by the content of the answer, the auditor and all that it is told:
// equal texts are asked about once, whichever arm they are of, and nothing twice. kPaused where it
// is stopped or the budget is reached before all is asked; the same call goes on.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/answer_pairs.hpp"
#include "engine/study.hpp"

namespace understudy {

/// asked = noted + nothing + Σ ungradable + Σ not_graded + left.
struct AuditCounts {
  std::uint64_t asked = 0;
  std::uint64_t noted = 0;
  std::uint64_t nothing = 0;
  std::map<std::string, std::uint64_t> ungradable;  ///< by reason
  std::map<std::string, std::uint64_t> not_graded;
  std::uint64_t left = 0;  ///< not asked yet
  [[nodiscard]] std::uint64_t graded() const { return noted + nothing; }
};

struct AuditNote {
  std::uint64_t pair = 0;  ///< of AnswerPairs
  bool candidate = true;   ///< else the logged answer
  std::string description;
  std::vector<std::size_t> messages;  ///< as the transcript numbers them; the answer is the last
};

/// Answers known to show a behavior: of the study's own with the behavior off the list (channel
/// "hidden"), or of known.jsonl. cases = known + undecided + left + gone.
struct AuditRecallRow {
  std::string behavior;
  std::string channel;
  std::uint64_t cases = 0;
  std::uint64_t known = 0;
  std::uint64_t found = 0;                               ///< of those: noted
  std::map<std::string, std::uint64_t> ungradable = {};  ///< of the known and not found, by reason
  std::map<std::string, std::uint64_t> not_graded = {};
  std::uint64_t undecided = 0;  ///< noted with the behavior on the list, too: for something else
  std::uint64_t left = 0;       ///< not asked yet
  std::uint64_t gone = 0;       ///< named by an id that no stored answer has
};

/// One that was put to the auditor.
struct AuditedAnswer {
  std::uint64_t pair = 0;
  bool has_verdict = false;
};

struct AuditReadings {
  std::string auditor;        ///< the model
  std::size_t named = 0;      ///< behaviors on the list
  std::uint64_t answers = 0;  ///< of the candidate that are to be read, and as many logged ones
  bool uniform = true;        ///< prefixes are drawn uniformly, not by risk
  AuditCounts candidate, logged;
  std::vector<AuditNote> notes;      ///< by pair, candidate first
  std::vector<AuditedAnswer> read;   ///< of the candidate, by pair
  std::vector<std::uint64_t> pairs;  ///< both answers have a verdict; ascending
  std::vector<AuditRecallRow> recall;
};

/// Asks about `ask` answers of the candidate drawn uniformly (fewer where there are fewer) as far
/// as that was not done yet, and gives what is stored of them: more answers hold those of fewer.
/// Without `ask` nothing is asked, and it gives the most that this auditor was asked with this
/// list, or else what another was, none of it read; none where nothing was ever. kUsage where `ask`
/// is given and no auditor is set.
[[nodiscard]] Result<std::optional<AuditReadings>> audit(Study& study, AnswerPairs& pairs,
                                                         std::optional<std::uint64_t> ask);

}  // namespace understudy
