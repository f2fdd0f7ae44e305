// What became of a forecast.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "report/html_forecast.hpp"
#include "report/html_sections.hpp"
#include "report/html_text.hpp"
#include "report/numbers.hpp"
#include "report/plot.hpp"

namespace understudy {
namespace {

std::string times(const Json& value) {
  return value.is_number() ? fmt::format("×{:.2f}", value.get<double>()) : "–";
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

// --- Foretold and happened

std::string_view row_class(const Json& row) {
  if (row["covered"].is_null()) return "unmeasured";
  return row["covered"].get<bool>() ? "better" : "worse";
}

std::string direction_text(const Json& row) {
  const auto word = [](const Json& moved) -> std::string_view {
    if (moved == "up") return "more often";
    if (moved == "down") return "less often";
    return moved == "none" ? "little change" : "no call";
  };
  std::string text = fmt::format("called: {}", word(row["direction_called"]));
  if (row["direction_seen"] != "unknown") {
    text += fmt::format("; seen: {}", word(row["direction_seen"]));
  }
  return text;
}

std::string row_html(const Json& row, const LogAxis& axis) {
  std::string out = fmt::format(R"(<tr class="{}"><th scope="row">{}</th>)", row_class(row),
                                html_name(text_of(row["behavior"])));
  if (row["covered"].is_null()) {
    return out + fmt::format("<td class=\"change\" colspan=\"4\">not scored: {}</td></tr>\n",
                             html_line(text_of(row["skipped"])));
  }
  const auto forecast = rate_view(row["forecast"]), actual = rate_view(row["actual"]);
  out += rate_cell(forecast, "Foretold") + rate_cell(actual, "Happened");
  out += fmt::format(
      R"(<td class="plot">{}</td>)",
      lanes_svg(text_of(row["behavior"]),
                fmt::format("per 100,000: foretold {}, happened {}", rate_text(*forecast, {}),
                            rate_text(*actual, {})),
                {{*forecast, 11, "unseen", false, 4}, {*actual, 25, row_class(row), true, 4.5}},
                axis));
  std::string verdict = row["covered"].get<bool>() ? "holds" : "missed";
  if (row["sme"].is_number()) {
    verdict += fmt::format(", off by {}", times(row["sme"]));
    if (row["persistence_sme"].is_number()) {
      verdict += fmt::format(" (old rate {})", times(row["persistence_sme"]));
    }
  }
  return out +
         fmt::format(R"(<td class="change">{} <small>{}</small></td></tr>)", html_line(verdict),
                     html_line(direction_text(row))) +
         "\n";
}

std::string rates_section(const Json& document) {
  std::vector<RateView> all;
  for (const Json& row : document["rows"]) {
    for (const char* key : {"forecast", "actual"}) {
      if (const auto rate = rate_view(row[key])) all.push_back(*rate);
    }
  }
  const LogAxis axis = axis_for(all);
  std::string out = fmt::format(
      "<section id=\"rates\"><h2>Foretold and happened</h2><p>Per 100,000 {}, with 95% intervals. "
      "The forecast’s is predictive: it holds if the count that was seen fits it. Errors are where "
      "five events were expected or seen; below that chance decides.</p>",
      html_line(unit_plural(text_of(document["unit"]))));
  out += R"(<p class="legend">)" + legend_key("unseen", "ring", "foretold") +
         legend_key("better", "dot", "happened, and the interval holds") +
         legend_key("worse", "dot", "happened, and the interval missed") +
         R"(</p><table class="rates"><thead><tr><th scope="col">Behavior</th>)"
         R"(<th scope="col" class="rate">Foretold</th><th scope="col" class="rate">Happened</th>)"
         R"(<th scope="col" class="plot">)" +
         axis_svg(axis) + R"(</th><th scope="col">Result</th></tr></thead><tbody>)" + "\n";
  for (const Json& row : document["rows"]) out += row_html(row, axis);
  return out + "</tbody></table></section>\n";
}

// --- The waterfall

struct Step {
  const char* key;
  std::string_view title, words;
};
// From what happened to what was foretold: each step is a factor.
constexpr std::array<Step, 4> kSteps = {
    {{"remainder", "The rest", "traffic that changed, bias that the models don’t share, chance"},
     {"prefix_shift", "Prefix shift", "the old model’s prefixes in place of its own"},
     {"environment", "Environment", "replay in place of production"},
     {"shrinkage", "Shrinkage", "what the estimator made of the replayed rate"}}};

// Logarithms on an axis that is as wide to both sides of ×1.
struct ErrorAxis {
  double reach;  // of ln; > 0
  [[nodiscard]] double position(double log) const {
    return 50 + 47 * std::clamp(log / reach, -1.0, 1.0);
  }
};

std::string bar_svg(double from, double to, const Json& part, double lo, double hi,
                    std::string_view css, const ErrorAxis& axis) {
  const double left = axis.position(std::min(from, to));
  const double right = axis.position(std::max(from, to));
  const double whisker_lo = axis.position(lo), whisker_hi = axis.position(hi);
  std::string out = fmt::format(
      R"(<svg class="strip" width="100%" height="30" role="img"><title>{}</title>)"
      R"(<line class="grid" x1="50%" x2="50%" y1="0" y2="30"/><g class="{}">)"
      R"(<rect class="bar" x="{:.2f}%" width="{:.2f}%" y="8" height="14"/>)",
      html_line(factor_text(part, "mean_log")), css, left, std::max(right - left, 0.25));
  out +=
      fmt::format(R"(<line x1="{:.2f}%" x2="{:.2f}%" y1="15" y2="15"/>)", whisker_lo, whisker_hi);
  for (const double x : {whisker_lo, whisker_hi}) {
    out += fmt::format(R"(<line x1="{0:.2f}%" x2="{0:.2f}%" y1="11" y2="19"/>)", x);
  }
  return out + "</g></svg>";
}

double number(const Json& object, const char* key) {
  return object[key].is_number() ? object[key].get<double>() : 0;
}

// Room for every bar with its interval, at least ×/÷2.
ErrorAxis axis_of(const Json& pooled) {
  double reach = std::log(2), sum = 0;
  for (const Step& step : kSteps) {
    const Json& part = pooled[step.key];
    if (!part.is_object()) continue;
    reach =
        std::max({reach, std::abs(sum + number(part, "lo")), std::abs(sum + number(part, "hi"))});
    sum += number(part, "mean_log");
  }
  for (const char* part : {"sampling", "grader"}) {
    reach = std::max(reach, number(pooled[part], "sd_hi"));
  }
  for (const char* key : {"lo", "hi"}) {
    if (pooled["total"].is_object())
      reach = std::max(reach, std::abs(number(pooled["total"], key)));
  }
  return {reach * 1.05};
}

std::string step_row(std::string_view title, std::string_view words, const std::string& factor,
                     const std::string& spread, const std::string& plot) {
  return fmt::format(
      "<tr><th scope=\"row\">{} <small>{}</small></th><td class=\"rate\" data-label=\"Factor\">{}"
      "</td><td class=\"rate\" data-label=\"Differs by\">{}</td><td class=\"plot\">{}</td></tr>\n",
      title, words, html_line(factor), html_line(spread), plot);
}

std::string spread_of(const Json& part) {
  return fmt::format("×/÷{:.2f} (up to {:.2f})", std::exp(number(part, "sd")),
                     std::exp(number(part, "sd_hi")));
}

std::string axis_head(const ErrorAxis& axis) {
  std::string out = R"(<svg class="axis" width="100%" height="22" aria-hidden="true">)";
  std::vector<double> factors = {1};
  for (const double most : {2.0, 5.0, 20.0, 100.0}) {
    if (std::log(most) > axis.reach) continue;
    // The two widest that fit are enough.
    if (factors.size() == 5) factors.erase(factors.begin() + 1, factors.begin() + 3);
    factors.push_back(1 / most);
    factors.push_back(most);
  }
  for (const double factor : factors) {
    out += fmt::format(R"(<text x="{:.2f}%" y="14">{}{:g}</text>)", axis.position(std::log(factor)),
                       factor < 1 ? "÷" : "×", factor < 1 ? 1 / factor : factor);
  }
  return out + "</svg>";
}

std::string waterfall(const Json& pooled) {
  const ErrorAxis axis = axis_of(pooled);
  std::string out =
      R"(<table class="rates waterfall"><thead><tr><th scope="col">Step</th>)"
      R"(<th scope="col" class="rate">Factor, all behaviors</th>)"
      R"(<th scope="col" class="rate">Behaviors differ by</th><th scope="col" class="plot">)" +
      axis_head(axis) + "</th></tr></thead><tbody>\n";
  double at = 0;
  for (const Step& step : kSteps) {
    const Json& part = pooled[step.key];
    if (!part.is_object()) {
      out += step_row(step.title, step.words, "not measured", "", "");
      continue;
    }
    const double mean = number(part, "mean_log");
    const bool sure = number(part, "lo") > 0 || number(part, "hi") < 0;
    out += step_row(step.title, step.words, factor_text(part, "mean_log"), spread_of(part),
                    bar_svg(at, at + mean, part, at + number(part, "lo"), at + number(part, "hi"),
                            sure ? "undecided" : "now", axis));
    at += mean;
  }
  const Json& total = pooled["total"];
  out += step_row("<b>All</b>", "foretold over happened", factor_text(total, "mean_log"),
                  spread_of(total),
                  bar_svg(0, number(total, "mean_log"), total, number(total, "lo"),
                          number(total, "hi"), "unseen", axis));
  for (const auto& [key, title, words] :
       {std::tuple("sampling", "Sampling", "chance in the counts on both sides"),
        std::tuple("grader", "Grader", "what labels leave open")}) {
    const Json& part = pooled[key];
    const bool known = part["sd"].is_number();
    out += step_row(
        title, words, known ? "no sign" : "not measured",
        known ? fmt::format("×/÷{:.2f} ({:.2f}–{:.2f})", std::exp(number(part, "sd")),
                            std::exp(number(part, "sd_lo")), std::exp(number(part, "sd_hi")))
              : "",
        known ? bar_svg(-number(part, "sd"), number(part, "sd"), Json(), -number(part, "sd_hi"),
                        number(part, "sd_hi"), "now", axis)
              : "");
  }
  return out + "</tbody></table>\n";
}

std::string behavior_parts(const Json& split) {
  std::string out =
      R"(<details><summary>The same, behavior by behavior</summary><table class="detail"><thead>)"
      R"(<tr><th scope="col">Behavior</th><th scope="col">All</th><th scope="col">The rest</th>)"
      R"(<th scope="col">Prefix shift</th><th scope="col">Environment</th>)"
      R"(<th scope="col">Shrinkage</th></tr></thead><tbody>)";
  constexpr std::array<std::pair<const char*, std::string_view>, 5> kParts = {
      {{"total", "All"},
       {"remainder", "The rest"},
       {"prefix_shift", "Prefix shift"},
       {"environment", "Environment"},
       {"shrinkage", "Shrinkage"}}};
  for (const Json& row : split["rows"]) {
    out += "<tr><th scope=\"row\">" + html_name(text_of(row["behavior"])) + "</th>";
    for (const auto& [key, label] : kParts) {
      out += fmt::format(R"(<td data-label="{}">{}</td>)", label, html_line(factor_text(row[key])));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></details>\n";
}

std::string split_section(const Json& split) {
  std::string out = R"(<section id="error"><h2>Where the error comes from</h2>)";
  if (!split["pooled"]["total"].is_object()) {
    return out + fmt::format(
                     "<p>Fewer than three behaviors have five events, in the replay or "
                     "after the release: {} of them can be split, none can be pooled.</p>{}"
                     "</section>\n",
                     split["rows"].size(), split["rows"].empty() ? "" : behavior_parts(split));
  }
  out += fmt::format(
      "<p>From what happened to what was foretold, step by step: above ×1 it was foretold too "
      "often. "
      "Means over {} behaviors with five events or more, with 95% intervals; a colored bar is "
      "surely "
      "not ×1. Each part is pooled by its own precision, so that the steps need not end exactly "
      "where “All” does; behavior by behavior they do.</p>",
      split["rows"].size());
  return out + waterfall(split["pooled"]) + behavior_parts(split) + "</section>\n";
}

// --- The rest

std::string tiles(const Json& summary) {
  const auto tile = [](std::string_view css, const std::string& number, const std::string& text) {
    return fmt::format(R"(<li class="{}"><b>{}</b> <span>{}</span></li>)", css, html_line(number),
                       html_line(text));
  };
  const bool held = summary["coverage_hi"].is_number() && number(summary, "coverage_hi") >= 0.95;
  std::string out = R"(<ul class="tiles">)";
  out += tile(held ? "better" : "worse",
              fmt::format("{} of {}", summary["covered"].dump(), summary["scored"].dump()),
              "predictive intervals hold");
  out += tile("unseen", times(summary["median_sme"]),
              fmt::format("median error over {}", summary["compared"].dump()));
  const Json& old = summary["baseline_median_sme"];
  out += tile("unmeasured", old.contains("persistence") ? times(old["persistence"]) : "–",
              "median error of the old rate");
  const Json& direction = summary["direction"];
  out += tile("unmeasured",
              fmt::format("{} of {}", direction["right"].dump(), direction["moved"].dump()),
              "that moved 1.5× were put on the right side");
  return out + "</ul>\n";
}

std::string tests_table(const Json& summary) {
  std::string out =
      R"(<section id="baselines"><h2>Against the baselines</h2><table class="detail"><thead><tr>)"
      R"(<th scope="col">Baseline</th><th scope="col">Nearer in</th>)"
      R"(<th scope="col">Mean error</th><th scope="col">Baseline’s</th>)"
      R"(<th scope="col">p (Holm)</th><th scope="col">Power</th></tr></thead><tbody>)";
  for (const Json& test : summary["tests"]) {
    out += fmt::format(
        "<tr><th scope=\"row\">{}</th><td data-label=\"Nearer in\">{} of {}</td>"
        "<td data-label=\"Mean error\">×{:.2f}</td><td data-label=\"Baseline’s\">×{:.2f}</td>"
        "<td data-label=\"p (Holm)\">{:.2g}</td><td data-label=\"Power\">{:.0f}%</td></tr>\n",
        html_name(text_of(test["baseline"])), test["better"].dump(), test["rows"].dump(),
        std::exp(number(test, "mean_log_error")), std::exp(number(test, "baseline_mean_log_error")),
        number(test, "p_holm"), 100 * number(test, "power"));
  }
  if (summary["tests"].empty()) return "";
  return out + "</tbody></table></section>\n";
}

std::string notes_section(const Json& document) {
  std::string out;
  const Json& removed = document["overlap"]["removed"];
  if (removed.is_number() && removed != 0) {
    out += fmt::format("<li>{} conversations are those of the forecast: left out.</li>",
                       removed.dump());
  }
  for (const Json& note : document["notes"])
    out += "<li>" + html_line(text_of(note["text"])) + "</li>";
  if (out.empty()) return out;
  return "<section id=\"notes\"><h2>What to keep in mind</h2><ul>" + out + "</ul></section>\n";
}

}  // namespace

std::string factor_text(const Json& part, const char* key) {
  if (!part.is_object() || !part[key].is_number()) return "–";
  const auto factor = [&](const char* name) { return std::exp(part[name].get<double>()); };
  return fmt::format("×{:.2f} (×{:.2f}–×{:.2f})", factor(key), factor("lo"), factor("hi"));
}

std::string html_verification(const Json& verification) {
  const std::string release = text_of(verification["release"]);
  const std::string model = release.substr(0, release.rfind('@'));
  std::string out = page_head("Forecast and outcome: " + model) + "<body>\n";
  out += fmt::format(
      "<header><p class=\"eyebrow\">Understudy · a forecast held against what happened</p>\n"
      "<h1>Did the forecast for <em>{}</em> hold?</h1>\n"
      "<p class=\"lede\">{} conversations of the new model, measured with the graders that the "
      "forecast froze.</p>\n",
      html_name(model), verification["counts"]["conversations"]["eligible"].dump());
  out += tiles(verification["summary"]);
  out += fmt::format(
      "<dl class=\"facts\"><div><dt>Commitment of the forecast</dt><dd><code "
      "class=\"hash\">{}</code></dd></div><div><dt>Made by</dt><dd>understudy {}</dd>"
      "</div></dl></header>\n<main>\n",
      html_line(text_of(verification["forecast"]["commitment"])),
      html_line(text_of(verification["understudy_version"])));
  out += rates_section(verification) + split_section(verification["error_split"]);
  out += tests_table(verification["summary"]) + notes_section(verification);
  return out + "</main>\n</body></html>\n";
}

}  // namespace understudy
