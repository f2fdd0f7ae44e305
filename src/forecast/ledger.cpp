#include "forecast/ledger.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.hpp"
#include "estimate/estimate.hpp"

namespace understudy {
namespace {

std::string cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c;
    if (c == '"') quoted += '"';
  }
  return quoted + "\"";
}

std::string cell(const std::optional<double>& value) {
  return value ? write_json(Json(rounded(*value)), JsonStyle::kCanonical) : std::string();
}

std::string cell(const std::optional<std::uint64_t>& value) {
  return value ? std::to_string(*value) : std::string();
}

bool can_be_forecast(const HistoryRow& row) {
  return row.previous_per_100k && *row.previous_per_100k > 0 && row.actual_per_100k &&
         *row.actual_per_100k > 0 && row.candidate_replayed_per_100k && row.candidate_draws &&
         *row.candidate_draws > 0;
}

BehaviorInput input_of(const HistoryRow& row) {
  BehaviorInput input;
  input.name = row.behavior;
  input.previous = PreviousRate{*row.previous_per_100k, {}, {}};
  input.arm(Arm::kCandidate) = counted_arm(*row.candidate_replayed_per_100k, *row.candidate_draws);
  if (row.deployed_replayed_per_100k && row.deployed_draws && *row.deployed_draws > 0) {
    input.arm(Arm::kDeployedReplay) =
        counted_arm(*row.deployed_replayed_per_100k, *row.deployed_draws);
  }
  return input;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Errors {
  std::vector<double> ours, persistence;
  std::uint64_t covered = 0;
};

void score_release(std::span<const HistoryRow> rows, const HistoryFit& fit, LeaveOneOut& out,
                   Errors& errors) {
  std::vector<BehaviorInput> inputs;
  std::vector<const HistoryRow*> of_input;
  for (const HistoryRow& row : rows) {
    if (!can_be_forecast(row)) continue;
    inputs.push_back(input_of(row));
    of_input.push_back(&row);
  }
  if (inputs.empty()) return;
  const auto estimates = estimate_behaviors(inputs, {.history = fit});
  double ours = 0, persistence = 0;
  for (std::size_t i = 0; i < estimates.size(); ++i) {
    const Rate& forecast = estimates[i].forecast;
    const double actual = *of_input[i]->actual_per_100k;
    const double floor = 0.5e5 / static_cast<double>(*of_input[i]->candidate_draws);
    errors.ours.push_back(std::abs(std::log(std::max(*forecast.per_100k, floor) / actual)));
    errors.persistence.push_back(std::abs(std::log(*of_input[i]->previous_per_100k / actual)));
    ours += errors.ours.back();
    persistence += errors.persistence.back();
    errors.covered += *forecast.lo <= actual && actual <= *forecast.hi ? 1U : 0U;
  }
  ++out.releases;
  out.beats_persistence += ours < persistence ? 1U : 0U;
}

}  // namespace

ArmSummary counted_arm(double per_100k, std::uint64_t draws) {
  ClusterSizes sizes;
  sizes.add_singletons(1, draws);
  sizes.finish();
  ArmVerdicts verdicts(sizes);
  const auto present = static_cast<std::uint64_t>(
      std::llround(std::min(per_100k / 1e5, 1.0) * static_cast<double>(draws)));
  if (present > 0) verdicts.add({.singleton = true, .count = present});
  return summarize(std::move(verdicts));
}

std::string ledger_csv(std::span<const HistoryRow> rows) {
  std::string text =
      "release,behavior,previous_per_100k,candidate_replayed_per_100k,candidate_draws,"
      "deployed_replayed_per_100k,deployed_draws,actual_per_100k\n";
  for (const HistoryRow& row : rows) {
    text += cell(row.release) + "," + cell(row.behavior) + "," + cell(row.previous_per_100k) + "," +
            cell(row.candidate_replayed_per_100k) + "," + cell(row.candidate_draws) + "," +
            cell(row.deployed_replayed_per_100k) + "," + cell(row.deployed_draws) + "," +
            cell(row.actual_per_100k) + "\n";
  }
  return text;
}

std::vector<HistoryRow> with_release(std::vector<HistoryRow> rows, const std::string& release,
                                     std::span<const HistoryRow> of_release) {
  std::erase_if(rows, [&](const HistoryRow& row) { return row.release == release; });
  rows.insert(rows.end(), of_release.begin(), of_release.end());
  return rows;
}

std::optional<LeaveOneOut> leave_one_release_out(std::span<const HistoryRow> rows) {
  std::set<std::string> releases;
  for (const HistoryRow& row : rows) releases.insert(row.release);
  LeaveOneOut out;
  Errors errors;
  for (const std::string& release : releases) {
    std::vector<HistoryRow> rest, left_out;
    for (const HistoryRow& row : rows) {
      (row.release == release ? left_out : rest).push_back(row);
    }
    if (const auto fit = fit_history(rest)) score_release(left_out, *fit, out, errors);
  }
  if (errors.ours.empty()) return std::nullopt;
  out.rows = errors.ours.size();
  out.median_error = std::exp(median(errors.ours));
  out.persistence_median_error = std::exp(median(errors.persistence));
  out.coverage = static_cast<double>(errors.covered) / static_cast<double>(out.rows);
  return out;
}

}  // namespace understudy
