#pragma once
// The ledger of past releases: what each forecast had replayed and what then happened, in the form
// that `--history` and `forecast.history` read. `verify` adds to it; the next study's prior is
// fitted on it.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "estimate/arm_verdicts.hpp"
#include "estimate/history.hpp"

namespace understudy {

/// An arm of which only a rate and its draws are known.
[[nodiscard]] ArmSummary counted_arm(double per_100k, std::uint64_t draws);

/// CSV with header, as read_history reads it; numbers with nine digits.
[[nodiscard]] std::string ledger_csv(std::span<const HistoryRow> rows);

/// `rows` with those of `release` in place of what stood there: verifying again, with more traffic,
/// replaces.
[[nodiscard]] std::vector<HistoryRow> with_release(std::vector<HistoryRow> rows,
                                                   const std::string& release,
                                                   std::span<const HistoryRow> of_release);

/// Each release forecast from the others alone, by what the study uses.
struct LeaveOneOut {
  std::uint64_t releases = 0;  ///< left out in turn, with enough in the rest to learn from
  std::uint64_t rows = 0;
  double median_error = 0, persistence_median_error = 0;  ///< exp|ln(estimate / actual)|
  double coverage = 0;                                    ///< of the 95% intervals
  std::uint64_t beats_persistence = 0;  ///< releases with the lower mean log error
};
/// Empty where no release can be left out: fewer than two, or too few rows in the rest.
[[nodiscard]] std::optional<LeaveOneOut> leave_one_release_out(std::span<const HistoryRow> rows);

}  // namespace understudy
