#pragma once
// What the estimators take in: the verdicts of one behavior in one arm, packed. Absent verdicts are
// the bulk and need no row: they follow from the sizes of the clusters that the arm's draws fall
// into, which all behaviors of a study share.
//
//   ClusterSizes draws;                               // once per arm
//   draws.add(user, weight); …  draws.finish();
//   ArmVerdicts verdicts(draws);                      // once per behavior and arm
//   verdicts.add({.cluster = user, .screen = Screened::kPresent});
//   ArmSummary summary = summarize(std::move(verdicts));   // small
//
// Nothing depends on the order of the calls: sums are exact and rounded once (stats/exact_sum.hpp).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "records/estimate.hpp"
#include "records/verdict.hpp"
#include "stats/exact_sum.hpp"
#include "stats/intervals.hpp"

namespace understudy {

/// How the draws of an arm fall into clusters (users or conversations), with their design weights.
/// The weight of a draw is 1 / pi_prefix; only its ratio to the other weights matters, unless the
/// size of the frame is given as well. 16 bytes a draw until finish(), then 24 a cluster.
class ClusterSizes {
 public:
  /// `count` draws of equal weight in one cluster. weight > 0 and finite, count >= 1.
  void add(std::uint64_t cluster, double weight = 1, std::uint64_t count = 1);
  /// `count` draws of equal weight, each the only one of its cluster.
  void add_singletons(double weight, std::uint64_t count);
  /// Call once, after the last add.
  void finish();

  [[nodiscard]] std::uint64_t draws() const { return draws_; }
  [[nodiscard]] std::uint64_t clusters() const { return clusters_; }
  [[nodiscard]] double weight() const { return weight_; }  ///< Σ w
  [[nodiscard]] double weight_max() const { return weight_max_; }
  [[nodiscard]] double weight_squares() const { return weight_squares_; }  ///< Σ w²
  /// Σ (1 − 1/w) w²: the variance of Σ w when each prefix was taken by its own coin (Poisson
  /// design) with probability 1/w.
  [[nodiscard]] double design_variance() const { return design_variance_; }
  [[nodiscard]] double cluster_weight_squares() const {
    return cluster_weight_squares_;
  }  ///< Σ W_c²
  /// Σ n_c² / Σ n_c: the size of the cluster that a random draw belongs to; at least 1.
  [[nodiscard]] double typical_size() const { return typical_size_; }
  [[nodiscard]] double weight_of(std::uint64_t cluster) const;  ///< W_c; 0 for an unknown cluster

 private:
  struct Entry {
    std::uint64_t cluster;
    double weight;  ///< of one draw before finish(), of the whole cluster after
    std::uint64_t count;
  };
  void count_draws(double weight, std::uint64_t count);

  std::vector<Entry> entries_;
  ExactSum weight_sum_, square_sum_, design_sum_, cluster_square_sum_;
  double size_squares_ = 0;  // integers below 2^53 in any table that fits a disk
  std::uint64_t draws_ = 0, clusters_ = 0;
  double weight_ = 0, weight_max_ = 0, weight_squares_ = 0, design_variance_ = 0;
  double cluster_weight_squares_ = 0, typical_size_ = 1;
  bool finished_ = false;
};

/// What the screening grader said.
enum class Screened : std::uint8_t {
  kAbsent = 0,
  kPresent = 1,
  /// No verdict although the draw is in scope (failed draw, judge refused or unparsable): the
  /// interval spans both answers.
  kMissing = 2,
  /// The grader is not made for it (language): the rate is over the rest, and the report says so.
  kOutOfScope = 3,
  /// Left out at random by design: the rate is over the rest.
  kNotGraded = 4,
};
[[nodiscard]] Screened screened(Verdict verdict);

enum class Oracle : std::uint8_t { kUnknown = 0, kAbsent = 1, kPresent = 2 };

/// `count` draws of distinct prefixes with the same values.
struct VerdictRow {
  std::uint64_t cluster = 0;
  bool singleton = false;  ///< each of the draws is the only one of its cluster
  double weight = 1;       ///< 1 / pi_prefix, as given to ClusterSizes
  Screened screen = Screened::kPresent;
  Oracle oracle = Oracle::kUnknown;
  double pi_oracle = 1;      ///< in (0, 1]; probability of being sent to the oracle
  std::uint64_t prefix = 0;  ///< identity of prefix and draw, for paired tests; 0: unknown
  std::uint64_t count = 1;
  bool operator==(const VerdictRow&) const = default;
};

class ArmVerdicts {
 public:
  /// `draws` is finished when summarize() is called, and outlives this.
  explicit ArmVerdicts(const ClusterSizes& draws) : draws_(&draws) {}

