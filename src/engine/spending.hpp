#pragma once
// What models have used so far, over all runs of a study, and the budget that it counts against. A
// budget pauses a study and never truncates it: what is in flight when it is reached is still
// stored.

#include <cstdint>
#include <map>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "engine/study_config.hpp"
#include "records/draw.hpp"
#include "store/study_store.hpp"

namespace understudy {

/// How far a role has come: enough to say what more of it would use.
struct RoleProgress {
  std::string role;             ///< "candidate", "deployed", "judge"
  std::uint64_t done = 0;       ///< stored, over all runs
  std::uint64_t in_flight = 0;  ///< asked and not stored: they will use about what the others did
};

class Spending {
 public:
  /// Reads what earlier runs used; the wall time of budget.seconds starts now.
  [[nodiscard]] static Result<Spending> load(StudyStore& store, const StudyConfig& config,
                                             const Clock& clock);

  void add(const std::string& role, const Usage& usage);
  /// Within the transaction that stores the answers.
  Result<void> save(StudyStore& store) const;

  [[nodiscard]] Usage used(const std::string& role) const;
  /// By the price table, in the currency of budget.cost; models without a price cost nothing.
  [[nodiscard]] double cost() const;
  /// Whether nothing more should be asked. Can be overrun by what is in flight, not by more.
  [[nodiscard]] bool is_reached(const RoleProgress& progress) const;
  /// How many more requests the rest of the budget pays for, judged by those that are done;
  /// UINT64_MAX without a budget of money or tokens, and where no server says what it used.
  [[nodiscard]] std::uint64_t affordable(const RoleProgress& progress) const;
  /// "about 1.2e+06 prompt and 3e+05 completion tokens, 4.5 by [prices]", for `count` more.
  [[nodiscard]] std::string estimate_text(const RoleProgress& progress, std::uint64_t count) const;

 private:
  explicit Spending(const Clock& clock) : clock_(&clock), started_us_(clock.now_us()) {}
  [[nodiscard]] double cost_of(const std::string& role) const;

  const Clock* clock_;
  std::int64_t started_us_;
  StudyConfig::Budget budget_;
  std::map<std::string, TokenPrice> prices_;  ///< by role
  std::map<std::string, Usage> used_;         ///< by role
};

}  // namespace understudy
