#include "forecast/scoring.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "stats/count_forecast.hpp"
#include "stats/distributions.hpp"
#include "stats/intervals.hpp"
#include "stats/multiplicity.hpp"
#include "stats/scores.hpp"
#include "stats/sign_flip.hpp"

namespace understudy {
namespace {

constexpr double kPer100k = 1e5;
constexpr double kEventsHalf = 0.5;

double share(double per_100k) {
  return per_100k / kPer100k;
}

// What the actual's interval says beyond its counts (clusters, missing verdicts, labels) makes the
// counts smaller: as many independent draws as would have the same relative width.
void set_effective_counts(ScoreRow& row) {
  const auto n = static_cast<double>(*row.actual.n);
  const auto k = static_cast<double>(*row.actual.k);
  const double rate = share(*row.actual.per_100k);
  row.effective_n = n;
  row.effective_k = rate * n;
  if (!row.actual.lo || !row.actual.hi || *row.actual.hi <= 0 || k > n) return;
  const Interval plain = clopper_pearson(k, n, row.actual.level);
  const double hi = share(*row.actual.hi), lo = share(*row.actual.lo);
  if (k > 0 && rate > 0 && lo > 0) {
    const double deff = std::pow(std::log(hi / lo) / std::log(plain.hi / plain.lo), 2);
    row.effective_n = n / std::max(deff, 1.0);
  } else if (hi > 0) {
    row.effective_n = n * std::min(plain.hi / hi, 1.0);
  }
  row.effective_n = std::max(row.effective_n, 1.0);
  row.effective_k = rate * row.effective_n;
}

std::string reason_to_skip(const ForecastActual& input) {
  if (!input.forecast.per_100k || !input.forecast.hi) return "no forecast";
  if (!input.actual.per_100k || !input.actual.n || !input.actual.k) return "no actual";
  if (*input.actual.n == 0) return "no actual";
  return {};
}

// A forecast of zero is the median of half an event's posterior (estimate.cpp does the same with an
// old rate of zero).
LogRate law_of(const Rate& rate) {
  const double hi = std::max(share(*rate.hi), 1e-12);
  const double point = share(*rate.per_100k) > 0 ? share(*rate.per_100k) : hi * 0.0617;
  const double lo = rate.lo ? share(*rate.lo) : 0;
  return log_rate(point, std::min(lo, point), std::max(hi, point), rate.level);
}

class Scorer {
 public:
  Scorer(const ForecastActual& input, const ScoringOptions& options)
      : input_(input), options_(options) {
    row_.behavior = input.behavior;
    row_.forecast = input.forecast;
    row_.actual = input.actual;
  }

  ScoreRow score() {
    row_.skipped = reason_to_skip(input_);
    if (!row_.skipped.empty()) return std::move(row_);
    set_effective_counts(row_);
    floor_ = kEventsHalf / row_.effective_n;
    if (input_.called) {
      row_.called = *input_.called;
    } else if (const Rate* const old = baseline("persistence")) {
      row_.called = moved(*input_.forecast.per_100k, *old->per_100k);
    }
    const LogRate law = law_of(input_.forecast);
    const CountForecast counts(law, row_.effective_n);
    row_.covered = counts.holds(row_.effective_k, options_.level);
    row_.regret = regret(counts);
    for (const auto& [name, rate] : input_.baselines) {
      if (!rate.per_100k || !rate.hi) continue;
      row_.baseline_regret[name] = regret(CountForecast(law_of(rate), row_.effective_n));
    }
    compare(law);
    return std::move(row_);
  }

 private:
  [[nodiscard]] const Rate* baseline(const std::string& name) const {
    const auto found = input_.baselines.find(name);
    return found == input_.baselines.end() || !found->second.per_100k ? nullptr : &found->second;
  }
  [[nodiscard]] double floored(double per_100k) const { return std::max(share(per_100k), floor_); }
  [[nodiscard]] double log_error(double per_100k) const {
    return std::abs(std::log(floored(per_100k) / floored(*input_.actual.per_100k)));
  }
  [[nodiscard]] Moved moved(double now, double before) const {
    if (std::max(now, before) <= 0) return Moved::kNo;
    const double floor = floor_ > 0 ? floor_ : 1e-9;
    const double ratio = std::max(share(now), floor) / std::max(share(before), floor);
    if (ratio >= options_.direction_ratio) return Moved::kUp;
    return ratio <= 1 / options_.direction_ratio ? Moved::kDown : Moved::kNo;
  }
  [[nodiscard]] double regret(const CountForecast& counts) const {
    const double best = std::max(row_.effective_k, kEventsHalf);
    return poisson_log_probability(best, row_.effective_k) -
           counts.log_probability(row_.effective_k);
  }

