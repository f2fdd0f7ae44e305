#pragma once
// From features that differ on the half that hypotheses come from to few hypotheses: what a person
// would read as one thing is tested once. Looks at that half alone, so whatever is decided here
// costs the test on the other half nothing.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "grading/answer_features.hpp"

namespace understudy {

inline constexpr double kSelectionLimit = 0.01;   ///< of the sign test on the first half, one-sided
inline constexpr std::size_t kFeaturesNamed = 8;  ///< of a group
inline constexpr std::size_t kHitsCompared = 128;  ///< that a feature is compared by

/// A hash in which every bit depends on every bit.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

/// P(X >= more) for X ~ Bin(more + fewer, ½): 1 where nobody did it more often.
[[nodiscard]] double sign_test(std::uint64_t more, std::uint64_t fewer);

/// The hits with the smallest hashes: a sample of them, the same one for features on the same hits.
class HitSketch {
 public:
  using Hit = std::pair<std::uint64_t, std::uint64_t>;  // hash, pair

  void add(std::uint64_t pair);
  /// After the last `add`.
  void finish() { std::sort_heap(hits_.begin(), hits_.end()); }
  /// In the order of their hashes; after `finish`.
  [[nodiscard]] std::span<const Hit> hits() const { return hits_; }

 private:
  std::vector<Hit> hits_;  // a heap until then
};

enum Side : std::size_t { kLogged = 0, kCandidate = 1 };
template <class T>
using BySide = std::array<T, 2>;

/// Answers by length, in quarters of an octave of the number of their features.
inline constexpr std::size_t kLengths = 64;
using Lengths = std::array<std::uint32_t, kLengths>;
[[nodiscard]] std::size_t length_of(std::size_t features);

/// One arm's answers of one half, with what the variance over users needs.
struct ArmSums {
  std::uint64_t hits = 0;
  double squares = 0;   ///< Σ hits_u²
  double products = 0;  ///< Σ hits_u · pairs_u
};

struct HalfCounts {
  std::uint64_t more = 0;   ///< users whose candidate answers have it more often
  std::uint64_t fewer = 0;  ///< … less often
  BySide<ArmSums> arms;
  BySide<HitSketch> sketches;
  BySide<Lengths> lengths{};  ///< of the hits

  [[nodiscard]] double hits(Side side) const { return static_cast<double>(arms[side].hits); }
};

struct CountedFeature {
  FeatureKind kind = FeatureKind::kWords;
  std::string text;
  std::array<HalfCounts, 2> halves;  ///< selecting, testing
};

struct Hypothesis {
  std::vector<const CountedFeature*> features;  ///< the first is tested
  bool more = true;                             ///< the candidate does it more often
  bool with_length = false;  ///< as common as in answers as long, in the other arm
};

/// Whether reading one feature's answers shows the other: it stands in a tenth of them or more, and
/// given whether an answer has the first, the excess of the other (Mantel & Haenszel 1959, two
/// strata) is next to nothing, or less than half of what it is without and no more than one
/// standard error. `answers`: of each arm, in that half.
[[nodiscard]] bool shows(const HalfCounts& group, const HalfCounts& other, bool more,
                         double answers);

/// Whether a feature is of an answer's length, or longer answers explain that it is commoner in one
/// arm. They can explain words and marks, of which a longer answer holds more by being longer, and
/// not what makes an answer long or short, such as a call or a refusal. What would be expected of
/// the arm, were it as common there as in the other arm's answers that are nearest in length
/// (direct standardization), leaves less than half of the excess, or no more than is significant at
/// `level`, one-sided. What the other arm never does, no length explains. `half`: of the feature's
/// halves; `all`: that half's answers.
[[nodiscard]] bool goes_with_length(FeatureKind kind, const HalfCounts& half,
                                    const BySide<Lengths>& all, bool more, double level);

struct GroupingOptions {
  std::size_t groups_max = 40;
  bool keep_all = false;  ///< every feature is its own, whatever the half says
};

/// The strongest feature begins a group. A feature joins an earlier one of its direction where
///   1. they occur on the same answers (Jaccard of at least ½),
///   2. reading the group shows it, or
///   3. it goes with length. All such features of a direction are one group.
/// `lengths`: all answers of the selecting half.
[[nodiscard]] std::vector<Hypothesis> hypotheses(const std::vector<CountedFeature>& features,
                                                 const BySide<Lengths>& lengths,
                                                 const GroupingOptions& options);

}  // namespace understudy
