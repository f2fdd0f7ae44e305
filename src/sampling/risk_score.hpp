#pragma once
// The risk score of a prefix (statistics.md (34), (36)): how probable the flags of the deployed
// model's own answers are, read from the text before the answer. Learned from logged answers and
// their rule verdicts, so that it costs no generation. A wrong score costs precision and never
// bias: every prefix keeps a known inclusion probability.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sampling/text_features.hpp"

namespace understudy {

/// A turn of the logs with what was flagged in its logged answer: bit k for behavior k (at most
/// 64 behaviors).
struct RiskExample {
  std::vector<TextFeature> features;
  std::uint64_t flags = 0;
};

/// How examples were chosen for one behavior: shares of its flagged and unflagged turns.
struct RiskTarget {
  std::size_t bit = 0;
  double rate = 0;  ///< of flagged turns in the frame, (0, 1)
  double flagged_kept = 1, unflagged_kept = 1;
};

class RiskModel {
 public:
  /// Logistic regression with L2 penalty for each target (liblinear). Targets without an example
  /// of either kind say nothing.
  RiskModel(std::span<const RiskExample> examples, std::span<const RiskTarget> targets);
  RiskModel(RiskModel&&) noexcept;
  RiskModel& operator=(RiskModel&&) noexcept;
  ~RiskModel();

  /// sqrt(Σ p_k / rate_k²) over the targets: what the probability of drawing the prefix is to be
  /// proportional to, so that no behavior's relative variance dominates (36). Above 0.
  [[nodiscard]] double draw_size(std::span<const TextFeature> features) const;

 private:
  struct Fit;
  std::vector<Fit> fits_;
};

/// The probabilities of a design (34): pi = min(1, c q), q = 0.7 size/Σsizes + 0.3/count, with c
/// such that they sum to `wanted`. No prefix is drawn with less than 30% of an equal share, so no
/// weight passes 3.4 times the mean.
class RiskDesign {
 public:
  /// sizes above 0.
  RiskDesign(std::span<const float> sizes, std::uint64_t wanted);
  [[nodiscard]] double pi(double size) const;

 private:
  double per_size_ = 0, equal_part_ = 0;  ///< of q
  double factor_ = 1;
};

}  // namespace understudy