  void compare(const LogRate& law) {
    const double n = row_.effective_n;
    double events = std::max(share(*input_.forecast.per_100k) * n, row_.effective_k);
    if (const Rate* old = baseline("persistence")) {
      events = std::max(events, share(*old->per_100k) * n);
    }
    row_.compared = events >= options_.events_min;
    if (!row_.compared) return;
    row_.sme = std::exp(log_error(*input_.forecast.per_100k));
    const double actual = std::log(floored(*input_.actual.per_100k));
    row_.crps = crps_normal(law.median, std::max((law.sd_lo + law.sd_hi) / 2, 1e-6), actual);
    for (const auto& [name, rate] : input_.baselines) {
      if (rate.per_100k) row_.baseline_sme[name] = std::exp(log_error(*rate.per_100k));
    }
    if (const Rate* old = baseline("persistence")) {
      row_.seen = moved(*input_.actual.per_100k, *old->per_100k);
    }
  }

  const ForecastActual& input_;
  const ScoringOptions& options_;
  ScoreRow row_;
  double floor_ = 0;  // share; half an effective event
};

double quantile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const double at = p * static_cast<double>(values.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(i);
  return i + 1 < values.size() ? (1 - part) * values[i] + part * values[i + 1] : values[i];
}

std::optional<double> mean(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The side of the old rate that a rate is on; 0: on neither.
int side(double rate, double old) {
  return rate > old ? 1 : rate < old ? -1 : 0;
}

void add_directions(const ScoreRow& row, const ForecastActual& input, ScoreSummary& summary) {
  if (row.seen != Moved::kUp && row.seen != Moved::kDown) return;
  const double old = *input.baselines.at("persistence").per_100k;
  const int seen = row.seen == Moved::kUp ? 1 : -1;
  ++summary.moved;
  if (side(*input.forecast.per_100k, old) == seen) ++summary.right;
  if (row.called == Moved::kUp || row.called == Moved::kDown) {
    ++summary.called;
    if (row.called == row.seen) ++summary.called_right;
  }
  for (const auto& [name, rate] : input.baselines) {
    if (name == "persistence" || !rate.per_100k) continue;
    summary.baseline_right[name] += side(*rate.per_100k, old) == seen ? 1U : 0U;
  }
}

PairedTest paired_test(const std::string& baseline, std::span<const ScoreRow> rows) {
  PairedTest test;
  test.baseline = baseline;
  std::vector<double> ours, theirs, differences;
  for (const ScoreRow& row : rows) {
    const auto found = row.baseline_sme.find(baseline);
    if (!row.sme || found == row.baseline_sme.end()) continue;
    ours.push_back(std::log(*row.sme));
    theirs.push_back(std::log(found->second));
    differences.push_back(ours.back() - theirs.back());
    test.better += differences.back() < 0 ? 1U : 0U;
  }
  test.rows = ours.size();
  test.mean_log_error = mean(ours).value_or(0);
  test.baseline_mean_log_error = mean(theirs).value_or(0);
  test.p_value = sign_flip_p(differences);
  test.power = paired_power(test.rows);
  return test;
}

void add_baselines(std::span<const ScoreRow> rows, ScoreSummary& summary) {
  std::map<std::string, std::vector<double>> smes, regrets;
  for (const ScoreRow& row : rows) {
    for (const auto& [name, sme] : row.baseline_sme) smes[name].push_back(sme);
    for (const auto& [name, regret] : row.baseline_regret) regrets[name].push_back(regret);
  }
  std::vector<double> p_values;
  for (const auto& [name, of_baseline] : smes) {
    summary.baseline_median_sme[name] = quantile(of_baseline, 0.5);
    summary.tests.push_back(paired_test(name, rows));
    p_values.push_back(summary.tests.back().p_value);
  }
  for (const auto& [name, of_baseline] : regrets) {
    summary.baseline_mean_regret[name] = *mean(of_baseline);
  }
  const std::vector<double> adjusted = holm(p_values);
  for (std::size_t i = 0; i < adjusted.size(); ++i) summary.tests[i].p_holm = adjusted[i];
}

Json number(const std::optional<double>& value) {
  return value ? Json(rounded(*value)) : Json();
}

Json numbers(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = rounded(value);
  return json;
}

}  // namespace

std::string_view moved_name(Moved moved) {
  switch (moved) {
    case Moved::kUnknown:
      return "unknown";
    case Moved::kNo:
      return "none";
    case Moved::kUp:
      return "up";
    case Moved::kDown:
      return "down";
  }
  UNDERSTUDY_ASSERT(false);
}

double paired_power(std::uint64_t rows) {
  // 0.46 is the mean difference of |ln error| over its spread that gives (60)'s three powers.
  return normal_cdf(0.46 * std::sqrt(static_cast<double>(rows)) - 1.959963984540054);
}

ForecastScores score_forecasts(std::span<const ForecastActual> inputs,
                               const ScoringOptions& options) {
  ForecastScores scores;
  ScoreSummary& summary = scores.summary;
  std::vector<double> smes, crps, regrets, biases;
  for (const ForecastActual& input : inputs) {
    ScoreRow row = Scorer(input, options).score();
    ++summary.rows;
    if (row.skipped.empty()) ++summary.scored;
    if (row.covered && *row.covered) ++summary.covered;
    if (row.regret) regrets.push_back(*row.regret);
    if (row.compared) {
      ++summary.compared;
      smes.push_back(*row.sme);
      crps.push_back(*row.crps);
      const bool above = *input.forecast.per_100k >= *input.actual.per_100k;
      biases.push_back(above ? std::log(*row.sme) : -std::log(*row.sme));
      add_directions(row, input, summary);
    }
    scores.rows.push_back(std::move(row));
  }
  if (!smes.empty()) {
    summary.median_sme = quantile(smes, 0.5);
    summary.p90_sme = quantile(smes, 0.9);
    summary.max_sme = quantile(smes, 1);
  }
  summary.mean_log_bias = mean(biases);
  summary.mean_crps = mean(crps);
  summary.mean_regret = mean(regrets);
  if (summary.scored > 0) {
    const auto n = static_cast<double>(summary.scored);
    const auto k = static_cast<double>(summary.covered);
    const Interval range = clopper_pearson(k, n, options.level);
    summary.coverage = k / n;
    summary.coverage_lo = range.lo;
    summary.coverage_hi = range.hi;
  }
  add_baselines(scores.rows, summary);
  return scores;
}

Json to_json(const ScoreRow& row) {
  const auto persistence = row.baseline_sme.find("persistence");
  return {{"behavior", row.behavior},
          {"forecast", to_json(row.forecast)},
          {"actual", to_json(row.actual)},
          {"skipped", row.skipped.empty() ? Json() : Json(row.skipped)},
          {"compared", row.compared},
          {"effective_events", rounded(row.effective_k)},
          {"sme", number(row.sme)},
          {"crps", number(row.crps)},
          {"log_score_regret", number(row.regret)},
          {"covered", row.covered ? Json(*row.covered) : Json()},
          {"persistence_sme",
           persistence == row.baseline_sme.end() ? Json() : Json(rounded(persistence->second))},
          {"baseline_sme", numbers(row.baseline_sme)},
          {"baseline_log_score_regret", numbers(row.baseline_regret)},
          {"direction_called", moved_name(row.called)},
          {"direction_seen", moved_name(row.seen)}};
}

Json to_json(const ScoreSummary& summary) {
  Json tests = Json::array();
  for (const PairedTest& test : summary.tests) {
    tests.push_back({{"baseline", test.baseline},
                     {"rows", test.rows},
                     {"better", test.better},
                     {"mean_log_error", rounded(test.mean_log_error)},
                     {"baseline_mean_log_error", rounded(test.baseline_mean_log_error)},
                     {"p_value", rounded(test.p_value)},
                     {"p_holm", rounded(test.p_holm)},
                     {"power", rounded(test.power)}});
  }
  Json direction = {{"moved", summary.moved},
                    {"right", summary.right},
                    {"called", summary.called},
                    {"called_right", summary.called_right},
                    {"baseline_right", summary.baseline_right}};
  return {{"rows", summary.rows},
          {"scored", summary.scored},
          {"compared", summary.compared},
          {"median_sme", number(summary.median_sme)},
          {"p90_sme", number(summary.p90_sme)},
          {"max_sme", number(summary.max_sme)},
          {"mean_log_bias", number(summary.mean_log_bias)},
          {"mean_crps", number(summary.mean_crps)},
          {"mean_log_score_regret", number(summary.mean_regret)},
          {"coverage", number(summary.coverage)},
          {"coverage_lo", number(summary.coverage_lo)},
          {"coverage_hi", number(summary.coverage_hi)},
          {"covered", summary.covered},
          {"direction", std::move(direction)},
          {"baseline_median_sme", numbers(summary.baseline_median_sme)},
          {"baseline_mean_log_score_regret", numbers(summary.baseline_mean_regret)},
          {"tests", std::move(tests)}};
}

}  // namespace understudy
