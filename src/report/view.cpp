#include "report/view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "base/json.hpp"
#include "base/text.hpp"
#include "report/numbers.hpp"

namespace understudy {
namespace {

constexpr std::array<std::string_view, 4> kArms = {"deployed", "deployed_replay", "candidate",
                                                   "production"};

// A reader of documents: whatever is absent, null or of another type is missing, not an error,
// because older and newer reports differ in their optional members.
const Json& member(const Json& object, std::string_view key) {
  static const Json missing = nullptr;
  if (!object.is_object()) return missing;
  const auto found = object.find(key);
  return found == object.end() ? missing : *found;
}

std::optional<double> number(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

std::optional<std::uint64_t> count(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0) return std::nullopt;
  return value.get<std::uint64_t>();
}

std::string text(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  return {};
}

ReasonCounts reasons(const Json& object, std::string_view key) {
  ReasonCounts out;
  const Json& counts = member(object, key);
  if (!counts.is_object()) return out;
  for (auto it = counts.begin(); it != counts.end(); ++it) {
    const auto value = count(counts, it.key());
    if (value && *value > 0) out.emplace_back(it.key(), *value);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

std::optional<RateView> rate(const Json& object, std::string_view key) {
  return rate_view(member(object, key));
}

ArmRates arm_rates(const Json& behavior, std::string_view arm) {
  const Json& rates = member(behavior, arm);
  return {rate(rates, "screen"), rate(rates, "verified"), rate(rates, "corrected")};
}

std::optional<ChangeView> change(const Json& behavior) {
  const Json& value = member(behavior, "change");
  if (!value.is_object()) return std::nullopt;
  ChangeView out;
  out.ratio = number(value, "ratio");
  out.lo = number(value, "lo");
  out.hi = number(value, "hi");
  out.p_value = number(value, "p_value");
  out.q_value = number(value, "q_value");
  out.direction = text(value, "direction");
  if (out.direction != "up" && out.direction != "down") out.direction = "undecided";
  out.paired = member(value, "paired") == true;
  return out;
}

VerdictTally verdict_counts(const Json& counts) {
  VerdictTally out;
  out.present = count(counts, "present").value_or(0);
  out.absent = count(counts, "absent").value_or(0);
  out.verified = count(counts, "verified").value_or(0);
  out.ungradable = reasons(counts, "ungradable");
  out.not_graded = reasons(counts, "not_graded");
  return out;
}

struct Layer {
  std::string_view name;
  std::optional<RateView> ArmRates::*rate;
};
constexpr std::array<Layer, 3> kBestFirst = {{{"corrected", &ArmRates::corrected},
                                              {"verified", &ArmRates::verified},
                                              {"screen", &ArmRates::screen}}};

// Two arms are comparable only in the same layer: the best that both have. With one arm alone, its
// best. A forecast replaces the candidate's rate of the chosen layer.
void choose_headline(BehaviorView& behavior) {
  for (const Layer& layer : kBestFirst) {
    const auto& now = behavior.deployed.*layer.rate;
    const auto& next = behavior.candidate.*layer.rate;
    if (!now || !next) continue;
    behavior.now = now;
    behavior.next = next;
    behavior.layer = layer.name;
    break;
  }
  for (const Layer& layer : kBestFirst) {
    if (!behavior.layer.empty()) break;
    const auto& now = behavior.deployed.*layer.rate;
    const auto& next = behavior.candidate.*layer.rate;
    if (!now && !next) continue;
    behavior.now = now;
    behavior.next = next;
    behavior.layer = layer.name;
  }
  for (const Layer& layer : kBestFirst) {
    if (behavior.layer == layer.name) behavior.now_replay = behavior.deployed_replay.*layer.rate;
  }
  behavior.unshrunk = behavior.next;
  if (behavior.forecast) behavior.next = behavior.forecast;
}

Finding finding_of(const BehaviorView& behavior) {
  const VerdictTally* verdicts = behavior.verdicts_of("candidate");
  const bool graded = verdicts == nullptr || verdicts->present + verdicts->absent > 0;
  if (!behavior.next || !graded) return Finding::kNotMeasured;
  if (behavior.change && behavior.change->direction == "up") return Finding::kWorse;
  if (behavior.change && behavior.change->direction == "down") return Finding::kBetter;
  const auto& screen = behavior.candidate.screen;
  const bool seen = screen && screen->k ? *screen->k > 0 : behavior.next->k.value_or(1) > 0;
  return seen ? Finding::kUndecided : Finding::kUnseen;
}

// Worst first: by what the change is at least, then by the rate itself; names settle ties.
bool reads_before(const BehaviorView& a, const BehaviorView& b) {
  const auto badness = [](const BehaviorView& behavior) {
    const double floor = behavior.next ? behavior.next->hi.value_or(0) : 0;
    if (!behavior.change) return std::pair(0.0, floor);
    switch (behavior.finding) {
      case Finding::kWorse:
        return std::pair(behavior.change->lo.value_or(0), floor);
      case Finding::kBetter:
        return std::pair(-behavior.change->hi.value_or(0), floor);
      default:
        return std::pair(behavior.change->ratio.value_or(0), floor);
    }
  };
  if (a.finding != b.finding) return a.finding < b.finding;
  const auto left = badness(a);
  const auto right = badness(b);
  if (left != right) return left > right;
  return a.name < b.name;
}

RecallView recall_view(const Json& channel) {
  RecallView out;
  out.channel = text(channel, "channel");
  out.judge = text(channel, "judge");
  out.source_model = text(channel, "source_model");
  out.positives = count(channel, "positives").value_or(0);
  out.flagged = count(channel, "flagged").value_or(0);
  out.lo = number(channel, "lo");
  out.hi = number(channel, "hi");
  out.transferred = member(channel, "transferred") == true;
  out.stale = member(channel, "stale") == true;
  return out;
}

BehaviorView behavior_view(const Json& json) {
  BehaviorView out;
  out.name = text(json, "name");
  out.title = text(json, "title");
  out.group = text(json, "group");
  out.definition = text(json, "definition");
  out.decided_by = text(json, "decided_by");
  out.version = text(json, "version");
  out.hash = text(json, "hash");
  for (const std::string_view arm : kArms) {
    const Json& counts = member(member(json, "verdicts"), arm);
    if (counts.is_object()) out.verdicts.emplace_back(arm, verdict_counts(counts));
  }
  out.deployed = arm_rates(json, "deployed");
  out.deployed_replay = arm_rates(json, "deployed_replay");
  out.candidate = arm_rates(json, "candidate");
  out.forecast = rate(json, "forecast");
  out.change = change(json);
  out.miss_bound_per_100k = number(json, "miss_bound_per_100k");
  if (member(json, "recall").is_array()) {
    for (const Json& channel : member(json, "recall")) out.recall.push_back(recall_view(channel));
  }
  if (member(json, "alarms").is_array()) {
    for (const Json& alarm : member(json, "alarms")) {
      if (alarm.is_string()) out.alarms.push_back(alarm.get<std::string>());
    }
  }
  choose_headline(out);
  out.finding = finding_of(out);
  return out;
}

StudyView study_view(const Json& study) {
  StudyView out;
  out.name = text(study, "name");
  out.seed = text(study, "seed");
  out.design = text(study, "design");
  out.cluster = text(study, "cluster");
  out.source = text(study, "source");
  out.level = number(study, "level").value_or(0.95);
  out.window_tokens = count(study, "window_tokens");
  out.prefix_tokens_max = count(study, "prefix_tokens_max");
  out.draws_per_prefix = count(study, "draws_per_prefix");
  out.rules = count(member(study, "graders"), "rules");
  out.judges = count(member(study, "graders"), "judges");
  return out;
}

// What weights to another traffic leave of the sample.
std::string traffic_text(const Json& target) {
  const auto share = number(target, "effective_share");
  const auto draws = number(target, "effective_draws");
  if (!share || !draws) return {};
  return fmt::format("weighted to the target traffic ({}): an effective sample of {}, {:.0f}%",
                     text(target, "method"), with_commas(static_cast<std::uint64_t>(*draws + 0.5)),
                     100 * *share);
}

void read_counts(const Json& report, ReportView& view) {
  const Json& counts = member(report, "counts");
  const Json& conversations = member(counts, "conversations");
  view.read = count(conversations, "read");
  view.eligible = count(conversations, "eligible");
  view.clusters = count(conversations, "clusters");
  view.excluded = reasons(conversations, "excluded");
  view.rejected = reasons(conversations, "rejected");
  const Json& prefixes = member(counts, "prefixes");
  view.turns = count(prefixes, "turns");
  view.prefixes_excluded = reasons(prefixes, "excluded");
  view.frame = count(prefixes, "frame");
  view.sampled = count(prefixes, "sampled");
  for (const std::string_view name : kArms) {
    const Json& draws = member(member(counts, "draws"), name);
    if (!draws.is_object()) continue;
    ArmView arm;
    arm.name = name;
    arm.model = text(member(member(member(report, "study"), "arms"), name), "model");
    arm.draws.requested = count(draws, "requested").value_or(0);
    arm.draws.completed = count(draws, "completed").value_or(0);
    arm.draws.failed = reasons(draws, "failed");
    view.arms.push_back(std::move(arm));
  }
}

void add_needed(ReportView& view) {
  const double frame = static_cast<double>(view.frame.value_or(0));
  const double sampled = static_cast<double>(view.sampled.value_or(0));
  for (BehaviorView& behavior : view.behaviors) {
    if (behavior.finding != Finding::kUndecided || !behavior.now || sampled == 0) continue;
    behavior.needed =
        needed_prefixes(*behavior.now, *behavior.next, sampled, std::max(0.0, frame - sampled));
  }
}

}  // namespace

std::uint64_t sum(const ReasonCounts& counts) {
  return std::accumulate(
      counts.begin(), counts.end(), std::uint64_t{0},
      [](std::uint64_t total, const auto& entry) { return total + entry.second; });
}

std::uint64_t VerdictTally::total() const {
  return present + absent + sum(ungradable) + sum(not_graded);
}

const VerdictTally* BehaviorView::verdicts_of(std::string_view arm) const {
  for (const auto& [verdict_arm, counts] : verdicts) {
    if (verdict_arm == arm) return &counts;
  }
  return nullptr;
}

const ArmView* ReportView::arm(std::string_view name) const {
  for (const ArmView& candidate : arms) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

std::optional<RateView> rate_view(const Json& value) {
  if (!value.is_object()) return std::nullopt;
  RateView out;
  out.per_100k = number(value, "per_100k");
  out.lo = number(value, "lo");
  out.hi = number(value, "hi");
  out.level = number(value, "level").value_or(0.95);
  out.n = number(value, "n");
  out.k = number(value, "k");
  out.method = text(value, "method");
  if (!out.per_100k && !out.hi) return std::nullopt;
  return out;
}

Result<ReportView> report_view(const Json& report) {
  if (text(report, "schema") != "understudy.report/1") {
    return unexpected(ErrorCode::kMismatch,
                      "this is not a report that this version can show: \"schema\" must be "
                      "\"understudy.report/1\"");
  }
  if (!member(report, "behaviors").is_array()) {
    return unexpected(ErrorCode::kMismatch, "the report has no list \"behaviors\"");
  }
  ReportView view;
  view.version = text(report, "understudy_version");
  view.manifest_hash = text(report, "manifest_hash");
  view.unit = text(report, "unit");
  view.study = study_view(member(report, "study"));
  view.study.traffic = traffic_text(member(member(report, "shift"), "target"));
  read_counts(report, view);
  for (const Json& behavior : member(report, "behaviors")) {
    view.behaviors.push_back(behavior_view(behavior));
  }
  std::sort(view.behaviors.begin(), view.behaviors.end(), reads_before);
  add_needed(view);
  if (member(report, "limits").is_array()) {
    for (const Json& limit : member(report, "limits")) {
      if (limit.is_string()) view.limits.push_back({"", limit.get<std::string>()});
      if (limit.is_object()) view.limits.push_back({text(limit, "code"), text(limit, "text")});
    }
  }
  return view;
}

std::vector<std::string> count_contradictions(const ReportView& view) {
  std::vector<std::string> out;
  if (view.read && view.eligible) {
    // Whether unreadable records count as read differs by format: both ways must leave nothing.
    const std::uint64_t kept = *view.eligible + sum(view.excluded);
    if (kept != *view.read && kept + sum(view.rejected) != *view.read) {
      out.push_back(fmt::format("{} conversations were read, but {} are eligible or excluded",
                                *view.read, kept));
    }
  }
  if (view.turns && view.frame && *view.frame + sum(view.prefixes_excluded) != *view.turns) {
    out.push_back(fmt::format("{} turns are not {} in the frame and {} excluded", *view.turns,
                              *view.frame, sum(view.prefixes_excluded)));
  }
  for (const ArmView& arm : view.arms) {
    const DrawCounts& draws = arm.draws;
    if (draws.completed + sum(draws.failed) != draws.requested) {
      out.push_back(fmt::format("{}: {} requested are not {} completed and {} failed", arm.name,
                                draws.requested, draws.completed, sum(draws.failed)));
    }
    for (const BehaviorView& behavior : view.behaviors) {
      const VerdictTally* verdicts = behavior.verdicts_of(arm.name);
      if (verdicts != nullptr && verdicts->total() != draws.completed) {
        out.push_back(fmt::format("{}, {}: {} verdicts for {} completed draws", arm.name,
                                  behavior.name, verdicts->total(), draws.completed));
      }
    }
  }
  return out;
}

std::optional<Needed> needed_prefixes(const RateView& now, const RateView& next, double prefixes,
                                      double prefixes_left) {
  const auto half_width = [](const RateView& rate) -> std::optional<double> {
    if (!rate.per_100k || !rate.lo || !rate.hi || *rate.lo <= 0) return std::nullopt;
    return std::log(*rate.hi / *rate.lo) / 2;
  };
  const auto h_now = half_width(now);
  const auto h_next = half_width(next);
  if (!h_now || !h_next) return std::nullopt;
  constexpr double kPower = 1.43;
  const double seen = std::abs(std::log(*next.per_100k / *now.per_100k));
  const double target = std::max(seen, std::log(1.5)) / kPower;
  const double room = target * target - *h_now * *h_now;
  if (room <= 0)
    return Needed{.prefixes = 0, .frame_is_too_small = false, .deployed_too_uncertain = true};
  const double more = prefixes * *h_next * *h_next / room - prefixes;
  // However far apart the rates look: four times in five (1 - e^-1.6) one event more has to be
  // seen.
  const double one_event = 1.6 * prefixes / std::max(next.k.value_or(1), 1.0);
  const double asked = std::max(more, one_event);
  if (!std::isfinite(asked) || asked > 1e15) return std::nullopt;
  return Needed{.prefixes = rounded_up(asked),
                .frame_is_too_small = asked > prefixes_left,
                .deployed_too_uncertain = false};
}

std::vector<std::string> shared_alarms(const ReportView& view) {
  std::map<std::string, std::size_t> carriers;
  std::size_t measured = 0;
  for (const BehaviorView& behavior : view.behaviors) {
    if (behavior.finding == Finding::kNotMeasured) continue;
    ++measured;
    for (const std::string& alarm : behavior.alarms) ++carriers[alarm];
  }
  std::vector<std::string> out;
  for (const auto& [alarm, times] : carriers) {
    if (times >= 3 && times * 2 > measured) out.push_back(alarm);
  }
  return out;
}

std::string alarm_text(std::string_view code) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kTexts = {{
      {"regression", "far from the present rate: the forecast does not lean on that rate"},
      {"transferred_calibration",
       "what the grader misses was measured on another judge's or another model's answers"},
      {"few_positive_clusters",
       "fewer than ten people or conversations hold all that was found: the interval is widened"},
      {"screen_relative",
       "nothing corrects for what the grader misses: the rate is what this grader flags"},
      {"low_effective_sample",
       "the design weights leave less than a tenth of the information of the draws"},
      {"all_ungradable", "not one answer could be graded: nothing is known of the rate"},
      {"missing_verdicts",
       "answers that failed or could not be graded widen the interval by half or more"},
      {"partial_scope", "the rate is over the answers that the grader is made for"},
      {"no_recall_labels", "a recall channel holds no known case"},
      {"recall_channels_differ",
       "the recall channels disagree: the interval spans what each of them says"},
      {"one_cluster", "all answers come from one person or one conversation"},
      {"no_draws", "there is no answer to estimate from"},
      {"stale_recall", "what the grader misses was measured with another version of the grader"},
  }};
  for (const auto& [known, words] : kTexts) {
    if (code == known) return std::string(words);
  }
  return reason_text(code);
}

std::string reason_text(std::string_view code) {
  std::string out(code);
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

std::string unit_plural(std::string_view unit) {
  return unit.empty() ? "turns" : reason_text(unit) + "s";
}

std::uint64_t rarest_visible(std::uint64_t n) {
  return n / 3;
}

}  // namespace understudy
