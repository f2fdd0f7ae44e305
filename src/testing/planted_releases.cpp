#include "testing/planted_releases.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "base/hash.hpp"
#include "estimate/estimate.hpp"
#include "forecast/error_split.hpp"
#include "forecast/ledger.hpp"
#include "forecast/predictive.hpp"
#include "forecast/scoring.hpp"
#include "testing/variates.hpp"

namespace understudy {
namespace {

constexpr int kBehaviors = 20;
constexpr std::uint64_t kLogged = 200'000;    // turns of Y's logs, and of X's production
constexpr std::uint64_t kReplayed = 100'000;  // draws of each replay
constexpr double kShiftSd = 0.3;
const double kBias = std::log(1.5);

struct Planted {
  double old = 0, candidate = 0, shift = 0;
  std::uint64_t logged = 0, replay = 0, fresh = 0, own = 0, production = 0;

  // What counts would be without chance.
  [[nodiscard]] double fresh_mean() const {
    return static_cast<double>(kReplayed) * candidate * std::exp(kBias);
  }
  [[nodiscard]] double production_mean() const {
    return static_cast<double>(kLogged) * candidate * std::exp(shift);
  }
};

std::uint64_t draw(Rng& rng, double mean, std::uint64_t most) {
  return std::min(draw_poisson(rng, mean), most);
}

std::vector<Planted> plant_release(Rng& rng) {
  std::vector<Planted> out;
  for (int i = 0; i < kBehaviors; ++i) {
    Planted one;
    one.old = std::pow(10, -4 + 2 * rng.uniform());
    const double spread = rng.uniform() < 0.6 ? 0.15 : 1.0;
    one.candidate = std::min(one.old * std::exp(spread * draw_normal(rng)), 0.2);
    one.shift = kShiftSd * draw_normal(rng);
    const double old_mean = static_cast<double>(kReplayed) * one.old * std::exp(kBias);
    one.logged = draw(rng, static_cast<double>(kLogged) * one.old, kLogged);
    one.replay = draw(rng, old_mean, kReplayed);
    one.fresh = draw(rng, one.fresh_mean(), kReplayed);
    one.own = draw(rng, one.fresh_mean() * std::exp(one.shift), kReplayed);
    one.production = draw(rng, one.production_mean(), kLogged);
    out.push_back(one);
  }
  return out;
}

double per_100k(std::uint64_t hits, std::uint64_t draws) {
  return 1e5 * static_cast<double>(hits) / static_cast<double>(draws);
}

std::string name_of(std::size_t behavior) {
  return "behavior_" + std::to_string(behavior);
}

void add_history(const std::vector<Planted>& release, const std::string& name,
                 std::vector<HistoryRow>& rows) {
  for (std::size_t i = 0; i < release.size(); ++i) {
    const Planted& one = release[i];
    rows.push_back({.release = name,
                    .behavior = name_of(i),
                    .previous_per_100k = per_100k(one.logged, kLogged),
                    .candidate_replayed_per_100k = per_100k(one.fresh, kReplayed),
                    .candidate_draws = kReplayed,
                    .deployed_replayed_per_100k = per_100k(one.replay, kReplayed),
                    .deployed_draws = kReplayed,
                    .actual_per_100k = per_100k(one.production, kLogged)});
  }
}

BehaviorInput input_of(const Planted& one, std::size_t behavior) {
  BehaviorInput input;
  input.name = name_of(behavior);
  input.arm(Arm::kDeployed) = counted_arm(per_100k(one.logged, kLogged), kLogged);
  input.arm(Arm::kDeployedReplay) = counted_arm(per_100k(one.replay, kReplayed), kReplayed);
  input.arm(Arm::kCandidate) = counted_arm(per_100k(one.fresh, kReplayed), kReplayed);
  return input;
}

Rate measured(std::uint64_t hits, std::uint64_t draws) {
  BehaviorInput input;
  input.arm(Arm::kCandidate) = counted_arm(per_100k(hits, draws), draws);
  return estimate_behaviors({&input, 1}, {}).front().arm(Arm::kCandidate)->corrected;
}

class PlantedScore {
 public:
  void add(std::uint64_t seed, std::uint64_t repeat) {
    Rng rng(hash64({"calibrate", std::to_string(seed), kPlantedReleases}), repeat);
    std::vector<HistoryRow> history;
    for (const char* name : {"past_0", "past_1", "past_2"}) {
      add_history(plant_release(rng), name, history);
    }
    const std::vector<Planted> release = plant_release(rng);
    std::vector<BehaviorInput> inputs;
    for (std::size_t i = 0; i < release.size(); ++i) inputs.push_back(input_of(release[i], i));
    const auto fit = fit_history(history);
    const auto estimates = estimate_behaviors(inputs, {.history = fit});
    const PredictiveSpread spread = predictive_spread(fit, {}, {});
    std::vector<ForecastActual> scored;
    std::vector<SplitInput> split;
    for (std::size_t i = 0; i < release.size(); ++i) {
      const Planted& one = release[i];
      const Rate forecast = predictive_rate(estimates[i].forecast, spread);
      const Rate actual = measured(one.production, kLogged);
      const Rate& deployed = estimates[i].arm(Arm::kDeployed)->corrected;
      const Rate& candidate = estimates[i].arm(Arm::kCandidate)->corrected;
      scored.push_back({.behavior = name_of(i),
                        .forecast = forecast,
                        .actual = actual,
                        .baselines = {{"persistence", deployed}}});
      split.push_back({.behavior = name_of(i),
                       .forecast = forecast,
                       .candidate = candidate,
                       .deployed = deployed,
                       .deployed_replay = estimates[i].arm(Arm::kDeployedReplay)->corrected,
                       .own_replay = measured(one.own, kReplayed),
                       .actual = actual,
                       .candidate_screen = candidate,
                       .actual_screen = actual});
    }
    add_scores(score_forecasts(scored));
    add_split(split_errors(split), release);
    ++repeats_;
  }

