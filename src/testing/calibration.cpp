#include "testing/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "forecast/predictive.hpp"
#include "stats/scores.hpp"
#include "testing/drift_world.hpp"
#include "testing/planted_releases.hpp"
#include "testing/worlds.hpp"

namespace understudy {
namespace {

constexpr double kFloor = 0.5 / static_cast<double>(kWorldDraws);

// What one estimator said once.
struct Outcome {
  double truth = 0;
  double estimate = 0;
  std::optional<Interval> interval;
  double old = 0;
  double miss_bound = 0;
  bool has_miss_bound = false;
  std::vector<Alarm> alarms;
};

double quantile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const double at = p * static_cast<double>(values.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(i);
  return i + 1 < values.size() ? (1 - part) * values[i] + part * values[i + 1] : values[i];
}

double log_error(double estimate, double truth) {
  return std::abs(std::log(std::max(estimate, kFloor) / truth));
}

// Gathers the outcomes of one estimator in one world and rate.
class Score {
 public:
  void add(const Outcome& outcome) {
    errors_.push_back(log_error(outcome.estimate, outcome.truth));
    if (outcome.old > 0) {
      compared_ += 1;
      better_ += errors_.back() < std::abs(std::log(outcome.old / outcome.truth)) ? 1 : 0;
    }
    const bool regressed = std::find(outcome.alarms.begin(), outcome.alarms.end(),
                                     Alarm::kRegression) != outcome.alarms.end();
    alarmed_ += outcome.alarms.empty() ? 0 : 1;
    for (const Alarm alarm : outcome.alarms) alarms_[std::string(alarm_name(alarm))] += 1;
    if (!outcome.interval) return;
    const auto [lo, hi] = *outcome.interval;
    const bool covered = lo <= outcome.truth && outcome.truth <= hi;
    covered_ += covered ? 1 : 0;
    if (!covered) regressed_where_missed_ += regressed ? 1 : 0;
    if (outcome.has_miss_bound) {
      bounded_ += 1;
      covered_with_bound_ +=
          lo <= outcome.truth && outcome.truth <= hi + outcome.miss_bound ? 1 : 0;
    }
    const double low = std::max(lo, kFloor / 5);
    widths_.push_back(hi / low);
    crps_ += crps_normal(std::log(std::max(outcome.estimate, kFloor)),
                         std::max(std::log(hi / low) / 3.92, 1e-6), std::log(outcome.truth));
  }
  /// In place of the comparison per behavior.
  void add_release(bool beats) {
    releases_ += 1;
    releases_better_ += beats ? 1 : 0;
  }
  [[nodiscard]] bool empty() const { return errors_.empty(); }
  [[nodiscard]] CalibrationRow row(std::string world, std::optional<double> rate,
                                   std::string estimator, std::uint64_t repeats) const;

