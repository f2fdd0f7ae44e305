#pragma once
// Shrinkage of a forecast toward the old model's known rate (statistics.md (40), (72)): most
// behaviors barely move between releases, so a handful of events should move a forecast little.
// Everything happens on d = ln(rate / previous), on a grid.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "estimate/history.hpp"

namespace understudy {

/// What one behavior's draws say: events ~ Poisson(previous · exp(d + offset + noise) · recall ·
/// exposure), recall ~ Beta from its labels, noise ~ N(0, bias_variance).
struct ChangeEvidence {
  double previous = 0;  ///< the old rate as a share, > 0
  double previous_log_variance = 0;
  double events = 0;                                ///< may be fractional (effective)
  double exposure = 0;                              ///< > 0
  double recall_flagged = 0, recall_positives = 0;  ///< 0 positives: recall is 1
  double offset = 0;                                ///< known replay bias, from the pivot
  double bias_variance = 0;                         ///< replay bias that stays unknown
};

struct ChangePosterior {
  double median = 0;  ///< of d
  double lo = 0, hi = 0;
};

/// With `history`: its mixture prior. Without: Student's t with 3 or 8 degrees of freedom, averaged
/// with center and scale over how well they explain the behaviors at hand, around center 0 ± 0.15
/// and scale 0.59 ×/÷ 1.65 (ln 2 · 0.85: the documented default, all that one behavior alone has to
/// go by). From ten behaviors on also over whether their rates spread evenly between two ends, from
/// which changes lead back (regression to the mean). Results do not depend on the order.
[[nodiscard]] std::vector<ChangePosterior> change_posteriors(
    std::span<const ChangeEvidence> evidence, const std::optional<HistoryFit>& history,
    double level);

}  // namespace understudy
