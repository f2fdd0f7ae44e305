#include "testing/drift_world.hpp"

#include <cmath>

#include "testing/variates.hpp"

namespace understudy {
namespace {

constexpr int kBehaviors = 12;
constexpr std::uint64_t kWeeklyTurns = 20'000;

ArmSummary turns_of(std::uint64_t turns, std::uint64_t events) {
  ClusterSizes draws;
  draws.add_singletons(1, turns);
  draws.finish();
  ArmVerdicts verdicts(draws);
  if (events > 0) verdicts.add({.singleton = true, .count = events});
  return summarize(std::move(verdicts));
}

}  // namespace

const std::vector<DriftWorld>& drift_worlds() {
  static const std::vector<DriftWorld> worlds = {
      {.name = "drift"},
      {.name = "drift-none", .weekly_log_sd = 0},
      {.name = "drift-whole-log", .weeks = 26, .whole_log = true}};
  return worlds;
}

DriftStudy make_drift_study(const DriftWorld& world, double level, Rng& rng) {
  DriftStudy study;
  std::vector<std::vector<RateCount>> behaviors;
  std::vector<PlaceboError> one_week;
  for (int i = 0; i < kBehaviors; ++i) {
    double log_rate = std::log(10.0) * (-3 + rng.uniform());
    std::vector<RateCount> weeks;
    std::uint64_t events = 0, all_events = 0;
    for (std::size_t week = 0; week < world.weeks; ++week) {
      if (week > 0) log_rate += world.weekly_log_sd * draw_normal(rng);
      events = draw_binomial(rng, kWeeklyTurns, std::min(std::exp(log_rate), 0.5));
      all_events += events;
      weeks.push_back({static_cast<double>(events), static_cast<double>(kWeeklyTurns)});
    }
    const std::vector<PlaceboError> errors = placebo_errors(weeks, 1);
    one_week.insert(one_week.end(), errors.begin(), errors.end());
    behaviors.push_back(std::move(weeks));
    BehaviorInput input;
    input.name = "behavior_" + std::to_string(i);
    input.arm(Arm::kCandidate) = world.whole_log ? turns_of(kWeeklyTurns * world.weeks, all_events)
                                                 : turns_of(kWeeklyTurns, events);
    study.logs.push_back(std::move(input));
    log_rate += world.weekly_log_sd * draw_normal(rng);
    study.next_week.push_back(std::min(std::exp(log_rate), 0.5));
  }
  study.shift =
      world.whole_log ? placebo_shift(behaviors, 1, level) : conformal_shift(one_week, level);
  return study;
}

}  // namespace understudy
