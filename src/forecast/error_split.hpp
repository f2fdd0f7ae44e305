#pragma once
// Where the error of a forecast comes from, as far as the measurements at hand tell: on the log
// scale, where the parts of one behavior add up to its whole error,
//
//   ln(forecast / actual) = shrinkage + environment + prefix shift + remainder
//
//   shrinkage     ln(forecast / X→old): what the estimator did to what was replayed
//   environment   ln(Y→Y / Y in production); without Y→Y ln(X→own / X in production)
//   prefix shift  ln(X→old / X→own): X replayed on the prefixes of its own traffic; without that it
//                 is part of the remainder
//   remainder     the rest: change of traffic, bias that the models don't share, chance
//
// Sampling and grading have no known sign in one behavior: they are spreads, expected from counts
// and labels. What pools over the behaviors is a mean (the pipeline's common bias) and a spread
// (how much behaviors differ), each with an interval, sampling noise taken out.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "records/estimate.hpp"
#include "stats/random_effects.hpp"

namespace understudy {

struct SplitInput {
  std::string behavior;
  Rate forecast;                         ///< predictive
  Rate candidate;                        ///< X→old, unshrunk
  Rate deployed;                         ///< Y in production
  Rate deployed_replay;                  ///< Y→Y; may be unknown
  Rate own_replay;                       ///< X→own; may be unknown
  Rate actual;                           ///< X in production
  Rate candidate_screen, actual_screen;  ///< without labels, for the grader's part
};

/// ln, signed: above 0 the forecast is too high. The interval is of measurement noise.
struct SplitPart {
  double log = 0;
  double sd = 0;
  [[nodiscard]] Interval interval(double level) const;
};

struct SplitRow {
  std::string behavior;
  std::optional<SplitPart> total, shrinkage, environment, prefix_shift, remainder;
  std::optional<double> sampling_sd;  ///< of ln(X→old / actual), from their counts
  std::optional<double> grader_sd;    ///< that labels add to it; empty without labels
};

struct ErrorSplit {
  std::vector<SplitRow> rows;      ///< behaviors with a forecast, a replay and an actual
  std::string environment_source;  ///< "candidate_on_own_prefixes", "deployed_replay" or ""
  std::optional<RandomEffects> total, shrinkage, environment, prefix_shift, remainder;
  /// Root mean squares over the rows, from the counts' own intervals.
  std::optional<double> sampling_sd, sampling_sd_lo, sampling_sd_hi;
  std::optional<double> grader_sd, grader_sd_lo, grader_sd_hi;
  double level = 0.95;
};

/// Rows are those where X was seen, or expected, in production: at least `events_min` events in the
/// replay or in production; below, logarithms say nothing.
[[nodiscard]] ErrorSplit split_errors(std::span<const SplitInput> inputs, double level = 0.95,
                                      double events_min = 5);

/// `error_split` of understudy.verification/1.
[[nodiscard]] Json to_json(const ErrorSplit& split);

}  // namespace understudy
