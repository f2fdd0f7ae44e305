#include "report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "report/html_text.hpp"
#include "report/numbers.hpp"

namespace understudy {
namespace {

// Room at both ends, in percent, so that marks and labels at the limits are not cut.
constexpr double kMargin = 3;

void append_lane(std::string& out, const PlotLane& lane, const LogAxis& axis) {
  const RateView& rate = lane.rate;
  if (!rate.hi) return;
  const double lo = rate.lo.value_or(0);
  const bool open = axis.position(lo) <= kMargin && lo < std::pow(10.0, axis.first);
  const double left = open ? kMargin : axis.position(lo);
  const double right = axis.position(*rate.hi);
  auto end = std::back_inserter(out);
  fmt::format_to(end, R"(<g class="{}"><line x1="{:.2f}%" x2="{:.2f}%" y1="{}" y2="{}"/>)",
                 lane.css, left, right, lane.y, lane.y);
  const auto cap = [&](double x) {
    fmt::format_to(end, R"(<line x1="{0:.2f}%" x2="{0:.2f}%" y1="{1}" y2="{2}"/>)", x, lane.y - 3,
                   lane.y + 3);
  };
  cap(right);
  if (open) {
    // A nested svg gives the arrow's pixels an origin at a percentage.
    fmt::format_to(end, R"(<svg x="{:.2f}%" y="{}" overflow="visible">)", left, lane.y);
    out += R"(<path d="M-1,0L5,-4M-1,0L5,4"/></svg>)";
  } else {
    cap(left);
  }
  const bool seen = rate.per_100k && *rate.per_100k > 0 && rate.k.value_or(1) > 0;
  if (seen && axis.position(*rate.per_100k) > kMargin) {
    fmt::format_to(end, R"(<circle cx="{:.2f}%" cy="{}" r="{}"{}/>)", axis.position(*rate.per_100k),
                   lane.y, lane.radius, lane.filled ? R"( class="dot")" : R"( class="ring")");
  }
  out += "</g>";
}

void append_grid(std::string& out, const LogAxis& axis, std::string_view y1, std::string_view y2) {
  for (int decade = axis.first; decade <= axis.last; ++decade) {
    fmt::format_to(std::back_inserter(out),
                   R"(<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="{1}" y2="{2}"/>)",
                   axis.position(std::pow(10.0, decade)), y1, y2);
  }
}

}  // namespace

double LogAxis::position(double per_100k) const {
  if (per_100k <= 0) return kMargin;
  const double share = (std::log10(per_100k) - first) / (last - first);
  return kMargin + (100 - 2 * kMargin) * std::clamp(share, 0.0, 1.0);
}

LogAxis axis_for(const std::vector<RateView>& rates) {
  double smallest = 1e5;
  double largest = 1;
  for (const RateView& rate : rates) {
    for (const auto& value : {rate.per_100k, rate.lo, rate.hi}) {
      if (!value || *value <= 0) continue;
      smallest = std::min(smallest, *value);
      largest = std::max(largest, *value);
    }
  }
  LogAxis axis;
  axis.last = std::clamp(static_cast<int>(std::ceil(std::log10(largest))), 1, 5);
  axis.first = std::clamp(static_cast<int>(std::floor(std::log10(smallest))), -1, axis.last - 2);
  return axis;
}

LogAxis axis_for(const ReportView& view) {
  std::vector<RateView> rates;
  const auto include = [&](const std::optional<RateView>& rate) {
    if (rate) rates.push_back(*rate);
  };
  for (const BehaviorView& behavior : view.behaviors) {
    if (behavior.finding == Finding::kNotMeasured) continue;
    include(behavior.now);
    include(behavior.now_replay);
    include(behavior.next);
  }
  return axis_for(rates);
}

std::string axis_svg(const LogAxis& axis) {
  std::string out = R"(<svg class="axis" width="100%" height="22" aria-hidden="true">)";
  append_grid(out, axis, "16", "22");
  for (int decade = axis.first; decade <= axis.last; ++decade) {
    constexpr std::array<std::string_view, 7> kLabels = {"0.1", "1",   "10",  "100",
                                                         "1k",  "10k", "100k"};
    fmt::format_to(std::back_inserter(out), R"(<text x="{:.2f}%" y="12">{}</text>)",
                   axis.position(std::pow(10.0, decade)),
                   kLabels[static_cast<std::size_t>(decade + 1)]);
  }
  return out + "</svg>";
}

std::string interval_svg(const BehaviorView& behavior, const LogAxis& axis) {
  const NumberStyle style;
  std::string words = "per 100,000: ";
  words += "now " + (behavior.now ? rate_text(*behavior.now, style) : std::string("unknown"));
  if (behavior.now_replay) words += ", replayed " + rate_text(*behavior.now_replay, style);
  words +=
      ", candidate " + (behavior.next ? rate_text(*behavior.next, style) : std::string("unknown"));
  std::vector<PlotLane> lanes;
  if (behavior.now) lanes.push_back({*behavior.now, 9, "now", false, 4});
  if (behavior.now_replay) lanes.push_back({*behavior.now_replay, 18, "replay", false, 2.5});
  if (behavior.next) {
    lanes.push_back({*behavior.next, 27, finding_class(behavior.finding), true, 4.5});
  }
  return lanes_svg(behavior.name, words, lanes, axis);
}

std::string lanes_svg(std::string_view name, std::string_view words,
                      const std::vector<PlotLane>& lanes, const LogAxis& axis) {
  std::string out = fmt::format(R"(<svg class="strip" width="100%" height="36" role="img">)"
                                R"(<title>{}</title><desc>{}</desc>)",
                                html_line(name), html_line(words));
  append_grid(out, axis, "0", "36");
  for (const PlotLane& lane : lanes) append_lane(out, lane, axis);
  return out + "</svg>";
}

std::string legend_key(std::string_view css, std::string_view mark, std::string_view text) {
  return fmt::format(
      R"(<span class="key"><svg width="34" height="12" aria-hidden="true"><g class="{}">)"
      R"(<line x1="2" x2="32" y1="6" y2="6"/><circle cx="17" cy="6" r="4" class="{}"/></g></svg>)"
      R"({}</span>)",
      css, mark, text);
}

std::string legend_html(bool with_replay) {
  std::string out =
      R"(<p class="legend">)" + legend_key("now", "ring", "deployed model, logged answers");
  if (with_replay) out += legend_key("replay", "ring", "deployed model, replayed");
  out += legend_key("undecided", "dot", "candidate");
  return out +
         R"(<span class="key">line: interval; arrow: down to zero; logarithmic axis</span></p>)";
}

std::string_view finding_class(Finding finding) {
  switch (finding) {
    case Finding::kWorse:
      return "worse";
    case Finding::kBetter:
      return "better";
    case Finding::kUndecided:
      return "undecided";
    case Finding::kUnseen:
      return "unseen";
    case Finding::kNotMeasured:
      return "unmeasured";
  }
  UNDERSTUDY_ASSERT(false);
}

}  // namespace understudy
