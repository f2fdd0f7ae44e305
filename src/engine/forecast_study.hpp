#pragma once
// `understudy forecast`: freezes what a study says of the release to come, with everything that
// made it (forecast/frozen.hpp). Reads the store and the files that study.toml names; no clock, no
// network: the same study.db gives the same bytes.

#include <string>
#include <unordered_set>
#include <vector>

#include "engine/study.hpp"
#include "estimate/history.hpp"
#include "forecast/predictive.hpp"

namespace understudy {

/// The past releases of forecast.history; none where it is not set.
[[nodiscard]] Result<std::vector<HistoryRow>> study_history(const Study& study);

/// What lies between these logs and production, for all behaviors of a report alike.
[[nodiscard]] PredictiveSpread study_spread(const Study& study, const Json& report,
                                            const std::optional<HistoryFit>& history);

/// The bytes of forecast.json. The study is estimated (kUsage) and has a draw or more (kInput).
/// Behavior files are part of them as they stand: unless `log_examples` says that it is meant,
/// examples that are marked as conversations of logs are refused (kUsage).
[[nodiscard]] Result<std::string> forecast_study(Study& study, bool log_examples = false);

/// The conversations that a forecast was made from, as keyed marks. Two conversations are the same
/// when id and time are; where the log has no time, when id and opening are.
struct KnownConversations {
  Digest key{};
  Digest root{};                            ///< Merkle root of the marks
  std::uint64_t forgotten = 0;              ///< of them no longer in the study, as marks alone
  std::unordered_set<std::uint64_t> marks;  ///< first64 of each
  [[nodiscard]] bool holds(const Conversation& conversation) const;
};
/// Those under the root (in hex) that a forecast names, although the study may have forgotten some
/// since. kUsage, with a message that says why: they are not to be had from this study.
[[nodiscard]] Result<KnownConversations> known_conversations(StudyStore& store,
                                                             const std::string& root);

}  // namespace understudy
