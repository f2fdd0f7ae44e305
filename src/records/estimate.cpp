#include "records/estimate.hpp"

#include "base/assert.hpp"

namespace understudy {
namespace {

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(rounded(*value)) : Json();
}

Json count_or_null(const std::optional<std::uint64_t>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

std::string_view direction_name(Direction direction) {
  switch (direction) {
    case Direction::kUndecided:
      return "undecided";
    case Direction::kUp:
      return "up";
    case Direction::kDown:
      return "down";
  }
  UNDERSTUDY_ASSERT(false);
}

std::string_view alarm_name(Alarm alarm) {
  switch (alarm) {
    case Alarm::kRegression:
      return "regression";
    case Alarm::kTransferredCalibration:
      return "transferred_calibration";
    case Alarm::kFewPositiveClusters:
      return "few_positive_clusters";
    case Alarm::kScreenRelative:
      return "screen_relative";
    case Alarm::kLowEffectiveSample:
      return "low_effective_sample";
    case Alarm::kAllUngradable:
      return "all_ungradable";
    case Alarm::kMissingVerdicts:
      return "missing_verdicts";
    case Alarm::kPartialScope:
      return "partial_scope";
    case Alarm::kNoRecallLabels:
      return "no_recall_labels";
    case Alarm::kRecallChannelsDiffer:
      return "recall_channels_differ";
    case Alarm::kOneCluster:
      return "one_cluster";
    case Alarm::kNoDraws:
      return "no_draws";
    case Alarm::kStaleRecall:
      return "stale_recall";
  }
  UNDERSTUDY_ASSERT(false);
}

Json to_json(const Rate& rate) {
  return {{"per_100k", number_or_null(rate.per_100k)},
          {"lo", number_or_null(rate.lo)},
          {"hi", number_or_null(rate.hi)},
          {"level", rounded(rate.level)},
          {"n", count_or_null(rate.n)},
          {"k", count_or_null(rate.k)},
          {"method", rate.method.empty() ? Json() : Json(rate.method)}};
}

Json to_json(const VerdictCounts& counts) {
  return {{"present", counts.present},
          {"absent", counts.absent},
          {"ungradable", counts.ungradable},
          {"not_graded", counts.not_graded},
          {"verified", counts.verified}};
}

Json to_json(const RecallChannel& channel) {
  const auto text = [](const std::string& name) { return name.empty() ? Json() : Json(name); };
  return {{"channel", channel.channel},
          {"judge", text(channel.judge)},
          {"source_model", text(channel.source_model)},
          {"positives", channel.positives},
          {"flagged", channel.flagged},
          {"lo", number_or_null(channel.lo)},
          {"hi", number_or_null(channel.hi)},
          {"transferred", channel.transferred},
          {"stale", channel.stale}};
}

Json to_json(const BehaviorEstimate& estimate) {
  Json verdicts = Json::object();
  Json document = {{"name", estimate.name}, {"version", estimate.version}, {"hash", estimate.hash}};
  for (std::size_t i = 0; i < kArmCount; ++i) {
    const std::string name(arm_name(static_cast<Arm>(i)));
    const auto& arm = estimate.arms[i];
    if (!arm) continue;
    verdicts[name] = to_json(arm->verdicts);
    document[name] = {{"screen", to_json(arm->screen)},
                      {"verified", to_json(arm->verified)},
                      {"corrected", to_json(arm->corrected)}};
  }
  document["verdicts"] = std::move(verdicts);
  document["forecast"] = to_json(estimate.forecast);
  const Change& change = estimate.change;
  document["change"] = {{"ratio", number_or_null(change.ratio)},
                        {"lo", number_or_null(change.lo)},
                        {"hi", number_or_null(change.hi)},
                        {"p_value", number_or_null(change.p_value)},
                        {"q_value", number_or_null(change.q_value)},
                        {"p_holm", number_or_null(change.p_holm)},
                        {"direction", direction_name(change.direction)},
                        {"paired", change.paired}};
  document["miss_bound_per_100k"] = number_or_null(estimate.miss_bound_per_100k);
  document["previous_per_100k"] = number_or_null(estimate.previous_per_100k);
  document["shrinkage"] = number_or_null(estimate.shrinkage);
  if (estimate.transfer_p_value) {
    document["calibration_transfer"] = {{"p_value", number_or_null(estimate.transfer_p_value)},
                                        {"power", number_or_null(estimate.transfer_power)}};
  }
  if (!estimate.recall.empty()) {
    Json& list = document["recall"] = Json::array();
    for (const RecallChannel& channel : estimate.recall) list.push_back(to_json(channel));
  }
  Json alarms = Json::array();
  for (const Alarm alarm : estimate.alarms) alarms.push_back(alarm_name(alarm));
  document["alarms"] = std::move(alarms);
  return document;
}

}  // namespace understudy
