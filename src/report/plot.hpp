#pragma once
// Rates with their intervals on a logarithmic axis, as inline SVG that stretches with the page:
// horizontal positions are percentages, so that text and strokes keep their size.

#include <string>
#include <string_view>
#include <vector>

#include "report/view.hpp"

namespace understudy {

/// Whole decades of a rate per 100,000: the axis runs from 10^first to 10^last.
struct LogAxis {
  int first = 0;
  int last = 5;

  /// Position in percent of the width; values below the axis are at its start.
  [[nodiscard]] double position(double per_100k) const;
};

/// Decades that hold every positive bound and rate shown; at least two, never below 0.1.
[[nodiscard]] LogAxis axis_for(const ReportView& view);

[[nodiscard]] LogAxis axis_for(const std::vector<RateView>& rates);

/// One interval with its mark, in a color of the style sheet.
struct PlotLane {
  RateView rate;
  int y = 0;             ///< center, in pixels of the strip's 36
  std::string_view css;  ///< class of the group
  bool filled = false;
  double radius = 4;
};
/// Intervals one above the other; a bound of 0 runs to the left edge and ends in an arrow. `words`
/// say the same for who does not see it.
[[nodiscard]] std::string lanes_svg(std::string_view name, std::string_view words,
                                    const std::vector<PlotLane>& lanes, const LogAxis& axis);

/// The axis with its labels ("1", "10", …, "100k").
[[nodiscard]] std::string axis_svg(const LogAxis& axis);

/// One behavior: the deployed model's rate (ring), its replay (small ring, dashed) where there is
/// one, the candidate's (filled, in the finding's color).
[[nodiscard]] std::string interval_svg(const BehaviorView& behavior, const LogAxis& axis);

/// A mark with its name, for a legend.
[[nodiscard]] std::string legend_key(std::string_view css, std::string_view mark,
                                     std::string_view text);
/// The three marks with their names.
[[nodiscard]] std::string legend_html(bool with_replay);

/// CSS class for a finding: "worse", "better", "undecided", "unseen", "unmeasured".
[[nodiscard]] std::string_view finding_class(Finding finding);

}  // namespace understudy
