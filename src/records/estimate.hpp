#pragma once
// What is known about one behavior: rates with intervals for each arm, the forecast, the change.
// Plain values that estimate/ fills and report/ shows; to_json gives the shape of report.json's
// `behaviors[]`. Rates are per 100,000 draws of the study's unit.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "records/draw.hpp"

namespace understudy {

/// A rate with its interval. What is unknown is empty, never a number.
struct Rate {
  std::optional<double> per_100k;
  std::optional<double> lo;  ///< per 100,000, in [0, 100000]
  std::optional<double> hi;
  double level = 0.95;
  std::optional<std::uint64_t> n;  ///< draws (or labels) that the rate is over
  std::optional<std::uint64_t> k;  ///< how many of them are present
  std::string method;              ///< how the interval was made; docs/statistics.md lists them
};

/// Counts of draws, not weights: present + absent + Σ ungradable + Σ not_graded = completed.
struct VerdictCounts {
  std::uint64_t present = 0;
  std::uint64_t absent = 0;
  std::map<std::string, std::uint64_t> ungradable;  ///< by reason
  std::map<std::string, std::uint64_t> not_graded;  ///< by reason
  std::uint64_t verified = 0;  ///< draws with an oracle verdict; they are counted above as well
};

struct ArmEstimate {
  VerdictCounts verdicts;
  Rate screen;     ///< what the screening grader says
  Rate verified;   ///< flags that the oracle confirmed; misses of the screen are not in it
  Rate corrected;  ///< the best estimate of the truth: verified and divided by recall if known
};

/// Known positives from one channel, and how many of them the screen flags.
struct RecallChannel {
  std::string channel;
  std::uint64_t positives = 0;
  std::uint64_t flagged = 0;      ///< at most positives
  bool transferred = false;       ///< measured with another judge or on another model's text
  bool stale = false;             ///< measured with another version of the grader
  std::string judge = {};         ///< what screened them; empty: not said
  std::string source_model = {};  ///< what wrote them; empty: not said
  std::optional<double> lo = {};  ///< interval of flagged / positives, filled in by estimates
  std::optional<double> hi = {};
};

enum class Direction : std::uint8_t {
  kUndecided = 0,  ///< the interval of the ratio holds 1, or there is none
  kUp = 1,         ///< the candidate does it more often
  kDown = 2,
};
[[nodiscard]] std::string_view direction_name(Direction direction);

/// Candidate over deployed.
struct Change {
  std::optional<double> ratio;
  std::optional<double> lo;
  std::optional<double> hi;  ///< empty where nothing bounds it (no event in the deployed arm)
  std::optional<double> p_value;
  std::optional<double> q_value;  ///< Benjamini–Hochberg over the behaviors of this report
  std::optional<double> p_holm;   ///< Holm over the behaviors of this report
  Direction direction = Direction::kUndecided;
  bool paired = false;  ///< the p-value compares the two answers to the same prefix
};

/// The closed list of warnings that an estimate can carry. docs/statistics.md says when each fires.
enum class Alarm : std::uint8_t {
  kRegression,              ///< far from the old rate: shrinkage is off
  kTransferredCalibration,  ///< recall was measured on another judge or model
  kFewPositiveClusters,     ///< fewer than ten users or conversations hold all positives
  kScreenRelative,          ///< nothing corrects for what the screen misses
  kLowEffectiveSample,      ///< the weights leave less than a tenth of the draws' information
  kAllUngradable,           ///< not one verdict: the interval is everything
  kMissingVerdicts,         ///< ungradable or failed draws widen the interval by half or more
  kPartialScope,            ///< the rate is over the draws that the grader is made for
  kNoRecallLabels,          ///< a recall channel without a single known positive
  kRecallChannelsDiffer,    ///< channels disagree about recall: the interval spans them
  kOneCluster,              ///< all draws are one user's or one conversation's
  kNoDraws,                 ///< nothing to estimate from
  kStaleRecall,             ///< recall was measured with another version of the grader
};
[[nodiscard]] std::string_view alarm_name(Alarm alarm);

struct BehaviorEstimate {
  std::string name;
  std::string version;
  std::string hash;
  std::array<std::optional<ArmEstimate>, kArmCount> arms;  ///< by Arm; empty: the arm has no draws
  Rate forecast;
  Change change;
  std::optional<double> miss_bound_per_100k;  ///< upper 95% bound of what the screen missed
  std::optional<double> previous_per_100k;    ///< the old rate that the forecast leans on
  /// How far the forecast moved from the unshrunk estimate toward the old rate, in [0, 1].
  std::optional<double> shrinkage;
  /// Recall channels from elsewhere, tested against this table's labels (docs/statistics.md).
  std::optional<double> transfer_p_value;
  std::optional<double> transfer_power;  ///< of seeing a recall lower by 0.2, at 5% error
  std::vector<RecallChannel> recall;     ///< all that was measured, used or not
  std::vector<Alarm> alarms;             ///< sorted, each once

  [[nodiscard]] const std::optional<ArmEstimate>& arm(Arm which) const {
    return arms[static_cast<std::size_t>(which)];
  }
};

[[nodiscard]] Json to_json(const Rate& rate);
[[nodiscard]] Json to_json(const VerdictCounts& counts);
[[nodiscard]] Json to_json(const RecallChannel& channel);
[[nodiscard]] Json to_json(const BehaviorEstimate& estimate);

}  // namespace understudy
