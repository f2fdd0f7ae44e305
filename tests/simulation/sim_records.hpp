#pragma once
// The records of a study, read back from its store, in a form that can be compared.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "engine/study_config.hpp"
#include "store/study_store.hpp"

namespace understudy::simulation {

struct Records {
  struct Draw {
    bool failed = false;
    std::string bytes;  ///< outcome and window
    bool operator==(const Draw&) const = default;
  };
  using JudgementKey = std::pair<std::string, std::int64_t>;  ///< behavior, packed draw key
  std::map<std::int64_t, Draw> draws;                         ///< by packed key, all arms
  std::map<JudgementKey, Verdict> judgements;
  std::map<std::string, std::string> others;  ///< conversations, prefixes, verdicts, by name
};

/// Draws and judgements; with `all`, whatever else a stage has stored.
[[nodiscard]] Result<Records> read_records(StudyStore& store, const StudyConfig& config, bool all);

/// Of draws and judgements, what both hold: a failure where one of them holds a failure, since
/// asking again may have replaced it in the other.
void keep_common(Records& records, const Records& others);

/// What of `found` could not have come from the run that gave `expected`: an answer that is
/// another one, a record that should not be there. Failures may stand where answers should.
[[nodiscard]] std::optional<std::string> contradiction(const Records& found,
                                                       const Records& expected);
/// What is not in `after` though it was stored before; failures may have become answers.
[[nodiscard]] std::optional<std::string> loss(const Records& before, const Records& after);
/// The first record that differs at all. Never the text itself.
[[nodiscard]] std::optional<std::string> difference(const Records& found, const Records& expected);

}  // namespace understudy::simulation