  /// Every draw that is anything but absent and unverified. `reason` names why it is missing, out
  /// of scope or not graded, and is empty otherwise.
  void add(const VerdictRow& row, std::string_view reason = {});
  /// The same from a stored verdict byte: kind and reason follow from it; absent without an oracle
  /// verdict is ignored.
  void add(Verdict verdict, VerdictRow row);
  /// Draws that gave no answer at all. They are not in ClusterSizes; weight is their mean weight.
  void add_failed(std::uint64_t count, double weight = 1);
  /// The number of prefixes that the design stands for, if known (Horvitz–Thompson instead of a
  /// ratio of weighted sums).
  void set_frame(double prefixes) { frame_ = prefixes; }
  /// A fingerprint of all (prefix, draw) pairs of the arm, equal exactly when the sets are: arms
  /// with equal ones are compared in pairs. Sum of mixed identities, modulo 2^64, see prefix_mix.
  void set_prefix_fingerprint(std::uint64_t sum) { fingerprint_ = sum; }

 private:
  friend class Summarizer;
  void keep(const VerdictRow& row);
  const ClusterSizes* draws_;
  std::vector<VerdictRow> rows_;
  VerdictCounts counts_;
  std::uint64_t failed_ = 0;
  double failed_weight_ = 0;
  std::optional<double> frame_;
  std::optional<std::uint64_t> fingerprint_;
};

/// One term of the fingerprint (a bijective mix, so that sums of different sets differ).
[[nodiscard]] std::uint64_t prefix_mix(std::uint64_t prefix);

/// A weighted share with what its interval needs (stats/intervals.hpp), and the plain counts.
struct EventCount {
  std::uint64_t n = 0;  ///< draws or labels that the share is over
  std::uint64_t k = 0;  ///< of them present
  double y = 0;         ///< weighted share; with a known frame it can pass 1 by chance
  double v = 0;         ///< y² / v is the effective number of events, y / v that of draws
  double w_next = 1;    ///< what one more event would add to y, or one more cluster of them
};

/// 95% or other interval of such a share: weighted_binomial, seen from whichever of present and
/// absent is rarer. n = 0 gives [0, 1].
[[nodiscard]] Interval share_interval(const EventCount& count, double level);

/// All that the estimators need of an arm: some dozens of numbers.
struct ArmSummary {
  VerdictCounts verdicts;
  std::uint64_t draws = 0;  ///< completed
  std::uint64_t failed = 0;
  std::uint64_t gradable = 0;     ///< present + absent
  double missing_share = 0;       ///< of the in-scope weight, failed draws included
  double out_of_scope_share = 0;  ///< of the weight of completed draws
  double effective_share = 1;     ///< Kish: (Σw)² / (n Σw²)
  EventCount screen;              ///< screen = present
  EventCount verified;            ///< screen and oracle = present; the rate if flags_complete
  EventCount flagged;             ///< labels among the screen's flags
  EventCount unflagged;           ///< labels among what the screen passed: the audit
  EventCount labels;              ///< all labels, whatever the screen said
  bool flags_complete = false;    ///< every flag was certain to be verified, and has been
  std::uint64_t clusters = 0;
  std::uint64_t positive_clusters = 0;  ///< that hold what is counted (verified, else screen)
  bool clustered = false;  ///< clusters matter: typical size 1.5 or more, or two hits in one
  std::optional<std::uint64_t> fingerprint;
  std::vector<std::uint64_t> present_prefixes;   ///< sorted; screen = present
  std::vector<std::uint64_t> unusable_prefixes;  ///< sorted; no screen verdict
};

/// Takes the verdicts (move them in): it sorts them. O(rows log rows + clusters).
[[nodiscard]] ArmSummary summarize(ArmVerdicts verdicts, double level = 0.95);

}  // namespace understudy
