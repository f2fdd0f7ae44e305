#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "report/html_sections.hpp"
#include "report/html_text.hpp"
#include "report/numbers.hpp"
#include "report/plot.hpp"
#include "report/words.hpp"

namespace understudy {
namespace {

constexpr std::array<Finding, 5> kFindings = {Finding::kWorse, Finding::kBetter,
                                              Finding::kUndecided, Finding::kUnseen,
                                              Finding::kNotMeasured};

std::string_view mark(Finding finding) {
  if (finding == Finding::kWorse) return "▲ ";
  if (finding == Finding::kBetter) return "▼ ";
  return "";
}

std::string name_cell(const BehaviorView& behavior) {
  const std::string id = html_id(behavior.name);
  if (behavior.title.empty()) {
    return fmt::format(R"(<th scope="row"><a href="#b-{}">{}</a></th>)", id,
                       html_name(behavior.name));
  }
  return fmt::format(R"(<th scope="row"><a href="#b-{}">{}</a> <code>{}</code></th>)", id,
                     html_line(behavior.title), html_name(behavior.name));
}

std::string row(const BehaviorView& behavior, const ReportView& view, const LogAxis& axis,
                bool with_replay, std::string_view next_label) {
  std::string out =
      fmt::format(R"(<tr class="{}">)", finding_class(behavior.finding)) + name_cell(behavior);
  out += rate_cell(behavior.now, "Now");
  if (with_replay) out += rate_cell(behavior.now_replay, "Replayed");
  out += rate_cell(behavior.next, next_label);
  out += R"(<td class="plot">)" + interval_svg(behavior, axis) + "</td>";
  out += fmt::format(R"(<td class="change">{}{})", mark(behavior.finding),
                     html_line(change_text(behavior, view, {})));
  if (behavior.change && behavior.change->q_value &&
      (behavior.finding == Finding::kWorse || behavior.finding == Finding::kBetter)) {
    out +=
        fmt::format(" <small>{}</small>", html_line(p_value_text("q", *behavior.change->q_value)));
  }
  return out + "</td></tr>\n";
}

std::string not_measured_row(const ReportView& view, std::size_t columns) {
  std::string out;
  for (const BehaviorView& behavior : view.behaviors) {
    if (behavior.finding != Finding::kNotMeasured) continue;
    out += fmt::format(R"(<tr class="unmeasured">{}<td class="change" colspan="{}">{}</td></tr>)",
                       name_cell(behavior), columns - 1, html_line(not_measured_reason(behavior)));
    out += '\n';
  }
  return out;
}

}  // namespace

std::string rate_cell(const std::optional<RateView>& rate, std::string_view label) {
  std::string body = "unknown";
  if (rate && rate->hi && rate->per_100k && rate->lo) {
    const IntervalText text = interval_text(*rate->per_100k, *rate->lo, *rate->hi);
    body = fmt::format("<b>{}</b> <span class=\"interval\">({}–{})</span>", html_line(text.value),
                       html_line(text.lo), html_line(text.hi));
  } else if (rate && rate->hi) {
    body = html_line(rate_text(*rate, {}));
  }
  return fmt::format(R"(<td class="rate" data-label="{}">{}</td>)", label, body);
}

std::string_view finding_title(Finding finding) {
  switch (finding) {
    case Finding::kWorse:
      return "Surely more often";
    case Finding::kBetter:
      return "Surely less often";
    case Finding::kUndecided:
      return "Seen, but can’t tell yet";
    case Finding::kUnseen:
      return "Not seen once";
    case Finding::kNotMeasured:
      return "Not measured";
  }
  UNDERSTUDY_ASSERT(false);
}

std::string rates_section(const ReportView& view) {
  const LogAxis axis = axis_for(view);
  const bool with_replay =
      std::any_of(view.behaviors.begin(), view.behaviors.end(),
                  [](const BehaviorView& b) { return b.now_replay.has_value(); });
  const bool any_forecast =
      std::any_of(view.behaviors.begin(), view.behaviors.end(),
                  [](const BehaviorView& b) { return b.forecast.has_value(); });
  const std::string_view next_label = any_forecast ? "Forecast" : "Candidate";
  const std::size_t columns = with_replay ? 6 : 5;
  std::string out = fmt::format(
      R"(<section id="rates"><h2>Rates</h2>)"
      R"(<p>How often each behavior occurs per 100,000 {}, with {} intervals in parentheses.</p>)",
      html_line(unit_plural(view.unit)), level_text(view.study.level));
  out += legend_html(with_replay);
  out += R"(<table class="rates"><thead><tr><th scope="col">Behavior</th>)"
         R"(<th scope="col" class="rate">Now</th>)";
  if (with_replay) out += R"(<th scope="col" class="rate">Replayed</th>)";
  out += fmt::format(
      R"(<th scope="col" class="rate">{}</th><th scope="col" class="plot">Per 100,000</th>)"
      R"(<th scope="col">Change</th></tr></thead>)",
      next_label);
  for (const Finding finding : kFindings) {
    std::string rows;
    std::size_t count = 0;
    for (const BehaviorView& behavior : view.behaviors) {
      if (behavior.finding != finding) continue;
      ++count;
      if (finding != Finding::kNotMeasured) {
        rows += row(behavior, view, axis, with_replay, next_label);
      }
    }
    if (count == 0) continue;
    if (finding == Finding::kNotMeasured) rows = not_measured_row(view, columns);
    out += fmt::format(
        R"(<tbody id="{0}"><tr class="group {0}"><th scope="rowgroup" colspan="{1}">{2} )"
        R"(<span class="count">{3}</span></th>)",
        finding_class(finding), finding == Finding::kNotMeasured ? columns : columns - 2,
        finding_title(finding), count);
    if (finding != Finding::kNotMeasured) {
      out += R"(<td class="plot">)" + axis_svg(axis) + "</td><td></td>";
    }
    out += "</tr>\n" + rows + "</tbody>\n";
  }
  out += "</table>\n";
  const std::vector<std::string> shared = shared_alarms(view);
  for (const std::string& alarm : shared) {
    out += fmt::format(R"(<p class="alarm">For most behaviors: {}.</p>)",
                       html_line(alarm_text(alarm)));
  }
  return out + "</section>\n";
}

}  // namespace understudy
