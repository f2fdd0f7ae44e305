#include "forecast/error_split.hpp"

#include <algorithm>
#include <cmath>

#include "forecast/predictive.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

using Part = std::optional<SplitPart> SplitRow::*;

double events(const Rate& rate) {
  if (!rate.per_100k || !rate.n) return 0;
  return *rate.per_100k / 1e5 * static_cast<double>(*rate.n);
}

SplitPart difference(const LogCount& a, const LogCount& b) {
  return {a.log - b.log, std::sqrt(a.variance + b.variance)};
}

SplitPart minus(const SplitPart& whole, const SplitPart& part) {
  return {whole.log - part.log, std::hypot(whole.sd, part.sd)};
}

// What labels add to the variance of ln rate: the corrected interval against the screen's own.
// Where nothing corrects the screen, nothing is known of it, which is not "nothing is added".
std::optional<double> grader_variance(const Rate& corrected, const Rate& screen) {
  if (corrected.method == screen.method || corrected.method.starts_with("screen_relative")) {
    return std::nullopt;
  }
  const auto with = log_count(corrected), without = log_count(screen);
  if (!with || !without) return std::nullopt;
  return std::max(with->variance - without->variance, 0.0);
}

std::optional<SplitRow> split_row(const SplitInput& input, double events_min) {
  const auto replayed = log_count(input.candidate), actual = log_count(input.actual);
  if (!replayed || !actual || !input.forecast.per_100k ||
      std::max(events(input.candidate), events(input.actual)) < events_min) {
    return std::nullopt;
  }
  SplitRow row;
  row.behavior = input.behavior;
  // As in scoring: a forecast of nothing is half an event in the actual draws.
  const double floor = 0.5 / static_cast<double>(*input.actual.n);
  const double forecast = std::log(std::max(*input.forecast.per_100k / 1e5, floor));
  row.total = SplitPart{forecast - actual->log, std::sqrt(actual->variance)};
  row.shrinkage = SplitPart{forecast - replayed->log, std::sqrt(replayed->variance)};
  row.sampling_sd = std::sqrt(replayed->variance + actual->variance);
  const auto own = log_count(input.own_replay);
  const auto deployed = log_count(input.deployed), replay = log_count(input.deployed_replay);
  if (deployed && replay) {
    row.environment = difference(*replay, *deployed);
  } else if (own) {
    row.environment = difference(*own, *actual);
  }
  if (own) row.prefix_shift = difference(*replayed, *own);
  const SplitPart rest = difference(own ? *own : *replayed, *actual);
  if (deployed && replay) {
    row.remainder = minus(rest, *row.environment);
  } else if (!own) {
    row.remainder = rest;
  }
  const auto candidate = grader_variance(input.candidate, input.candidate_screen);
  const auto production = grader_variance(input.actual, input.actual_screen);
  if (candidate || production) {
    row.grader_sd = std::sqrt(candidate.value_or(0) + production.value_or(0));
  }
  return row;
}

std::optional<RandomEffects> pooled(const std::vector<SplitRow>& rows, Part part, double level) {
  std::vector<double> values, variances;
  for (const SplitRow& row : rows) {
    if (!(row.*part)) continue;
    values.push_back((row.*part)->log);
    variances.push_back((row.*part)->sd * (row.*part)->sd);
  }
  return random_effects(values, variances, level);
}

struct RootMeanSquare {
  std::optional<double> value, lo, hi;
};

// 1 / variance is a count of events, whose own chance gives the interval.
RootMeanSquare root_mean_square(const std::vector<SplitRow>& rows,
                                std::optional<double> SplitRow::*part, double level) {
  double sum = 0, cubes = 0, n = 0;
  for (const SplitRow& row : rows) {
    if (!(row.*part)) continue;
    const double variance = *(row.*part) * *(row.*part);
    sum += variance;
    cubes += variance * variance * variance;
    n += 1;
  }
  if (n == 0) return {};
  const double reach = normal_quantile(1 - (1 - level) / 2) * std::sqrt(cubes);
  return {std::sqrt(sum / n), std::sqrt(std::max(sum - reach, 0.0) / n),
          std::sqrt((sum + reach) / n)};
}