  [[nodiscard]] std::vector<CalibrationRow> rows() const {
    const auto share = [&](double count) { return count / static_cast<double>(repeats_); };
    CalibrationRow forecast, persistence;
    forecast.world = persistence.world = kPlantedReleases;
    forecast.repeats = persistence.repeats = repeats_;
    forecast.estimator = "forecast";
    persistence.estimator = "persistence";
    std::tie(forecast.median_error, forecast.p90_error) = quantiles(errors_);
    std::tie(persistence.median_error, persistence.p90_error) = quantiles(old_errors_);
    forecast.coverage = covered_ / behaviors_;
    forecast.beats_persistence = share(beats_);
    for (const auto& [name, held] : held_) forecast.components[name] = share(held);
    return {persistence, forecast};
  }

 private:
  static std::pair<double, double> quantiles(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto at = [&](double p) {
      return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1))];
    };
    return {at(0.5), at(0.9)};
  }

  void add_scores(const ForecastScores& scores) {
    for (const ScoreRow& row : scores.rows) {
      if (row.covered) {
        behaviors_ += 1;
        covered_ += *row.covered ? 1 : 0;
      }
      if (!row.sme) continue;
      errors_.push_back(*row.sme);
      old_errors_.push_back(row.baseline_sme.at("persistence"));
    }
    const PairedTest& test = scores.summary.tests.at(0);
    beats_ += test.mean_log_error < test.baseline_mean_log_error ? 1 : 0;
  }

  // Planted: a bias that is the same everywhere, a shift that differs, chance, and nothing else.
  void add_split(const ErrorSplit& split, const std::vector<Planted>& release) {
    const auto holds = [](const Interval& interval, double truth) {
      return interval.lo <= truth && truth <= interval.hi ? 1.0 : 0.0;
    };
    held_["environment_mean"] += holds(split.environment->mean_interval, kBias);
    held_["environment_sd"] += holds(split.environment->sd_interval, 0);
    held_["prefix_shift_mean"] += holds(split.prefix_shift->mean_interval, 0);
    held_["prefix_shift_sd"] += holds(split.prefix_shift->sd_interval, kShiftSd);
    held_["remainder_mean"] += holds(split.remainder->mean_interval, 0);
    held_["remainder_sd"] += holds(split.remainder->sd_interval, 0);
    double variance = 0, rows = 0;
    for (const SplitRow& row : split.rows) {
      const Planted& one = release[static_cast<std::size_t>(std::stoi(row.behavior.substr(9)))];
      variance += 1 / one.fresh_mean() + 1 / one.production_mean();
      rows += 1;
    }
    held_["sampling_sd"] +=
        holds({*split.sampling_sd_lo, *split.sampling_sd_hi}, std::sqrt(variance / rows));
  }

  std::vector<double> errors_, old_errors_;
  double behaviors_ = 0, covered_ = 0, beats_ = 0;
  std::map<std::string, double> held_;
  std::uint64_t repeats_ = 0;
};

}  // namespace

std::vector<CalibrationRow> calibrate_planted(std::uint64_t seed, std::uint64_t repeats) {
  PlantedScore score;
  for (std::uint64_t repeat = 0; repeat < repeats; ++repeat) score.add(seed, repeat);
  return score.rows();
}

}  // namespace understudy
