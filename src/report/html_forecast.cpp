#include "report/html_forecast.hpp"

#include <fmt/format.h>

#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "report/html_sections.hpp"
#include "report/html_text.hpp"
#include "report/numbers.hpp"
#include "report/plot.hpp"

namespace understudy {
namespace {

struct Row {
  std::string behavior, called;
  std::optional<RateView> old, replay, challenging, forecast;
};

std::vector<Row> rows_of(const Json& forecast) {
  std::vector<Row> rows;
  const Json& estimates = forecast.at("estimates").at("behaviors");
  for (std::size_t i = 0; i < estimates.size(); ++i) {
    const Json& baselines = forecast.at("baselines").at(i);
    rows.push_back(
        {estimates[i].at("behavior").get<std::string>(),
         estimates[i].at("direction_called").get<std::string>(),
         rate_view(baselines.at("persistence")), rate_view(baselines.at("deployed_replay")),
         rate_view(baselines.at("challenging_prompts")), rate_view(estimates[i].at("forecast"))});
  }
  return rows;
}

// The color of a call, and its words.
std::string_view call_class(const std::string& called) {
  return called == "up" ? "worse" : called == "down" ? "better" : "unmeasured";
}

std::string_view call_text(const std::string& called) {
  if (called == "up") return "▲ more often";
  if (called == "down") return "▼ less often";
  return called == "none" ? "less than 1.5×" : "no call: no old rate";
}

std::string row_html(const Row& row, bool with_replay, bool with_challenging, const LogAxis& axis) {
  std::string out = fmt::format(R"(<tr class="{}"><th scope="row">{}</th>)", call_class(row.called),
                                html_name(row.behavior));
  if (!row.forecast || !row.forecast->hi) {
    const int columns = 4 + (with_replay ? 1 : 0) + (with_challenging ? 1 : 0);
    return out + fmt::format(
                     "<td class=\"change\" colspan=\"{}\">not forecast: no verdict</td>"
                     "</tr>\n",
                     columns);
  }
  out += rate_cell(row.old, "Old rate");
  if (with_replay) out += rate_cell(row.replay, "Replayed");
  if (with_challenging) out += rate_cell(row.challenging, "Challenging");
  out += rate_cell(row.forecast, "Forecast");
  std::vector<PlotLane> lanes;
  std::string words = "per 100,000: forecast " + rate_text(*row.forecast, {});
  if (row.old) {
    lanes.push_back({*row.old, 9, "now", false, 4});
    words += ", old rate " + rate_text(*row.old, {});
  }
  if (row.replay) lanes.push_back({*row.replay, 18, "replay", false, 2.5});
  const std::string_view color = row.called == "up"     ? "worse"
                                 : row.called == "down" ? "better"
                                                        : "unseen";
  lanes.push_back({*row.forecast, 27, color, true, 4.5});
  out += R"(<td class="plot">)" + lanes_svg(row.behavior, words, lanes, axis) + "</td>";
  return out + fmt::format(R"(<td class="change">{}</td></tr>)", call_text(row.called)) + "\n";
}

std::string rates_table(const std::vector<Row>& rows) {
  std::vector<RateView> all;
  bool with_replay = false, with_challenging = false;
  for (const Row& row : rows) {
    for (const auto* rate : {&row.old, &row.replay, &row.forecast}) {
      if (*rate) all.push_back(**rate);
    }
    with_replay = with_replay || row.replay;
    with_challenging = with_challenging || row.challenging;
  }
  const LogAxis axis = axis_for(all);
  std::string out = R"(<p class="legend">)" + legend_key("now", "ring", "old rate (persistence)");
  if (with_replay) out += legend_key("replay", "ring", "old model replayed");
  out += legend_key("unseen", "dot", "forecast, predictive interval") +
         R"(</p><table class="rates"><thead><tr><th scope="col">Behavior</th>)"
         R"(<th scope="col" class="rate">Old rate</th>)";
  if (with_replay) out += R"(<th scope="col" class="rate">Replayed</th>)";
  if (with_challenging) out += R"(<th scope="col" class="rate">Challenging prompts</th>)";
  out += R"(<th scope="col" class="rate">Forecast</th><th scope="col" class="plot">)" +
         axis_svg(axis) + R"(</th><th scope="col">Called</th></tr></thead><tbody>)" + "\n";
  for (const Row& row : rows) out += row_html(row, with_replay, with_challenging, axis);
  return out + "</tbody></table>\n";
}

std::string spread_text(const Json& spread) {
  const auto one = [&](const char* sd, const char* source) {
    const double factor = std::exp(1.96 * spread.at(sd).get<double>());
    const auto from = spread.at(source).get<std::string>();
    const std::string_view words = from == "deployed_replay" ? "measured: the old model replayed"
                                   : from == "placebo" ? "measured: placebo deployments on the logs"
                                   : from == "history" ? "learned from past releases"
                                   : from == "configured" ? "as study.toml says"
                                                          : "the default, not measured";
    return fmt::format("×/÷{:.2f} ({})", factor, words);
  };
  return fmt::format(
      "An interval holds chance, clusters and grading; and what lies between these logs and the "
      "deployment: traffic that shifts, {}, and replay that is not production, {}.",
      one("shift_sd", "shift_source"), one("simulator_sd", "simulator_source"));
}

std::string tiles(const std::vector<Row>& rows) {
  std::size_t up = 0, down = 0, none = 0, unknown = 0;
  for (const Row& row : rows) {
    ++(row.called == "up"     ? up
       : row.called == "down" ? down
       : row.called == "none" ? none
                              : unknown);
  }
  const auto tile = [](std::string_view css, std::size_t count, std::string_view text) {
    return fmt::format(R"(<li class="{}"><b>{}</b> <span>{}</span></li>)",
                       count == 0 ? "none" : css, count, text);
  };
  return R"(<ul class="tiles">)" + tile("worse", up, "called: more often by 1.5× or more") +
         tile("better", down, "called: less often by 1.5× or more") +
         tile("unseen", none, "called: less than 1.5× either way") +
         tile("unmeasured", unknown, "no call") + "</ul>\n";
}

std::string fact(std::string_view term, const std::string& html) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", term, html);
}

}  // namespace

