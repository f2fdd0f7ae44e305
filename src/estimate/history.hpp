#pragma once
// What past releases teach: how far behaviors really move, how biased replay is, and whether the
// bias is shared between models (statistics.md §4b, formulas 70–72).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace understudy {

/// One behavior in one past release; rates per 100,000. Empty is unknown.
struct HistoryRow {
  std::string release, behavior;
  std::optional<double> previous_per_100k;
  std::optional<double> candidate_replayed_per_100k;
  std::optional<std::uint64_t> candidate_draws;
  std::optional<double> deployed_replayed_per_100k;
  std::optional<std::uint64_t> deployed_draws;
  std::optional<double> actual_per_100k;
};

/// Log-rate scale throughout. The change d = ln(actual / previous) is drawn from
/// share·N(0, narrow²) + (1 − share)·N(0, wide²).
struct HistoryFit {
  double share = 0.5, narrow = 0.1, wide = 1.0;
  double candidate_bias_variance = 0;  ///< s_v²: replay of the candidate against what happened
  double deployed_bias_variance = 0;   ///< s²: replay of the old model against its known rate
  double covariance = 0;               ///< of the two biases
  std::uint64_t changes = 0;           ///< rows that gave d
  std::uint64_t pairs = 0;             ///< rows that gave both biases
  std::uint64_t releases = 0;
  /// Whether a replay of the old model is used as a pivot: correlation above 0.6 on 20 rows.
  [[nodiscard]] bool pivots() const;
  [[nodiscard]] double correlation() const;
};

/// Empty where fewer than ten rows know both the rate before and after.
[[nodiscard]] std::optional<HistoryFit> fit_history(std::span<const HistoryRow> rows);

}  // namespace understudy
