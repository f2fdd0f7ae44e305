#pragma once
// The parts of the HTML report; html.cpp puts them in order. Each returns whole elements.

#include <span>
#include <string>
#include <string_view>

#include "report/html.hpp"
#include "report/view.hpp"

namespace understudy {

/// Everything before <body>, for every page.
[[nodiscard]] std::string page_head(const std::string& title);
/// <td>: rate and interval; the label is for narrow screens.
[[nodiscard]] std::string rate_cell(const std::optional<RateView>& rate, std::string_view label);
/// "deployed" → "Deployed (logged)" and so on.
[[nodiscard]] std::string arm_title(std::string_view arm);
/// "What is surely worse" and the like: heading of a group of behaviors.
[[nodiscard]] std::string_view finding_title(Finding finding);

/// Rates, plot and change of every behavior: one table, grouped by finding.
[[nodiscard]] std::string rates_section(const ReportView& view);
/// From the records read to the verdicts: every number with what was taken away and why.
[[nodiscard]] std::string counts_section(const ReportView& view);
/// One article for each behavior: definition, finding, verdicts, rates, examples.
[[nodiscard]] std::string behaviors_section(const ReportView& view, const HtmlOptions& options);

}  // namespace understudy
