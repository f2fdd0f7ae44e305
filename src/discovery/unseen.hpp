#pragma once
// How much is still unseen, when whoever looks (an auditor, a grader, people) misses some: bounds
// on failures of kinds that nobody has met, corrected for measured recall. Failures are verified
// and of draws that were made uniformly; kinds are told apart without error at the resolution that
// is given, so report several (statistics.md (64)).

#include <cstdint>
#include <span>

namespace understudy {

/// Recall as measured: of `known` failures put before the auditor, planted or of a behavior that
/// was hidden from its list, it found so many. found <= known.
struct MeasuredRecall {
  std::uint64_t found = 0;
  std::uint64_t known = 0;
};

/// Rate, among all draws, of failures whose kind has not been met once.
struct UnseenMass {
  double share_good_turing = 1;  ///< of failures, f₁/n
  double share_chao = 1;         ///< Chao & Jost's correction
  double rate = 0;               ///< per draw, f₁ / (draws · recall)
  double rate_hi = 1;            ///< one-sided upper bound at `level`
};
/// Good–Turing as counts: f₁ estimates draws · recall · (unseen rate), and their difference has
/// variance E f₁ + 2 E f₂ where kinds occur as Poisson processes (Robbins 1968; Esty 1983). The
/// bound is the gamma bound of an over-dispersed count, melded with recall's confidence
/// distribution. draws >= 1; level in (½, 1).
[[nodiscard]] UnseenMass unseen_mass(std::span<const std::uint64_t> sizes, std::uint64_t draws,
                                     const MeasuredRecall& recall, double level);

/// Number of kinds, seen or not, by Chao's lower bound (1987). Its log-normal interval holds 87–92%
/// of the time where few kinds are unseen; `lo` bounds the unseen number itself. Recall cancels: a
/// kind that is found half as often is a rarer kind.
struct KindCount {
  double seen = 0;
  double estimate = 0;
  double lo = 0;  ///< one-sided lower bound at `level`, a whole number
};
[[nodiscard]] KindCount kind_count(std::span<const std::uint64_t> sizes, double level);

/// The rate per draw above which no behavior was missed: with chance 1 − alpha, each of at most
/// `types_max` behaviors that are commoner was found at least `copies` times among the draws.
/// Poisson and a union over the types, averaged over recall's lower confidence distribution
/// Beta(found, known − found + 1). 1 where nothing bounds it.
[[nodiscard]] double novelty_bound(std::uint64_t draws, const MeasuredRecall& recall,
                                   std::uint64_t types_max, std::uint64_t copies, double alpha);
/// The same where the auditor finds everything: 0.00286% for 700,000 draws, 10 types, 10 copies.
[[nodiscard]] double novelty_bound(std::uint64_t draws, std::uint64_t types_max,
                                   std::uint64_t copies, double alpha);

}  // namespace understudy
