#pragma once
// What does the candidate do that the logged answers to the same prefixes do not, and the other way
// round? Features of both are counted; those that differ most on one half of the users are tested
// on the other half, so that looking at everything costs nothing in error.
//
// A conversation votes for a feature by its first turn in which one of the two answers has it, a
// user by the sign of the sum over conversations: where the two models answer alike, it is up or
// down with the same chance, whatever the prefixes. (Later turns may not vote: their prefixes hold
// the logged answers before, and who has said a thing says it again.) So the test is an exact sign
// test over users, one-sided in the direction that the first half showed. Users are halved by a
// seeded hash. Of the first half, up to `groups_max` hypotheses go on (hypotheses.hpp); their
// p-values on the second half are adjusted by Benjamini–Hochberg with weights from the first half's
// order (1/rank, mean 1): Genovese, Roeder & Wasserman 2006. Rates are of the second half alone.
//
// Two passes over the pairs. Memory does not grow with them: hashes share 2^20 to 2^25 counters in
// the first pass (a shared counter can only cost a feature its selection), the second counts what
// was selected exactly.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "grading/answer_features.hpp"
#include "stats/intervals.hpp"

namespace understudy {

/// One place: the answer in the logs and the candidate's.
struct FeaturedPair {
  std::uint64_t id = 0;  ///< what the caller finds the pair by again
  std::span<const Feature> logged;
  std::span<const Feature> candidate;
  /// Pairs of a conversation stand in a row, in the order of its turns; 0: one of its own.
  std::uint64_t conversation = 0;
};

class PairVisitor {
 public:
  virtual ~PairVisitor() = default;
  /// Whether the pairs of this user are wanted in this pass; the others need not be read.
  [[nodiscard]] virtual bool wants(std::uint64_t cluster) = 0;
  virtual void see(std::uint64_t cluster, const FeaturedPair& pair) = 0;
};
/// Shows every pair that is wanted, those of a user in a row, each time in the same order.
using PairSource = std::function<Result<void>(PairVisitor&)>;

struct ContrastOptions {
  std::uint64_t seed = 1;
  std::uint64_t pairs = 0;  ///< about how many there are, for the number of counters
  double level = 0.05;      ///< findings have an adjusted p-value of at most this, (0, 1)
  std::size_t groups_max = 40;
  /// Every feature is tested and given back, whatever either half says: for a few kinds that are
  /// worth showing each.
  bool keep_all = false;
};

/// A share of the second half's answers, per 100,000, with an interval over users.
struct HalfRate {
  std::uint64_t answers = 0;
  double per_100k = 0;
  Interval interval;    ///< per 100,000
  double level = 0.95;  ///< higher where few of many are shown: on average 95% of them hold
};

struct ContrastFinding {
  std::vector<std::string> features;  ///< names; the first is the one that was tested
  bool more = true;                   ///< the candidate does it more often
  bool with_length = false;           ///< as common as in the other arm's answers of its length
  double p_value = 1;
  double adjusted = 1;
  HalfRate logged;
  HalfRate candidate;
  double excess_per_100k = 0;     ///< candidate − logged
  std::uint64_t users_more = 0;   ///< of the second half: did it more often with the candidate
  std::uint64_t users_fewer = 0;  ///< … with the logged answers
  std::uint64_t users_more_selecting = 0;  ///< the same of the first half
  std::uint64_t users_fewer_selecting = 0;
  /// Pairs whose candidate answer (logged answer, where it became rarer) has it: all of them, or a
  /// part that a hash chose; of both halves.
  std::vector<std::uint64_t> pairs;
};

struct Contrast {
  std::uint64_t pairs = 0;
  std::uint64_t users = 0;
  std::uint64_t pairs_selecting = 0;  ///< in the half that hypotheses come from
  std::uint64_t users_selecting = 0;
  std::uint64_t users_testing = 0;
  std::uint64_t tested = 0;  ///< groups
  /// More often first, each by excess rate; then what became rarer.
  std::vector<ContrastFinding> findings;
};

/// Whether the user is in the half that hypotheses come from: what groups answers, such as clusters
/// of embeddings, must look at this half alone.
[[nodiscard]] bool selects(std::uint64_t cluster, std::uint64_t seed);

/// Fewer than two users: nothing can be tested, `tested` is 0.
[[nodiscard]] Result<Contrast> contrast(const PairSource& source, const ContrastOptions& options);

}  // namespace understudy