std::string html_forecast(const Json& forecast) {
  const std::vector<Row> rows = rows_of(forecast);
  const auto candidate = forecast.at("models").at("candidate").at("model").get<std::string>();
  const auto unit = forecast.at("unit").get<std::string>();
  std::string out = page_head("Forecast for " + candidate) + "<body>\n";
  out += fmt::format(
      "<header><p class=\"eyebrow\">Understudy · forecast, frozen before the release</p>\n"
      "<h1>What will <em>{}</em> do once it is deployed?</h1>\n"
      "<p class=\"lede\">{} behaviors, per 100,000 {}. Each has its predictive interval, and the "
      "old rate, which is the hardest baseline to beat.</p>\n",
      html_name(candidate), rows.size(), html_line(unit_plural(unit)));
  out += tiles(rows) + R"(<dl class="facts">)";
  out += fact("Commitment", fmt::format("<code class=\"hash\">{}</code>",
                                        html_line(forecast.at("commitment").get<std::string>())));
  const Json& prefixes = forecast.at("prefixes");
  out +=
      fact("Made from",
           fmt::format("{} prefixes of {} conversations",
                       with_commas(prefixes.at("count").get<std::uint64_t>()),
                       with_commas(prefixes.at("conversations").at("count").get<std::uint64_t>())));
  out += fact("Made by",
              html_line("understudy " + forecast.at("understudy_version").get<std::string>()));
  out += "</dl></header>\n<main><section id=\"rates\"><h2>Forecast</h2>\n";
  out += "<p>" + html_line(spread_text(forecast.at("estimates").at("spread"))) + "</p>\n";
  out += rates_table(rows) +
         "</section><section id=\"scoring\"><h2>How it will be scored</h2><p>After the release "
         "<code>understudy verify</code> measures the new model’s own traffic with the graders "
         "that this forecast holds. An interval holds if the actual count lies in the central 95% "
         "of what it foretells; errors are max(foretold / actual, actual / foretold), where five "
         "events are expected or seen; zeros count as half an event. The old rate, and the other "
         "baselines here, are scored beside it.</p></section>\n";
  return out + "</main>\n</body></html>\n";
}

}  // namespace understudy
