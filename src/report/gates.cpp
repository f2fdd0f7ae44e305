#include "report/gates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/json.hpp"
#include "base/text.hpp"
#include "report/view.hpp"

namespace understudy {
namespace {

using Measure = std::optional<double> (*)(const BehaviorView&);

template <std::optional<RateView> BehaviorView::*rate, std::optional<double> RateView::*part>
std::optional<double> rate_part(const BehaviorView& behavior) {
  const auto& found = behavior.*rate;
  return found ? (*found).*part : std::nullopt;
}

template <std::optional<double> ChangeView::*part>
std::optional<double> change_part(const BehaviorView& behavior) {
  return behavior.change ? (*behavior.change).*part : std::nullopt;
}

struct NamedMeasure {
  std::string_view name;
  Measure measure;
};

constexpr std::array<NamedMeasure, 15> kMeasures = {{
    {"forecast_per_100k", rate_part<&BehaviorView::next, &RateView::per_100k>},
    {"forecast_lo_per_100k", rate_part<&BehaviorView::next, &RateView::lo>},
    {"forecast_hi_per_100k", rate_part<&BehaviorView::next, &RateView::hi>},
    {"candidate_per_100k", rate_part<&BehaviorView::unshrunk, &RateView::per_100k>},
    {"candidate_lo_per_100k", rate_part<&BehaviorView::unshrunk, &RateView::lo>},
    {"candidate_hi_per_100k", rate_part<&BehaviorView::unshrunk, &RateView::hi>},
    {"deployed_per_100k", rate_part<&BehaviorView::now, &RateView::per_100k>},
    {"deployed_lo_per_100k", rate_part<&BehaviorView::now, &RateView::lo>},
    {"deployed_hi_per_100k", rate_part<&BehaviorView::now, &RateView::hi>},
    {"deployed_replay_per_100k", rate_part<&BehaviorView::now_replay, &RateView::per_100k>},
    {"deployed_replay_lo_per_100k", rate_part<&BehaviorView::now_replay, &RateView::lo>},
    {"deployed_replay_hi_per_100k", rate_part<&BehaviorView::now_replay, &RateView::hi>},
    {"change_ratio", change_part<&ChangeView::ratio>},
    {"change_lo", change_part<&ChangeView::lo>},
    {"change_hi", change_part<&ChangeView::hi>},
}};

Result<GateResult> check(const ReportView& view, const Gate& gate) {
  const std::size_t dot = gate.name.rfind('.');
  const std::string behavior_name = gate.name.substr(0, dot);
  const std::string measure_name = dot == std::string::npos ? "" : gate.name.substr(dot + 1);
  const auto behavior =
      std::find_if(view.behaviors.begin(), view.behaviors.end(),
                   [&](const BehaviorView& b) { return b.name == behavior_name; });
  if (behavior == view.behaviors.end()) {
    std::vector<std::string> names;
    for (const BehaviorView& known : view.behaviors) names.push_back(known.name);
    return unexpected(ErrorCode::kUsage,
                      fmt::format("gate \"{}\": the report has no behavior \"{}\"{}", gate.name,
                                  behavior_name, did_you_mean(behavior_name, names)));
  }
  const auto measure = std::find_if(kMeasures.begin(), kMeasures.end(),
                                    [&](const NamedMeasure& m) { return m.name == measure_name; });
  if (measure == kMeasures.end()) {
    std::vector<std::string> names;
    for (const NamedMeasure& known : kMeasures) names.emplace_back(known.name);
    return unexpected(
        ErrorCode::kUsage,
        fmt::format("gate \"{}\": there is no measure \"{}\"{}; a gate is BEHAVIOR.MEASURE, such "
                    "as \"{}.forecast_hi_per_100k\"",
                    gate.name, measure_name, did_you_mean(measure_name, names), behavior_name));
  }
  GateResult result{gate, measure->measure(*behavior), false};
  result.passed = result.value && *result.value <= gate.limit;
  return result;
}

std::string number_text(double value) {
  return write_json(rounded(value), JsonStyle::kCanonical);
}

}  // namespace

std::string GateResult::describe() const {
  if (!value) {
    return fmt::format("{}: unknown, so the limit of {} is not known to be kept", gate.name,
                       number_text(gate.limit));
  }
  return fmt::format("{}: {} is {} the limit of {}", gate.name, number_text(*value),
                     passed ? "within" : "above", number_text(gate.limit));
}

Result<std::vector<GateResult>> check_gates(const Json& report, std::span<const Gate> gates) {
  UNDERSTUDY_TRY(const ReportView view, report_view(report));
  std::vector<GateResult> results;
  for (const Gate& gate : gates) {
    UNDERSTUDY_TRY(GateResult result, check(view, gate));
    results.push_back(std::move(result));
  }
  return results;
}

std::string junit_xml(std::span<const GateResult> results) {
  const auto failed = std::count_if(results.begin(), results.end(),
                                    [](const GateResult& result) { return !result.passed; });
  // XML 1.0 has no way to write most control characters: they are replaced before escaping.
  const auto attribute = [](std::string_view text) { return html_escaped(terminal_safe(text)); };
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuites tests=\"{0}\" failures=\"{1}\" errors=\"0\">\n"
      "  <testsuite name=\"understudy.gates\" tests=\"{0}\" failures=\"{1}\" errors=\"0\" "
      "skipped=\"0\">\n",
      results.size(), failed);
  for (const GateResult& result : results) {
    const std::size_t dot = std::min(result.gate.name.rfind('.'), result.gate.name.size());
    const std::string test =
        fmt::format("    <testcase classname=\"understudy.gates.{}\" name=\"{}\"",
                    attribute(result.gate.name.substr(0, dot)), attribute(result.gate.name));
    if (result.passed) {
      out += test + "/>\n";
      continue;
    }
    out += fmt::format("{}>\n      <failure type=\"gate\" message=\"{}\"/>\n    </testcase>\n",
                       test, attribute(result.describe()));
  }
  return out + "  </testsuite>\n</testsuites>\n";
}

}  // namespace understudy
