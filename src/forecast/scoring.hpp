#pragma once
// Scores a forecast against what happened, beside the baselines that are hard to beat: pure, from
// rate objects alone. `verify` gives it the candidate's production, `backtest` the other part of
// the logs, tests a planted truth.
//
// Rules that a score rests on, the same for every method:
// - Zeros: every rate is floored at half an event in the actual draws, and an actual count of zero
//   is half an event: a ratio to it is then the smallest that the data allow.
// - Errors (SME, CRPS, tests, direction) are over the rows where at least five events are expected,
//   by the forecast or by persistence, or were seen: below, chance decides. Coverage and log score
//   are over every row with an actual.
// - The actual is a count: coverage asks whether it lies within the central part of the
//   forecast's predictive law for a count from that many draws, not whether the noisy quotient
//   lies within an interval for the rate.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "records/estimate.hpp"

namespace understudy {

enum class Moved : std::uint8_t { kUnknown, kNo, kUp, kDown };
[[nodiscard]] std::string_view moved_name(Moved moved);

/// One behavior: what was foretold and what was measured. Rates per 100,000 of the same unit.
struct ForecastActual {
  std::string behavior;
  Rate forecast;  ///< predictive interval; without per_100k or hi the row is not scored
  Rate actual;    ///< with n and k; without them the row is not scored
  /// By name: "persistence" (the old rate; directions are against it), "challenging_prompts",
  /// "deployed_replay". One without an interval is scored as a point.
  std::map<std::string, Rate> baselines;
  std::optional<Moved> called = {};  ///< as it was frozen; empty: forecast over persistence
};

struct ScoringOptions {
  double level = 0.95;
  double events_min = 5;
  double direction_ratio = 1.5;  ///< a change of less is none
};

struct ScoreRow {
  std::string behavior;
  Rate forecast, actual;
  std::string skipped;           ///< why there is no score at all; empty: scored
  bool compared = false;         ///< enough events for errors and directions
  double effective_n = 0;        ///< of the actual, clustering allowed for
  double effective_k = 0;        ///< parallel
  std::optional<double> sme;     ///< symmetric multiplicative error, max(r̂/r, r/r̂); compared
  std::optional<double> crps;    ///< of ln rate; compared
  std::optional<double> regret;  ///< log score lost against the law of the actual rate itself, nats
  std::optional<bool> covered;
  std::map<std::string, double> baseline_sme;     ///< compared
  std::map<std::string, double> baseline_regret;  ///< baselines with an interval
  Moved called = Moved::kUnknown;
  Moved seen = Moved::kUnknown;  ///< actual over persistence; compared
};

/// Paired over the compared rows that have the baseline: |ln error| of ours minus the baseline's.
struct PairedTest {
  std::string baseline;
  std::uint64_t rows = 0;
  double mean_log_error = 0, baseline_mean_log_error = 0;
  std::uint64_t better = 0;  ///< rows where ours is nearer
  double p_value = 1;        ///< two-sided sign-flip
  double p_holm = 1;         ///< over the baselines
  double power = 0;          ///< of showing 1.5× → 1.32× with so many rows (60)
};

struct ScoreSummary {
  std::uint64_t rows = 0, scored = 0, compared = 0;
  std::optional<double> median_sme, p90_sme, max_sme;  ///< compared rows
  std::optional<double> mean_log_bias;                 ///< ln(forecast / actual); compared
  std::optional<double> mean_crps, mean_regret;
  std::optional<double> coverage, coverage_lo, coverage_hi;  ///< share, its Clopper–Pearson
  std::uint64_t covered = 0;
  /// Of the compared rows that moved by direction_ratio or more: how many the forecast, and how
  /// many each baseline, put on the right side of the old rate; and what `called` said.
  std::uint64_t moved = 0, right = 0, called = 0, called_right = 0;
  std::map<std::string, std::uint64_t> baseline_right;
  std::map<std::string, double> baseline_median_sme, baseline_mean_regret;
  std::vector<PairedTest> tests;
};

struct ForecastScores {
  std::vector<ScoreRow> rows;  ///< in the order of the inputs
  ScoreSummary summary;
};

[[nodiscard]] ForecastScores score_forecasts(std::span<const ForecastActual> inputs,
                                             const ScoringOptions& options = {});

/// `rows[]` and `summary` of understudy.verification/1.
[[nodiscard]] Json to_json(const ScoreRow& row);
[[nodiscard]] Json to_json(const ScoreSummary& summary);

/// Power of the paired test with `rows` rows (60): normal approximation to 56% at 20, 83% at 40 and
/// 94% at 60.
[[nodiscard]] double paired_power(std::uint64_t rows);

}  // namespace understudy
