#pragma once
// One arm's rates: what the screen says, what the oracle confirmed, and the best estimate of the
// truth that the labels at hand allow.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "estimate/arm_verdicts.hpp"
#include "records/estimate.hpp"
#include "stats/intervals.hpp"

namespace understudy {

/// The channel of the cases that a behavior's own file shows: they are written to be clear, and say
/// whether a judge works at all, not what it misses. Shown, never divided by.
inline constexpr std::string_view kExamplesChannel = "examples";

/// What the audit may add to the upper end of a rate, as a factor, before the rate is given without
/// it: up to there the interval still tells the rate's order of magnitude.
inline constexpr double kAuditStretchMax = 10;

/// What the corrected rate rests on.
enum class Basis : std::uint8_t {
  kNothing,       ///< no verdicts
  kScreen,        ///< the screen alone, nothing known about its errors
  kVerified,      ///< verified flags, nothing known about what the screen missed
  kRecall,        ///< verified flags over recall (25), (26)
  kScreenRecall,  ///< unverified flags over recall: false flags remain
  kAudit,         ///< labels among flags and among what the screen passed
  kLabelsAlone,   ///< all labels, whatever the screen said: they bound the rate better
};

/// The corrected rate as numbers: point and interval as shares, and the same as a Poisson
/// likelihood for the prior: `events` ~ Poisson(rate · recall · exposure).
struct CorrectedRate {
  Basis basis = Basis::kNothing;
  double point = 0;
  Interval interval;  ///< without what missing verdicts add
  double events = 0;
  double exposure = 0;
  double recall_flagged = 0, recall_positives = 0;  ///< 0 positives: recall is taken as 1
  bool no_recall_labels = false;
  bool channels_differ = false;
};

struct RateOptions {
  double level = 0.95;
  bool anytime = false;         ///< confidence sequences in place of intervals
  double expected_rate = 1e-4;  ///< where the sequence is tightest; any guess is valid
  bool with_audit = true;       ///< add what the audit leaves open: see audit_tells
};

/// Whether an audit of what the screen passed says enough of the rate to be part of its interval:
/// it found a miss, or leaves open at most kAuditStretchMax times the verified rate's upper end. An
/// audit that does neither is given as the miss bound beside the rate.
[[nodiscard]] bool audit_tells(const ArmSummary& arm, const RateOptions& options);

[[nodiscard]] CorrectedRate corrected_rate(const ArmSummary& arm,
                                           std::span<const RecallChannel> recall,
                                           const RateOptions& options);

/// The three rate objects and the verdict counts. Ungradable and failed draws widen every interval
/// to what it would be if none or all of them were present.
[[nodiscard]] ArmEstimate arm_estimate(const ArmSummary& arm, const CorrectedRate& corrected,
                                       const RateOptions& options);

/// The interval that also holds when the missing share of draws were all absent or all present.
[[nodiscard]] Interval with_missing(const Interval& interval, double missing_share);

/// Upper bound (one-sided) of the rate of what the screen missed, from the audit labels; empty
/// without any. With none present among m uniform labels this is about 3/m.
[[nodiscard]] std::optional<double> miss_bound(const ArmSummary& arm, double level);

}  // namespace understudy
