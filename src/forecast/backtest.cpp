#include "forecast/backtest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "base/hash.hpp"
#include "base/rng.hpp"
#include "estimate/estimate.hpp"
#include "estimate/placebo.hpp"
#include "forecast/predictive.hpp"

namespace understudy {
namespace {

// An arm's answers of one part, ready for the verdicts of each behavior.
class PartAnswers {
 public:
  template <class Chosen>
  PartAnswers(const BacktestAnswers& answers, Chosen chosen) : answers_(answers) {
    for (std::size_t i = 0; i < answers.clusters.size(); ++i) {
      if (!chosen(i)) continue;
      taken_.push_back(i);
      sizes_.add(answers.clusters[i], weight(i));
    }
    sizes_.finish();
  }

  [[nodiscard]] ArmSummary summary(std::size_t behavior) const {
    ArmVerdicts verdicts(sizes_);
    for (const std::size_t i : taken_) {
      const Verdict verdict = answers_.verdicts[behavior][i];
      if (verdict == Verdict::kAbsent) continue;
      verdicts.add(verdict, {.cluster = answers_.clusters[i], .weight = weight(i)});
    }
    return summarize(std::move(verdicts));
  }

 private:
  [[nodiscard]] double weight(std::size_t i) const {
    return answers_.weights.empty() ? 1 : answers_.weights[i];
  }
  const BacktestAnswers& answers_;
  std::vector<std::size_t> taken_;
  ClusterSizes sizes_;
};

PartAnswers part_of(const BacktestAnswers& answers, const std::vector<BacktestPart>& parts,
                    BacktestPart part) {
  UNDERSTUDY_ASSERT(parts.size() == answers.clusters.size());
  return PartAnswers(answers, [&](std::size_t i) { return parts[i] == part; });
}

// What was measured, as a rate object; nothing where there is no verdict.
Rate measured(const ArmSummary& arm) {
  if (arm.gradable == 0) return {};
  const RateOptions options;
  return arm_estimate(arm, corrected_rate(arm, {}, options), options).corrected;
}

double quantile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const double at = p * static_cast<double>(values.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(i);
  return i + 1 < values.size() ? (1 - part) * values[i] + part * values[i + 1] : values[i];
}

std::vector<BacktestPart> halves_of(const BacktestAnswers& answers, std::uint64_t seed) {
  const std::uint64_t key = hash64({"backtest halves", std::to_string(seed)});
  std::vector<BacktestPart> parts;
  parts.reserve(answers.clusters.size());
  for (const std::uint64_t cluster : answers.clusters) {
    parts.push_back(Rng(key, cluster).uniform() < 0.5 ? BacktestPart::kForecast
                                                      : BacktestPart::kActual);
  }
  return parts;
}

std::vector<BacktestPart> before_and_after(const BacktestAnswers& answers, std::int64_t period,
                                           std::int64_t length) {
  std::vector<BacktestPart> parts(answers.clusters.size(), BacktestPart::kUnused);
  for (std::size_t i = 0; i < answers.periods.size(); ++i) {
    const std::int64_t at = answers.periods[i];
    if (at < 0 || at >= period + length) continue;
    parts[i] = at < period ? BacktestPart::kForecast : BacktestPart::kActual;
  }
  return parts;
}

}  // namespace

BacktestCut random_halves(const BacktestInput& input, std::uint64_t seed) {
  BacktestCut cut{.name = fmt::format("halves {}", seed),
                  .candidate = halves_of(input.candidate, seed),
                  .deployed = {}};
  if (input.deployed) cut.deployed = halves_of(*input.deployed, seed);
  return cut;
}

BacktestCut time_cut(const BacktestInput& input, std::int64_t period, std::int64_t length) {
  BacktestCut cut{.name = fmt::format("period {}", period),
                  .candidate = before_and_after(input.candidate, period, length),
                  .deployed = {}};
  if (input.deployed) cut.deployed = before_and_after(*input.deployed, period, length);
  // The older model's past is what a study would know; a model's own past is its old model's.
  const BacktestAnswers& past = input.deployed ? *input.deployed : input.candidate;
  std::vector<std::vector<RateCount>> counts(input.behaviors.size());
  for (std::int64_t at = 0; at < period; ++at) {
    const PartAnswers answers(
        past, [&](std::size_t i) { return i < past.periods.size() && past.periods[i] == at; });
    for (std::size_t b = 0; b < counts.size(); ++b) {
      counts[b].push_back(period_count(answers.summary(b)));
    }
  }
  const auto horizon = static_cast<std::size_t>(std::max<std::int64_t>((length + 1) / 2, 1));
  if (const auto spread = placebo_shift(counts, horizon, EstimateOptions().level)) {
    cut.shift_log_sd = spread->log_sd;
  }
  return cut;
}

std::vector<ForecastActual> backtest_cut(const BacktestInput& input, const BacktestCut& cut) {
  const PartAnswers known = part_of(input.candidate, cut.candidate, BacktestPart::kForecast);
  const PartAnswers later = part_of(input.candidate, cut.candidate, BacktestPart::kActual);
  std::optional<PartAnswers> old;
  if (input.deployed) {
    old.emplace(part_of(*input.deployed, cut.deployed, BacktestPart::kForecast));
  }
  std::vector<BehaviorInput> inputs;
  for (std::size_t b = 0; b < input.behaviors.size(); ++b) {
    BehaviorInput behavior;
    behavior.name = input.behaviors[b];
    behavior.arm(Arm::kCandidate) = known.summary(b);
    if (old) behavior.arm(Arm::kDeployed) = old->summary(b);
    inputs.push_back(std::move(behavior));
  }
  const std::vector<BehaviorEstimate> estimates = estimate_behaviors(inputs, {});
  const PredictiveSpread shift{.shift_variance = cut.shift_log_sd * cut.shift_log_sd};
  std::vector<ForecastActual> scored;
  for (std::size_t b = 0; b < inputs.size(); ++b) {
    ForecastActual entry{.behavior = inputs[b].name,
                         .forecast = {},
                         .actual = measured(later.summary(b)),
                         .baselines = {}};
    if (inputs[b].arm(Arm::kCandidate)->gradable > 0) {
      entry.forecast = predictive_rate(estimates[b].forecast, shift);
    }
    if (old && inputs[b].arm(Arm::kDeployed)->gradable > 0) {
      entry.baselines["persistence"] = measured(*inputs[b].arm(Arm::kDeployed));
    }
    scored.push_back(std::move(entry));
  }
  return scored;
}

// --- Over all cuts

Backtest::Backtest(std::vector<std::string> behaviors)
    : behaviors_(std::move(behaviors)), tallies_(behaviors_.size()) {}

void Backtest::add(std::span<const ForecastActual> cut) {
  UNDERSTUDY_ASSERT(cut.size() == behaviors_.size());
  const ForecastScores scores = score_forecasts(cut);
  for (std::size_t b = 0; b < scores.rows.size(); ++b) {
    const ScoreRow& row = scores.rows[b];
    Tally& tally = tallies_[b];
    if (!row.covered) continue;
    ++tally.scored;
    tally.covered += *row.covered ? 1U : 0U;
    tally.events += row.effective_k;
    if (!row.sme) continue;
    tally.smes.push_back(*row.sme);
    tally.compared_covered += *row.covered ? 1U : 0U;
    const auto old = row.baseline_sme.find("persistence");
    if (old == row.baseline_sme.end()) continue;
    tally.persistence.push_back(old->second);
    tally.better += *row.sme < old->second ? 1U : 0U;
  }
  ++cuts_;
  moved_ += scores.summary.moved;
  right_ += scores.summary.right;
}

BacktestRow Backtest::row(std::string name, const Tally& tally) {
  BacktestRow row{.behavior = std::move(name),
                  .scored = tally.scored,
                  .covered = tally.covered,
                  .compared = tally.smes.size(),
                  .compared_covered = tally.compared_covered,
                  .median_sme = {},
                  .p90_sme = {},
                  .persistence_median_sme = {}};
  if (tally.scored > 0) row.events = tally.events / static_cast<double>(tally.scored);
  if (!tally.smes.empty()) {
    row.median_sme = quantile(tally.smes, 0.5);
    row.p90_sme = quantile(tally.smes, 0.9);
  }
  if (!tally.persistence.empty()) row.persistence_median_sme = quantile(tally.persistence, 0.5);
  return row;
}

BacktestResult Backtest::result() const {
  BacktestResult result;
  result.cuts = cuts_;
  result.moved = moved_;
  result.right = right_;
  Tally all;
  for (std::size_t b = 0; b < behaviors_.size(); ++b) {
    const Tally& tally = tallies_[b];
    result.rows.push_back(row(behaviors_[b], tally));
    all.smes.insert(all.smes.end(), tally.smes.begin(), tally.smes.end());
    all.persistence.insert(all.persistence.end(), tally.persistence.begin(),
                           tally.persistence.end());
    all.scored += tally.scored;
    all.covered += tally.covered;
    all.compared_covered += tally.compared_covered;
    all.better += tally.better;
    all.events += tally.events;
  }
  result.all = row("all", all);
  result.better = all.better;
  result.against_persistence = all.persistence.size();
  return result;
}

namespace {

Json number(const std::optional<double>& value) {
  return value ? Json(rounded(*value)) : Json();
}

Json row_json(const BacktestRow& row) {
  return {{"behavior", row.behavior},
          {"scored", row.scored},
          {"covered", row.covered},
          {"coverage", row.scored > 0 ? Json(rounded(static_cast<double>(row.covered) /
                                                     static_cast<double>(row.scored)))
                                      : Json()},
          {"compared", row.compared},
          {"compared_covered", row.compared_covered},
          {"events", rounded(row.events)},
          {"median_sme", number(row.median_sme)},
          {"p90_sme", number(row.p90_sme)},
          {"persistence_median_sme", number(row.persistence_median_sme)}};
}

std::string times(const std::optional<double>& ratio) {
  return ratio ? fmt::format("{:.2f}x", *ratio) : "";
}

std::string table_line(const BacktestRow& row) {
  const std::string coverage = row.scored == 0
                                   ? "not scored"
                                   : fmt::format("{:.1f}%", 100 * static_cast<double>(row.covered) /
                                                                static_cast<double>(row.scored));
  return fmt::format("{:<28}{:>8}{:>12}{:>10.1f}{:>10}{:>9}{:>9}{:>13}\n", row.behavior, row.scored,
                     coverage, row.events, row.compared, times(row.median_sme), times(row.p90_sme),
                     times(row.persistence_median_sme));
}

}  // namespace

Json to_json(const BacktestResult& result) {
  Json rows = Json::array();
  for (const BacktestRow& row : result.rows) rows.push_back(row_json(row));
  return {{"cuts", result.cuts},
          {"rows", std::move(rows)},
          {"all", row_json(result.all)},
          {"better_than_persistence", result.better},
          {"against_persistence", result.against_persistence},
          {"direction", {{"moved", result.moved}, {"right", result.right}}}};
}

std::string backtest_table(const BacktestResult& result) {
  std::string text = fmt::format("{:<28}{:>8}{:>12}{:>10}{:>10}{:>9}{:>9}{:>13}\n", "", "scored",
                                 "coverage", "events", ">= 5", "median", "p90", "persistence");
  for (const BacktestRow& row : result.rows) text += table_line(row);
  text += table_line(result.all);
  text += fmt::format("where 5 events or more were expected, {} of {} are covered\n",
                      result.all.compared_covered, result.all.compared);
  if (result.against_persistence > 0) {
    text += fmt::format(
        "nearer than persistence in {} of {}; of {} changes of 1.5x or more, {} "
        "on the right side\n",
        result.better, result.against_persistence, result.moved, result.right);
  }
  return text;
}

}  // namespace understudy
