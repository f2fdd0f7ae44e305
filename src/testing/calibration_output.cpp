// How `calibrate` shows its rows: JSON, text, and a plot.

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "stats/intervals.hpp"
#include "testing/calibration.hpp"

namespace understudy {
namespace {

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(rounded(*value)) : Json();
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f}%", 100 * *share) : "";
}

// Binomial error of a share over the repeats.
Interval error_range(double share, std::uint64_t repeats) {
  return wilson(share * static_cast<double>(repeats), static_cast<double>(repeats), 0.95);
}

}  // namespace

Json calibration_document(const std::vector<CalibrationRow>& rows,
                          const CalibrationOptions& options) {
  Json list = Json::array();
  for (const CalibrationRow& row : rows) {
    Json alarms = Json::object();
    for (const auto& [name, share] : row.alarms) alarms[name] = rounded(share);
    Json entry = {{"world", row.world},
                  {"rate", number_or_null(row.rate)},
                  {"estimator", row.estimator},
                  {"coverage", number_or_null(row.coverage)},
                  {"median_me", rounded(row.median_error)},
                  {"p90_me", rounded(row.p90_error)},
                  {"width_ratio", number_or_null(row.width_ratio)},
                  {"beats_persistence", number_or_null(row.beats_persistence)},
                  {"alarm_rate", rounded(row.alarm_rate)},
                  {"alarms", alarms},
                  {"coverage_with_miss_bound", number_or_null(row.coverage_with_miss_bound)},
                  {"regression_where_missed", number_or_null(row.regression_where_missed)},
                  {"mean_crps", rounded(row.mean_crps)},
                  {"repeats", row.repeats}};
    if (row.coverage) {
      const Interval range = error_range(*row.coverage, row.repeats);
      entry["coverage_lo"] = rounded(range.lo);
      entry["coverage_hi"] = rounded(range.hi);
    }
    for (const auto& [name, share] : row.components) entry["components"][name] = rounded(share);
    list.push_back(std::move(entry));
  }
  return {{"schema", "understudy.calibration/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"manifest_hash", nullptr},
          {"seed", std::to_string(options.seed)},
          {"rows", std::move(list)}};
}

std::string calibration_table(const std::vector<CalibrationRow>& rows) {
  std::string text =
      fmt::format("{:<23}{:>8}  {:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}\n", "world", "rate",
                  "estimator", "coverage", "median", "p90", "hi/lo", "beats Y", "alarms");
  for (const CalibrationRow& row : rows) {
    text += fmt::format("{:<23}{:>8}  {:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}\n", row.world,
                        row.rate ? fmt::format("{:.0e}", *row.rate) : "", row.estimator,
                        percent(row.coverage), fmt::format("{:.2f}x", row.median_error),
                        fmt::format("{:.2f}x", row.p90_error),
                        row.width_ratio ? fmt::format("{:.1f}x", *row.width_ratio) : "",
                        percent(row.beats_persistence), percent(row.alarm_rate));
  }
  for (const CalibrationRow& row : rows) {
    for (const auto& [name, share] : row.components) {
      text += fmt::format("{}: the pooled interval of {} holds what was planted in {}\n", row.world,
                          name, percent(share));
    }
  }
  return text;
}

std::string calibration_plot(const std::vector<CalibrationRow>& rows) {
  constexpr int kLine = 18, kLeft = 330, kWidth = 420, kTop = 40;
  std::vector<const CalibrationRow*> shown;
  for (const CalibrationRow& row : rows) {
    if (row.coverage) shown.push_back(&row);
  }
  const int height = kTop + kLine * static_cast<int>(shown.size()) + 30;
  const auto x_at = [](double share) {
    return kLeft + kWidth * (std::max(share, 0.8) - 0.8) / 0.2;  // 80% to 100%
  };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n<text x=\"10\" y=\"20\">Coverage of 95% intervals, with the binomial "
      "error of the repeats; left edge: 80% or less</text>\n",
      kLeft + kWidth + 30, height);
  for (const double share : {0.8, 0.85, 0.9, 0.95, 1.0}) {
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"{3}\"/>"
        "<text x=\"{0:.1f}\" y=\"{4}\" text-anchor=\"middle\">{5:.0f}%</text>\n",
        x_at(share), kTop - 6, height - 24, share == 0.95 ? "#333" : "#ddd", height - 8,
        100 * share);
  }
  int y = kTop + 6;
  for (const CalibrationRow* row : shown) {
    const Interval range = error_range(*row->coverage, row->repeats);
    const std::string label =
        row->world + (row->rate ? fmt::format(" {:.0e} ", *row->rate) : " ") + row->estimator;
    svg += fmt::format(
        "<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text><line x1=\"{3:.1f}\" "
        "x2=\"{4:.1f}\" y1=\"{5}\" y2=\"{5}\" stroke=\"#06c\" stroke-width=\"2\"/><circle "
        "cx=\"{6:.1f}\" cy=\"{5}\" r=\"3.5\" fill=\"#06c\"/>\n",
        kLeft - 10, y + 4, html_escaped(label), x_at(range.lo), x_at(range.hi), y,
        x_at(*row->coverage));
    y += kLine;
  }
  return svg + "</svg>\n";
}

}  // namespace understudy