 private:
  std::vector<double> errors_, widths_;
  std::map<std::string, double> alarms_;
  double covered_ = 0, bounded_ = 0, covered_with_bound_ = 0, regressed_where_missed_ = 0;
  double compared_ = 0, better_ = 0, alarmed_ = 0, crps_ = 0;
  double releases_ = 0, releases_better_ = 0;
};

CalibrationRow Score::row(std::string world, std::optional<double> rate, std::string estimator,
                          std::uint64_t repeats) const {
  CalibrationRow row;
  row.world = std::move(world);
  row.rate = rate;
  row.estimator = std::move(estimator);
  row.repeats = repeats;
  const auto count = static_cast<double>(errors_.size());
  row.median_error = std::exp(quantile(errors_, 0.5));
  row.p90_error = std::exp(quantile(errors_, 0.9));
  if (!widths_.empty()) {
    const auto intervals = static_cast<double>(widths_.size());
    row.coverage = covered_ / intervals;
    row.width_ratio = quantile(widths_, 0.5);
    row.mean_crps = crps_ / intervals;
    if (covered_ < intervals) {
      row.regression_where_missed = regressed_where_missed_ / (intervals - covered_);
    }
  }
  if (bounded_ > 0) row.coverage_with_miss_bound = covered_with_bound_ / bounded_;
  if (releases_ > 0) {
    row.beats_persistence = releases_better_ / releases_;
  } else if (compared_ > 0) {
    row.beats_persistence = better_ / compared_;
  }
  row.alarm_rate = alarmed_ / count;
  for (const auto& [name, times] : alarms_) row.alarms[name] = times / count;
  return row;
}

using Scores = std::map<std::string, Score>;

Interval shares(const Rate& rate) {
  return {*rate.lo / 1e5, *rate.hi / 1e5};
}

Outcome outcome_of(const Rate& rate, double truth, double old, const BehaviorEstimate& estimate) {
  Outcome outcome{truth, *rate.per_100k / 1e5, shares(rate), old, 0, false, estimate.alarms};
  if (estimate.miss_bound_per_100k) {
    outcome.miss_bound = *estimate.miss_bound_per_100k / 1e5;
    outcome.has_miss_bound = true;
  }
  return outcome;
}

BehaviorEstimate estimate_one(const BehaviorInput& input) {
  return std::move(estimate_behaviors({&input, 1}, {}).front());
}

Rng world_rng(const CalibrationOptions& options, const std::string& world, double rate,
              std::uint64_t repeat) {
  return Rng(
      hash64({"calibrate", std::to_string(options.seed), world, fmt::format("{:.6e}", rate)}),
      repeat);
}

void score_study(const World& world, double rate, const CalibrationOptions& options,
                 std::uint64_t repeat, Scores& scores) {
  Rng rng = world_rng(options, world.name, rate, repeat);
  const WorldStudy study = make_study(world, rate, rng);
  const double old = study.old_share;
  const auto draws = static_cast<double>(kWorldDraws);
  scores["perfect_judge"].add({rate,
                               study.perfect,
                               clopper_pearson(std::round(study.perfect * draws), draws, 0.95),
                               old,
                               0,
                               false,
                               {}});
  scores["persistence"].add({rate, old, std::nullopt, old, 0, false, {}});
  const BehaviorEstimate uniform = estimate_one(study.uniform);
  const ArmEstimate& arm = *uniform.arm(Arm::kCandidate);
  Outcome naive = outcome_of(arm.screen, rate, old, uniform);
  naive.alarms.clear();
  naive.has_miss_bound = false;
  scores["naive"].add(naive);
  const double recall = static_cast<double>(study.recall_flagged) / double{kRecallLabels};
  const double specificity = 1 - static_cast<double>(study.false_flags) / double{kKnownNegatives};
  if (recall + specificity > 1) {
    scores["rogan_gladen"].add({rate,
                                rogan_gladen(naive.estimate, recall, specificity),
                                lang_reiczigel(naive.estimate, draws, recall, kRecallLabels,
                                               specificity, kKnownNegatives, 0.95),
                                old,
                                0,
                                false,
                                {}});
  }
  scores["corrected"].add(outcome_of(arm.corrected, rate, old, uniform));
  scores["forecast"].add(outcome_of(uniform.forecast, rate, old, uniform));
  if (!study.risk_weighted.arm(Arm::kCandidate)) return;
  const BehaviorEstimate risk = estimate_one(study.risk_weighted);
  scores["risk_corrected"].add(outcome_of(risk.arm(Arm::kCandidate)->corrected, rate, old, risk));
  scores["risk_forecast"].add(outcome_of(risk.forecast, rate, old, risk));
}

void score_portfolio(bool concentrated, const CalibrationOptions& options, std::uint64_t repeat,
                     Scores& scores) {
  Rng rng = world_rng(options, concentrated ? "portfolio-concentrated" : "portfolio", options.shift,
                      repeat);
  const Portfolio portfolio = make_portfolio(concentrated, options.shift, rng);
  const auto uniform = estimate_behaviors(portfolio.uniform, {});
  const auto risk = estimate_behaviors(portfolio.risk_weighted, {});
  for (std::size_t i = 0; i < uniform.size(); ++i) {
    const double truth = portfolio.deployed[i], old = portfolio.old[i];
    const ArmEstimate& arm = *uniform[i].arm(Arm::kCandidate);
    Outcome naive = outcome_of(arm.screen, truth, old, uniform[i]);
    naive.alarms.clear();
    scores["naive"].add(naive);
    scores["persistence"].add({truth, old, std::nullopt, old, 0, false, {}});
    scores["corrected"].add(outcome_of(arm.corrected, truth, old, uniform[i]));
    scores["forecast"].add(outcome_of(uniform[i].forecast, truth, old, uniform[i]));
    scores["risk_corrected"].add(
        outcome_of(risk[i].arm(Arm::kCandidate)->corrected, truth, old, risk[i]));
    scores["risk_forecast"].add(outcome_of(risk[i].forecast, truth, old, risk[i]));
  }
}

void score_release(const ReleaseWorld& world, const std::string& name,
                   const CalibrationOptions& options, std::uint64_t repeat, Scores& scores) {
  Rng rng = world_rng(options, name, world.correlation, repeat);
  const Release release = make_release(world, rng);
  EstimateOptions spent, split;
  spent.history = fit_history(release.history_spent);
  split.history = fit_history(release.history_split);
  const auto shrunk = estimate_behaviors(release.spent_on_candidate, spent);
  const auto pivoted = estimate_behaviors(release.split, split);
  // What `plan` advises: the old model is replayed where past releases say that this helps.
  const bool replays_old = split.history && split.history->pivots();
  const auto fitted = replays_old ? pivoted : estimate_behaviors(release.spent_on_candidate, split);
  // The same half budget with the old model's replay thrown away: what pivoting itself brings.
  std::vector<BehaviorInput> half_inputs = release.split;
  for (BehaviorInput& input : half_inputs) input.arm(Arm::kDeployedReplay).reset();
  const auto half = estimate_behaviors(half_inputs, split);
  std::map<std::string, double> sums;
  const auto add = [&](const std::string& estimator, const Outcome& outcome) {
    scores[estimator].add(outcome);
    sums[estimator] += log_error(outcome.estimate, outcome.truth);
  };
  for (std::size_t i = 0; i < shrunk.size(); ++i) {
    const double truth = release.deployed[i], old = release.old[i];
    add("persistence", {truth, old, std::nullopt, 0, 0, false, {}});
    add("naive",
        {truth, release.raw[i], shares(shrunk[i].arm(Arm::kCandidate)->screen), 0, 0, false, {}});
    add("ratio_pivot", {truth, release.ratio_pivot[i], std::nullopt, 0, 0, false, {}});
    add("forecast", outcome_of(shrunk[i].forecast, truth, 0, shrunk[i]));
    add("forecast_half", outcome_of(half[i].forecast, truth, 0, half[i]));
    add("forecast_pivot", outcome_of(pivoted[i].forecast, truth, 0, pivoted[i]));
    add("forecast_fitted", outcome_of(fitted[i].forecast, truth, 0, fitted[i]));
  }
  for (const auto& [estimator, sum] : sums) {
    scores[estimator].add_release(sum < sums["persistence"]);
  }
}

const std::map<std::string, ReleaseWorld>& release_worlds() {
  static const std::map<std::string, ReleaseWorld> worlds = {{"releases", {0.6, 0.9}},
                                                             {"releases-half-shared", {0.6, 0.5}},
                                                             {"releases-not-shared", {0.6, 0.0}}};
  return worlds;
}

// The deployed model's next week, forecast at 90% with and without what placebos say of drift.
void score_drift(const DriftWorld& world, const CalibrationOptions& options, std::uint64_t repeat,
                 Scores& scores) {
  Rng rng = world_rng(options, world.name, world.weekly_log_sd, repeat);
  const EstimateOptions options_90{.level = 0.9};
  const DriftStudy study = make_drift_study(world, options_90.level, rng);
  const double sd = study.shift ? study.shift->log_sd : 0;
  const PredictiveSpread shift{.shift_variance = sd * sd};
  const auto estimates = estimate_behaviors(study.logs, options_90);
  for (std::size_t i = 0; i < estimates.size(); ++i) {
    const double truth = study.next_week[i];
    const Rate& forecast = estimates[i].forecast;
    scores["forecast"].add(outcome_of(forecast, truth, 0, estimates[i]));
    scores["placebo_widened"].add(
        outcome_of(predictive_rate(forecast, shift), truth, 0, estimates[i]));
  }
}

Result<void> check(const CalibrationOptions& options) {
  const auto check_names = [](const std::vector<std::string>& asked,
                              const std::vector<std::string>& known,
                              const std::string& what) -> Result<void> {
    for (const std::string& name : asked) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        return unexpected(ErrorCode::kUsage, "calibrate: there is no " + what + " \"" +
                                                 terminal_safe(name) + "\"" +
                                                 did_you_mean(name, known));
      }
    }
    return {};
  };
  UNDERSTUDY_CHECK(check_names(options.worlds, world_names(), "world"));
  UNDERSTUDY_CHECK(check_names(options.estimators, estimator_names(), "estimator"));
  for (const double rate : options.rates) {
    if (!(rate > 0 && rate < 0.2)) {
      return unexpected(ErrorCode::kUsage,
                        fmt::format("calibrate: rate {} is not between 0 and 0.2", rate));
    }
  }
  if (options.repeats == 0) {
    return unexpected(ErrorCode::kUsage, "calibrate: --repeats must be at least 1");
  }
  return {};
}

