#pragma once
// From an auditor's notes to findings: notes that say about the same are one kind, each kind is
// tested for a difference between the arms, and what was not met once is bounded. Input is what
// audit.hpp read; pure, but for reading prefixes. Notes are taken as they are: nobody has confirmed
// them.

#include <string>
#include <vector>

#include "base/json.hpp"
#include "discovery/contrast.hpp"
#include "discovery/unseen.hpp"
#include "engine/audit.hpp"

namespace understudy {

/// What kinds are told apart by.
enum class Resolution : std::size_t { kKind, kKindAndPlace, kDescription };
inline constexpr std::size_t kResolutionCount = 3;
[[nodiscard]] std::string_view resolution_name(Resolution resolution);

struct NotedKind {
  std::vector<std::string> terms;  ///< up to three words that set it apart; may be empty
  std::vector<AuditNote> notes;    ///< the candidate's first, each the most typical first
  std::uint64_t candidate = 0;     ///< of the notes
  std::uint64_t logged = 0;
  ContrastFinding test;  ///< ordered by one half of users, tested on the other
};

/// What the auditor finds of what is known to be there, over all rows.
struct AuditorRecall {
  std::uint64_t known = 0;
  std::uint64_t found = 0;
  double by_chance = 0;   ///< share of all answers with a note: it would have noted so many anyway
  double effect = 1;      ///< how much less `known` says because it is of few behaviors, >= 1
  double lo = 0, hi = 1;  ///< 95%, of found / known, of these behaviors
  std::vector<MeasuredRecall> behaviors;  ///< for bounds: without chance's share
};

struct UnseenKinds {
  UnseenMass mass;
  KindCount kinds;
};

struct Audit {
  AuditReadings readings;
  std::vector<NotedKind> kinds;  ///< the findings, then the others by how often they were noted
  std::size_t findings = 0;      ///< of the kinds: commoner with one model
  std::uint64_t users_testing = 0;
  AuditorRecall recall;
  std::string no_information;       ///< why its verdicts say nothing; empty: they may
  std::string no_bound;             ///< why no bound is claimed; empty: there are bounds
  std::vector<UnseenKinds> unseen;  ///< by Resolution, of the candidate's notes
  std::uint64_t users = 0;          ///< of the candidate's answers that were read
  double effective = 0;             ///< answers, if all of a user's are alike
  double missed_wholly = 1;         ///< no behavior above this share of answers was never noted …
  double missed_tenfold = 1;        ///< … was noted with fewer than ten users
};

/// `level`: adjusted p-value of a finding; `seed`: which half a user is in.
[[nodiscard]] Result<Audit> audit_findings(AuditReadings readings, AnswerPairs& pairs, double level,
                                           std::uint64_t seed);

/// The member `audit` of understudy.discovery/1; kinds that are findings stand among those.
[[nodiscard]] Json to_json(const Audit& audit);
[[nodiscard]] Json note_json(const AuditNote& note);
/// For a terminal: every character is safe to show. Who read what, and what came of it.
[[nodiscard]] std::string audit_text(const Audit& audit, const std::string& directory);
[[nodiscard]] std::string unseen_text(const Audit& audit);
/// "search · arithmetic", or a description where no word sets the kind apart.
[[nodiscard]] std::string kind_name(const NotedKind& kind);

}  // namespace understudy
