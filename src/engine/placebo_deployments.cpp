#include "engine/placebo_deployments.hpp"

#include <algorithm>
#include <unordered_map>

#include "engine/judge_grading.hpp"
#include "engine/verification.hpp"

namespace understudy {
namespace {

constexpr std::int64_t kSecondsPerDay = 86'400;
// A wrong clock in one record must not make ten thousand empty weeks, nor leave all others out:
// what lies further than half of this from the middle conversation has no period.
constexpr std::int64_t kPeriodsMax = 1000;
constexpr std::int64_t kTimeMax = 1'000'000'000'000'000;  // seconds; sums cannot overflow

struct TimeRange {
  std::int64_t first = 0, last = -1;
  [[nodiscard]] bool holds(std::int64_t time_s) const { return first <= time_s && time_s <= last; }
};

// Of the times within reach of the middle one.
TimeRange usable_times(std::vector<std::int64_t> times, std::int64_t reach_s) {
  if (times.empty()) return {};
  std::sort(times.begin(), times.end());
  const std::int64_t middle = std::clamp(times[times.size() / 2], -kTimeMax, kTimeMax);
  const auto first = std::lower_bound(times.begin(), times.end(), middle - reach_s);
  return {first == times.end() ? middle : *first, middle + reach_s};
}

// Units of each period, with what the estimators need to know of all of them.
struct Period {
  std::vector<std::size_t> units;
  ClusterSizes sizes;
};

std::vector<Period> split_by_period(const Units& frame, const std::vector<std::int64_t>& periods) {
  std::int64_t last = -1;
  for (const std::int64_t period : periods) last = std::max(last, period);
  std::vector<Period> split(static_cast<std::size_t>(last + 1));
  for (std::size_t i = 0; i < periods.size(); ++i) {
    if (periods[i] < 0) continue;
    Period& period = split[static_cast<std::size_t>(periods[i])];
    period.units.push_back(i);
    period.sizes.add(frame.clusters[i], frame.weight(i));
  }
  for (Period& period : split) period.sizes.finish();
  return split;
}

// A behavior's effective counts by period.
std::vector<RateCount> counts_of(const Screen& screen, const Units& frame,
                                 const std::vector<std::int64_t>& periods,
                                 const std::vector<Period>& split) {
  std::vector<ArmVerdicts> verdicts;
  verdicts.reserve(split.size());
  for (const Period& period : split) verdicts.emplace_back(period.sizes);
  for (const SparseVerdict& entry : screen.verdicts) {
    const auto unit = static_cast<std::size_t>(entry.position);
    if (periods[unit] < 0) continue;
    verdicts[static_cast<std::size_t>(periods[unit])].add(
        entry.verdict, {.cluster = frame.clusters[unit], .weight = frame.weight(unit)});
  }
  std::vector<RateCount> counts;
  for (ArmVerdicts& of_period : verdicts) {
    counts.push_back(period_count(summarize(std::move(of_period))));
  }
  return counts;
}

}  // namespace

Result<std::vector<std::int64_t>> periods_of(StudyStore& store, const Units& frame,
                                             std::uint32_t period_days) {
  UNDERSTUDY_ASSERT(period_days > 0);
  std::unordered_map<std::int64_t, std::int64_t> times;
  std::vector<std::int64_t> all;
  UNDERSTUDY_CHECK(store.for_each_frame_time(
      [&](std::int64_t conversation, std::optional<std::int64_t> time_s) -> Result<void> {
        if (!time_s) return {};
        times.emplace(conversation, *time_s);
        all.push_back(*time_s);
        return {};
      }));
  std::vector<std::int64_t> periods(frame.keys.size(), -1);
  const std::int64_t length = std::int64_t{period_days} * kSecondsPerDay;
  const TimeRange usable = usable_times(std::move(all), kPeriodsMax / 2 * length);
  for (std::size_t i = 0; i < frame.keys.size(); ++i) {
    const auto found = times.find(unpack_draw_key(frame.keys[i]).prefix);
    if (found == times.end() || !usable.holds(found->second)) continue;
    periods[i] = (found->second - usable.first) / length;
  }
  return periods;
}

Result<PlaceboDeployments> placebo_deployments(Study& study, const std::vector<Behavior>& behaviors,
                                               const Units& frame) {
  const StudyConfig::Placebo& config = study.config.placebo;
  PlaceboDeployments placebo;
  placebo.detail = {{"period_days", config.period_days},
                    {"horizon", config.horizon},
                    {"periods", 0},
                    {"untimed", 0},
                    {"errors", 0},
                    {"level", nullptr},
                    {"log_sd", nullptr},
                    {"reason", nullptr}};
  if (config.period_days == 0) {
    placebo.detail["reason"] = "off";
    return placebo;
  }
  UNDERSTUDY_TRY(const auto periods, periods_of(study.store, frame, config.period_days));
  const std::vector<Period> split = split_by_period(frame, periods);
  placebo.detail["periods"] = split.size();
  placebo.detail["untimed"] = std::count(periods.begin(), periods.end(), -1);
  if (split.size() < 2) {
    placebo.detail["reason"] = split.empty() ? "no_times" : "one_period";
    return placebo;
  }
  std::vector<std::vector<RateCount>> counts;
  for (const Behavior& behavior : behaviors) {
    if (is_screened_by_judge(behavior)) continue;
    UNDERSTUDY_TRY(const std::int64_t grader, rule_grader(study.store, behavior));
    UNDERSTUDY_TRY(const Screen screen, rule_verdicts(study.store, grader, Arm::kDeployed));
    counts.push_back(counts_of(screen, frame, periods, split));
  }
  placebo.spread = placebo_shift(counts, config.horizon, 0.95);
  if (!placebo.spread) {
    placebo.detail["reason"] = "too_few_events_or_periods";
    return placebo;
  }
  placebo.detail["errors"] = placebo.spread->errors;
  placebo.detail["level"] = rounded(placebo.spread->level);
  placebo.detail["log_sd"] = rounded(placebo.spread->log_sd);
  return placebo;
}

}  // namespace understudy