void append_rows(const Scores& scores, const std::string& world, std::optional<double> rate,
                 const CalibrationOptions& options, std::vector<CalibrationRow>& rows) {
  for (const std::string& estimator : estimator_names()) {
    const auto found = scores.find(estimator);
    const bool asked = options.estimators.empty() ||
                       std::find(options.estimators.begin(), options.estimators.end(), estimator) !=
                           options.estimators.end();
    if (!asked || found == scores.end() || found->second.empty()) continue;
    rows.push_back(found->second.row(world, rate, estimator, options.repeats));
  }
}

}  // namespace

std::vector<std::string> world_names() {
  std::vector<std::string> names;
  for (const World& world : single_worlds()) names.push_back(world.name);
  names.insert(names.end(), {"portfolio", "portfolio-concentrated"});
  for (const auto& [name, world] : release_worlds()) names.push_back(name);
  for (const DriftWorld& world : drift_worlds()) names.push_back(world.name);
  names.emplace_back(kPlantedReleases);
  return names;
}

std::vector<std::string> estimator_names() {
  return {"perfect_judge",  "naive",           "rogan_gladen",   "persistence",   "ratio_pivot",
          "corrected",      "forecast",        "risk_corrected", "risk_forecast", "forecast_half",
          "forecast_pivot", "forecast_fitted", "placebo_widened"};
}