Json number(const std::optional<double>& value) {
  return value ? Json(rounded(*value)) : Json();
}

Json part_json(const std::optional<SplitPart>& part, double level) {
  if (!part) return nullptr;
  const Interval interval = part->interval(level);
  return {{"log", rounded(part->log)}, {"lo", rounded(interval.lo)}, {"hi", rounded(interval.hi)}};
}

Json pooled_json(const std::optional<RandomEffects>& pooled) {
  if (!pooled) return nullptr;
  return {{"mean_log", rounded(pooled->mean)},        {"lo", rounded(pooled->mean_interval.lo)},
          {"hi", rounded(pooled->mean_interval.hi)},  {"sd", rounded(pooled->sd)},
          {"sd_lo", rounded(pooled->sd_interval.lo)}, {"sd_hi", rounded(pooled->sd_interval.hi)}};
}

}  // namespace

Interval SplitPart::interval(double level) const {
  const double reach = normal_quantile(1 - (1 - level) / 2) * sd;
  return {log - reach, log + reach};
}

ErrorSplit split_errors(std::span<const SplitInput> inputs, double level, double events_min) {
  ErrorSplit split;
  split.level = level;
  bool by_deployed = false, by_own = false;
  for (const SplitInput& input : inputs) {
    auto row = split_row(input, events_min);
    if (!row) continue;
    const bool has_replay = log_count(input.deployed_replay) && log_count(input.deployed);
    by_deployed = by_deployed || has_replay;
    by_own = by_own || (!has_replay && row->environment);
    split.rows.push_back(std::move(*row));
  }
  split.environment_source = by_deployed ? "deployed_replay"
                             : by_own    ? "candidate_on_own_prefixes"
                                         : "";
  split.total = pooled(split.rows, &SplitRow::total, level);
  split.shrinkage = pooled(split.rows, &SplitRow::shrinkage, level);
  split.environment = pooled(split.rows, &SplitRow::environment, level);
  split.prefix_shift = pooled(split.rows, &SplitRow::prefix_shift, level);
  split.remainder = pooled(split.rows, &SplitRow::remainder, level);
  const auto sampling = root_mean_square(split.rows, &SplitRow::sampling_sd, level);
  split.sampling_sd = sampling.value;
  split.sampling_sd_lo = sampling.lo;
  split.sampling_sd_hi = sampling.hi;
  const auto grader = root_mean_square(split.rows, &SplitRow::grader_sd, level);
  split.grader_sd = grader.value;
  split.grader_sd_lo = grader.lo;
  split.grader_sd_hi = grader.hi;
  return split;
}

Json to_json(const ErrorSplit& split) {
  Json rows = Json::array();
  for (const SplitRow& row : split.rows) {
    rows.push_back({{"behavior", row.behavior},
                    {"total", part_json(row.total, split.level)},
                    {"shrinkage", part_json(row.shrinkage, split.level)},
                    {"environment", part_json(row.environment, split.level)},
                    {"prefix_shift", part_json(row.prefix_shift, split.level)},
                    {"remainder", part_json(row.remainder, split.level)},
                    {"sampling_sd", number(row.sampling_sd)},
                    {"grader_sd", number(row.grader_sd)}});
  }
  return {{"level", rounded(split.level)},
          {"environment_source",
           split.environment_source.empty() ? Json() : Json(split.environment_source)},
          {"pooled",
           {{"total", pooled_json(split.total)},
            {"shrinkage", pooled_json(split.shrinkage)},
            {"environment", pooled_json(split.environment)},
            {"prefix_shift", pooled_json(split.prefix_shift)},
            {"remainder", pooled_json(split.remainder)},
            {"sampling",
             {{"sd", number(split.sampling_sd)},
              {"sd_lo", number(split.sampling_sd_lo)},
              {"sd_hi", number(split.sampling_sd_hi)}}},
            {"grader",
             {{"sd", number(split.grader_sd)},
              {"sd_lo", number(split.grader_sd_lo)},
              {"sd_hi", number(split.grader_sd_hi)}}}}},
          {"rows", std::move(rows)}};
}

}  // namespace understudy
