#pragma once
// Backtests: forecast on one part of what is graded already, "deploy" on the other, score, and do
// it again over other cuts. Pure: answers enter as clusters and verdicts. The forecast is the one
// of a study (estimate_behaviors), the score the one of `verify` (scoring.hpp).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "forecast/scoring.hpp"
#include "records/verdict.hpp"

namespace understudy {

/// The answers of one model; everything parallel.
struct BacktestAnswers {
  std::vector<std::uint64_t> clusters;
  std::vector<double> weights;        ///< 1 / pi_prefix; empty: all equal
  std::vector<std::int64_t> periods;  ///< from 0; -1: the time is not known; empty: none is
  std::vector<std::vector<Verdict>> verdicts;  ///< by behavior, then by answer
};

struct BacktestInput {
  std::vector<std::string> behaviors;
  /// Of the model that is forecast, and of the one before it: persistence, the old rate. Without
  /// the second the first one's own past forecasts its future, and there is nothing else to say.
  BacktestAnswers candidate;
  std::optional<BacktestAnswers> deployed;
};

enum class BacktestPart : std::uint8_t { kForecast, kActual, kUnused };

/// What one cut does with an answer.
struct BacktestCut {
  std::string name;
  /// Of the answer's cluster, or its period where the cut is in time.
  std::vector<BacktestPart> candidate, deployed;
  double shift_log_sd = 0;  ///< what placebos of the forecast part say (placebo.hpp)
};

/// Clusters in two halves by a seeded hash, the same in both arms; no time, and hence no shift.
[[nodiscard]] BacktestCut random_halves(const BacktestInput& input, std::uint64_t seed);
/// Answers before `period` forecast those of the `length` periods from it on; the shift is what
/// the placebos among the earlier ones say.
[[nodiscard]] BacktestCut time_cut(const BacktestInput& input, std::int64_t period,
                                   std::int64_t length);

/// One forecast with its actual for each behavior; those without a verdict in a part are not
/// scored, and say why (ScoreRow::skipped).
[[nodiscard]] std::vector<ForecastActual> backtest_cut(const BacktestInput& input,
                                                       const BacktestCut& cut);

/// Over all cuts; shares of what was scored. Errors where five events were expected.
struct BacktestRow {
  std::string behavior;
  std::uint64_t scored = 0, covered = 0, compared = 0, compared_covered = 0;
  std::optional<double> median_sme, p90_sme, persistence_median_sme;
  double events = 0;  ///< mean, in the actual part
};
struct BacktestResult {
  std::uint64_t cuts = 0;
  std::vector<BacktestRow> rows;  ///< by behavior, in the order of the input
  BacktestRow all;
  /// Compared rows where the forecast is nearer than persistence.
  std::uint64_t better = 0, against_persistence = 0;
  std::uint64_t moved = 0, right = 0;  ///< ScoreSummary's, summed
};

class Backtest {
 public:
  explicit Backtest(std::vector<std::string> behaviors);
  void add(std::span<const ForecastActual> cut);
  [[nodiscard]] BacktestResult result() const;

 private:
  struct Tally {
    std::vector<double> smes, persistence;
    std::uint64_t scored = 0, covered = 0, compared_covered = 0, better = 0;
    double events = 0;
  };
  [[nodiscard]] static BacktestRow row(std::string name, const Tally& tally);
  std::vector<std::string> behaviors_;
  std::vector<Tally> tallies_;
  std::uint64_t cuts_ = 0, moved_ = 0, right_ = 0;
};

[[nodiscard]] Json to_json(const BacktestResult& result);
/// Fixed-width text, one line a behavior.
[[nodiscard]] std::string backtest_table(const BacktestResult& result);

}  // namespace understudy