Result<std::vector<CalibrationRow>> calibrate(
    const CalibrationOptions& options, const std::function<void(const std::string&)>& progress) {
  UNDERSTUDY_CHECK(check(options));
  std::vector<CalibrationRow> rows;
  const auto asked = [&](const std::string& name) {
    return options.worlds.empty() ||
           std::find(options.worlds.begin(), options.worlds.end(), name) != options.worlds.end();
  };
  for (const World& world : single_worlds()) {
    if (!asked(world.name)) continue;
    for (const double rate : options.rates) {
      progress(fmt::format("{} at {}", world.name, rate));
      Scores scores;
      for (std::uint64_t repeat = 0; repeat < options.repeats; ++repeat) {
        score_study(world, rate, options, repeat, scores);
      }
      append_rows(scores, world.name, rate, options, rows);
    }
  }
  for (const bool concentrated : {false, true}) {
    const std::string name = concentrated ? "portfolio-concentrated" : "portfolio";
    if (!asked(name)) continue;
    progress(name);
    Scores scores;
    for (std::uint64_t repeat = 0; repeat < options.repeats; ++repeat) {
      score_portfolio(concentrated, options, repeat, scores);
    }
    append_rows(scores, name, std::nullopt, options, rows);
  }
  for (const auto& [name, world] : release_worlds()) {
    if (!asked(name)) continue;
    progress(name);
    Scores scores;
    for (std::uint64_t repeat = 0; repeat < options.repeats; ++repeat) {
      score_release(world, name, options, repeat, scores);
    }
    append_rows(scores, name, std::nullopt, options, rows);
  }
  for (const DriftWorld& world : drift_worlds()) {
    if (!asked(world.name)) continue;
    progress(world.name);
    Scores scores;
    for (std::uint64_t repeat = 0; repeat < options.repeats; ++repeat) {
      score_drift(world, options, repeat, scores);
    }
    append_rows(scores, world.name, std::nullopt, options, rows);
  }
  if (asked(std::string(kPlantedReleases))) {
    progress(std::string(kPlantedReleases));
    for (CalibrationRow& row : calibrate_planted(options.seed, options.repeats)) {
      const bool wanted = options.estimators.empty() ||
                          std::find(options.estimators.begin(), options.estimators.end(),
                                    row.estimator) != options.estimators.end();
      if (wanted) rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace understudy
