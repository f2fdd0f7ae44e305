#pragma once
// How much is still unseen, when whoever looks (an auditor, a grader, people) misses some: bounds
// on failures of kinds that nobody has met, corrected for measured recall. Draws were made
// uniformly. A user's draws may be alike, so kinds are counted by users; kinds are told apart
// without error at the resolution that is given, so report several (statistics.md (64)).

#include <cstdint>
#include <span>
#include <vector>

namespace understudy {

/// Recall as measured for one behavior: of `known` failures put before the auditor, planted or of a
/// behavior that was hidden from its list, it found so many. Real-valued: what chance would have
/// found may be taken off. 0 <= found <= known, known > 0.
struct MeasuredRecall {
  double found = 0;
  double known = 0;
};

/// Over several behaviors, which are missed together.
struct PooledRecall {
  MeasuredRecall counted;  ///< over the effect
  double share = 0;
  double effect = 1;  ///< how much less `known` says because it is of few behaviors, >= 1
};
[[nodiscard]] PooledRecall pooled_recall(std::span<const MeasuredRecall> behaviors);

/// What was read of one user.
struct UserDraws {
  std::uint64_t draws = 0;            ///< >= 1
  std::uint64_t without_verdict = 0;  ///< of those
  std::vector<std::size_t> noted;     ///< the kinds of his other draws where one was noted
};

/// Draws that are worth as much as these if all of a user's are alike: n² / Σ (a user's)².
[[nodiscard]] double effective_draws(std::span<const UserDraws> users);

/// Rate, among all draws, of failures whose kind has not been met once.
struct UnseenMass {
  double share_good_turing = 1;  ///< of kinds with a user each, those of kinds with one, f₁/n
  double share_chao = 1;         ///< Chao & Jost's correction
  double rate = 0;     ///< per draw, noted draws of kinds with one user / (draws · recall)
  double rate_hi = 1;  ///< one-sided upper bound at `level`
};
/// Good–Turing by users: the draws of kinds met with one user estimate draws · recall · (unseen
/// rate), and where kinds occur as Poisson processes the variance of the number of such kinds is
/// E f₁ + 2 E f₂ (Robbins 1968; Esty 1983). The bound is the gamma bound of an over-dispersed
/// weighted count, in which every draw without a verdict is a kind of its own, melded with the
/// confidence distribution of the recall of `behaviors` and of one more, of which half was found:
/// which behaviors could be hidden was chance as well. 1 for less than two behaviors; level in
/// (½, 1).
[[nodiscard]] UnseenMass unseen_mass(std::span<const UserDraws> users,
                                     std::span<const MeasuredRecall> behaviors, double level);

/// Number of kinds, seen or not, by Chao's lower bound (1987). Its log-normal interval holds 87–92%
/// of the time where few kinds are unseen; `lo` bounds the unseen number itself. Recall cancels: a
/// kind that is found half as often is a rarer kind.
struct KindCount {
  double seen = 0;
  double estimate = 0;
  double lo = 0;  ///< one-sided lower bound at `level`, a whole number
};
[[nodiscard]] KindCount kind_count(std::span<const UserDraws> users, double level);

/// The rate per draw above which no behavior was missed: with chance 1 − alpha, each of at most
/// `types_max` behaviors that are commoner was found at least `copies` times among the draws,
/// whatever the `without_verdict` draws without a verdict show. Poisson and a union over the types;
/// each is found as one of `behaviors`, with Beta(found + 1, known − found + 1), or, as one part in
/// their number + 1, with any recall (a Dirichlet process with uniform base): a mean over few
/// behaviors alone covers too seldom where recalls differ (`bench_discovery unseen`). 1 where
/// nothing bounds it, and for less than two behaviors.
struct NoveltyQuestion {
  std::uint64_t types_max = 10;
  std::uint64_t copies = 10;
  double alpha = 0.05;
};
[[nodiscard]] double novelty_bound(double draws, double without_verdict,
                                   std::span<const MeasuredRecall> behaviors,
                                   const NoveltyQuestion& question);
/// The same where the auditor finds everything: 0.00286% for 700,000 draws, 10 types, 10 copies.
[[nodiscard]] double novelty_bound(double draws, const NoveltyQuestion& question);

}  // namespace understudy
