#include "estimate/estimate.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "estimate/prior.hpp"
#include "stats/distributions.hpp"
#include "stats/multiplicity.hpp"

namespace understudy {
namespace {

constexpr double kPer100k = 1e5;
// Beyond this many events a prior moves an estimate by less than the grid of the posterior.
constexpr double kEventsMax = 2500;

// The old rate, on the log scale.
struct OldRate {
  double share = 0;
  double log_variance = 0;
};

struct Work {
  const BehaviorInput* input = nullptr;
  BehaviorEstimate out;
  std::array<CorrectedRate, kArmCount> corrected;
  std::optional<OldRate> old;

  [[nodiscard]] const ArmSummary* summary(Arm arm) const {
    const auto& found = input->arm(arm);
    return found ? &*found : nullptr;
  }
  [[nodiscard]] const CorrectedRate& rate(Arm arm) const {
    return corrected[static_cast<std::size_t>(arm)];
  }
  void raise(Alarm alarm) { out.alarms.push_back(alarm); }
};

double log_sd_of(double lo, double hi) {
  return std::log(hi / lo) / (2 * 1.959963984540054);
}

// --- The old rate

// Verified and recall-corrected rates estimate the same thing; a screen's rate is another.
bool comparable(Basis a, Basis b) {
  const auto kind = [](Basis basis) {
    switch (basis) {
      case Basis::kNothing:
        return 0;
      case Basis::kScreen:
        return 1;
      case Basis::kVerified:
        return 2;
      case Basis::kScreenRecall:
        return 3;
      case Basis::kRecall:
      case Basis::kAudit:
      case Basis::kLabelsAlone:
        return 4;
    }
    return 0;
  };
  return kind(a) == kind(b) && kind(a) != 0;
}

std::optional<OldRate> old_rate(const Work& work) {
  if (work.input->previous) {
    const PreviousRate& previous = *work.input->previous;
    OldRate old{previous.per_100k / kPer100k, 0};
    if (previous.lo && previous.hi && *previous.lo > 0) {
      const double sd = log_sd_of(*previous.lo, *previous.hi);
      old.log_variance = sd * sd;
    } else if (previous.hi && *previous.hi > previous.per_100k) {
      // An interval from zero: as if half an event had been seen.
      old.log_variance = 2;
    }
    if (old.share <= 0) {
      if (!previous.hi || *previous.hi <= 0) return std::nullopt;
      old = {*previous.hi / kPer100k * 0.0617, 2};  // 0.2275 / 3.689: the median of half an event
    }
    return old;
  }
  if (work.summary(Arm::kDeployed) == nullptr) return std::nullopt;
  const CorrectedRate& deployed = work.rate(Arm::kDeployed);
  if (!comparable(deployed.basis, work.rate(Arm::kCandidate).basis)) return std::nullopt;
  const double events = deployed.events + 0.5;
  const double recall = deployed.recall_positives > 0
                            ? (deployed.recall_flagged + 0.5) / (deployed.recall_positives + 1)
                            : 1;
  // Median of a Gamma posterior, and the variance of its logarithm.
  return OldRate{gamma_quantile(events, 1 / (deployed.exposure * recall), 0.5), 1 / events};
}

// --- Change against the deployed model

// McNemar's test where both arms answered the same prefixes, one draw each.
std::optional<double> paired_p_value(const ArmSummary& a, const ArmSummary& b) {
  if (!a.fingerprint || !b.fingerprint || *a.fingerprint != *b.fingerprint || a.draws != b.draws ||
      a.clustered || b.clustered || a.effective_share < 1 - 1e-9 ||
      a.present_prefixes.size() != a.verdicts.present ||
      b.present_prefixes.size() != b.verdicts.present) {
    return std::nullopt;
  }
  const auto holds = [](const std::vector<std::uint64_t>& sorted, std::uint64_t prefix) {
    return std::binary_search(sorted.begin(), sorted.end(), prefix);
  };
  const auto only = [&](const ArmSummary& first, const ArmSummary& second) {
    return static_cast<std::uint64_t>(std::count_if(
        first.present_prefixes.begin(), first.present_prefixes.end(), [&](std::uint64_t prefix) {
          return !holds(second.present_prefixes, prefix) &&
                 !holds(second.unusable_prefixes, prefix);
        }));
  };
  return paired_mid_p(only(a, b), only(b, a));
}

struct Comparison {
  RateCount candidate, deployed;
  std::optional<double> exact_p;  // instead of the conditional test
};

void set_change(Work& work, const Comparison& compared, double level) {
  Change& change = work.out.change;
  const RateCount& a = compared.candidate;
  const RateCount& b = compared.deployed;
  const Interval ratio = rate_ratio_interval(a, b, level);
  if (b.hits > 0) change.ratio = a.hits / a.n / (b.hits / b.n);
  if (a.hits + b.hits > 0) {
    change.lo = ratio.lo;
    if (std::isfinite(ratio.hi)) change.hi = ratio.hi;
  }
  change.p_value = compared.exact_p ? *compared.exact_p : conditional_mid_p(a, b);
  if (ratio.lo > 1) change.direction = Direction::kUp;
  if (ratio.hi < 1) change.direction = Direction::kDown;
}

void compare_with_deployed(Work& work, double level) {
  const ArmSummary& x = *work.summary(Arm::kCandidate);
  const ArmSummary& y = *work.summary(Arm::kDeployed);
  if (x.gradable == 0 || y.gradable == 0) return;
  const bool verified = x.flags_complete && y.flags_complete && x.flagged.n + y.flagged.n > 0;
  const EventCount& a = verified ? x.verified : x.screen;
  const EventCount& b = verified ? y.verified : y.screen;
  Comparison compared{effective(a), effective(b), std::nullopt};
  if (!verified) compared.exact_p = paired_p_value(x, y);
  work.out.change.paired = compared.exact_p.has_value();
  const bool plain = !x.clustered && !y.clustered && x.effective_share >= 1 - 1e-9 &&
                     y.effective_share >= 1 - 1e-9;
  // The conditional law is Poisson's: for common behaviors the hypergeometric one is sharper.
  if (!compared.exact_p && plain && std::max(a.y, b.y) > 0.02 && a.k + b.k < 200'000) {
    compared.exact_p = fisher_exact(a.k, a.n, b.k, b.n);
  }
  set_change(work, compared, level);
}

void compare_with_old(Work& work, double level) {
  const CorrectedRate& x = work.rate(Arm::kCandidate);
  const double recall =
      x.recall_positives > 0 ? (x.recall_flagged + 0.5) / (x.recall_positives + 1) : 1;
  const double hits = 1 / std::max(work.old->log_variance, 1e-8);
  set_change(work, {{x.events, x.exposure * recall}, {hits, hits / work.old->share}, {}}, level);
}

// --- Alarms

void raise_alarms(Work& work) {
  const ArmSummary* x = work.summary(Arm::kCandidate);
  const CorrectedRate& rate = work.rate(Arm::kCandidate);
  if (x == nullptr || x->draws + x->failed == 0) {
    work.raise(Alarm::kNoDraws);
    return;
  }
  if (x->gradable == 0) {
    work.raise(Alarm::kAllUngradable);
    return;
  }
  if (rate.basis == Basis::kScreen || rate.basis == Basis::kVerified ||
      rate.basis == Basis::kScreenRecall) {
    work.raise(Alarm::kScreenRelative);
  }
  if (rate.no_recall_labels) work.raise(Alarm::kNoRecallLabels);
  if (rate.channels_differ) work.raise(Alarm::kRecallChannelsDiffer);
  if (x->clustered && x->positive_clusters < 10) work.raise(Alarm::kFewPositiveClusters);
  if (x->clusters == 1 && x->draws > 1) work.raise(Alarm::kOneCluster);
  if (x->effective_share < 0.1) work.raise(Alarm::kLowEffectiveSample);
  if (x->out_of_scope_share > 0) work.raise(Alarm::kPartialScope);
  const Interval wide = with_missing(rate.interval, x->missing_share);
  if (wide.hi > 1.5 * rate.interval.hi) work.raise(Alarm::kMissingVerdicts);
  for (const RecallChannel& channel : work.input->recall) {
    if (channel.channel == kExamplesChannel) continue;
    if (channel.transferred) work.raise(Alarm::kTransferredCalibration);
    if (channel.stale) work.raise(Alarm::kStaleRecall);
  }
}

// Is recall from elsewhere contradicted by labels of this table? Only where labels were taken alike
// among flags and the rest: otherwise the share of flagged positives is the design's.
void test_transfer(Work& work) {
  const ArmSummary* x = work.summary(Arm::kCandidate);
  if (x == nullptr || x->labels.n == 0) return;
  std::uint64_t positives = 0, flagged = 0;
  for (const RecallChannel& channel : work.input->recall) {
    if (!channel.transferred) continue;
    positives += channel.positives;
    flagged += channel.flagged;
  }
  const double plain = static_cast<double>(x->labels.k) / static_cast<double>(x->labels.n);
  if (positives == 0 || x->labels.k == 0 || std::abs(x->labels.y - plain) > 1e-9) return;
  work.out.transfer_p_value = fisher_exact(flagged, positives, x->flagged.k, x->labels.k);
  // Enumeration is quadratic; 300 known positives tell recall to 5 points, more add little.
  const double recall = static_cast<double>(flagged) / static_cast<double>(positives);
  work.out.transfer_power =
      fisher_power(std::min<std::uint64_t>(positives, 300), recall,
                   std::min<std::uint64_t>(x->labels.k, 300), std::max(recall - 0.2, 0.0), 0.05);
}

// --- Forecast

double unit(double per_100k) {
  return per_100k / kPer100k;
}

RateOptions rate_options(const BehaviorInput& input, const EstimateOptions& options) {
  RateOptions bounds{options.level, options.anytime, 1e-4};
  if (input.previous && input.previous->per_100k > 0) {
    bounds.expected_rate = unit(input.previous->per_100k);
  }
  // One answer for all arms, or their rates were not comparable: what the candidate's audit tells,
  // and where any arm's found a miss it is not left out.
  const auto& candidate = input.arm(Arm::kCandidate);
  bounds.with_audit = !candidate || audit_tells(*candidate, bounds) ||
                      std::any_of(input.arms.begin(), input.arms.end(),
                                  [](const auto& arm) { return arm && arm->unflagged.k > 0; });
  return bounds;
}

struct Pivot {
  double offset = 0;
  double variance = 0;
};

// How far replay is off, from replaying the old model: the part of its bias that the candidate's
// replay shares (71). Without a trusted correlation only the spread of the bias.
Pivot pivot_of(const Work& work, const std::optional<HistoryFit>& history) {
  Pivot pivot;
  if (!history) return pivot;
  pivot.variance = history->candidate_bias_variance;
  const ArmSummary* replay = work.summary(Arm::kDeployedReplay);
  const CorrectedRate& y = work.rate(Arm::kDeployedReplay);
  if (!history->pivots() || replay == nullptr || y.basis == Basis::kNothing || !work.old ||
      !comparable(y.basis, work.rate(Arm::kCandidate).basis)) {
    return pivot;
  }
  const double recall =
      y.recall_positives > 0 ? (y.recall_flagged + 0.5) / (y.recall_positives + 1) : 1;
  const double rate = (y.events + 0.5) / (y.exposure * recall);
  const double bias = std::log(rate / work.old->share);
  const double slope =
      history->covariance / (history->deployed_bias_variance + 1 / std::max(y.events, 0.5));
  pivot.offset = slope * bias;
  pivot.variance = std::max(pivot.variance - slope * history->covariance, 0.0);
  return pivot;
}

// The estimate without a prior: what the draws say, moved by the known part of replay bias and
// widened by the rest.
struct Unshrunk {
  double point = 0;
  Interval interval;
};

Unshrunk unshrunk(const CorrectedRate& rate, const Pivot& pivot, double level) {
  const double factor = std::exp(-pivot.offset);
  Unshrunk out{std::min(rate.point * factor, 1.0),
               {rate.interval.lo * factor, std::min(rate.interval.hi * factor, 1.0)}};
  if (pivot.variance <= 0) return out;
  const double z = normal_quantile(1 - (1 - level) / 2);
  const double reach = z * std::sqrt(pivot.variance);
  if (out.point <= 0) {
    out.interval.hi = std::min(out.interval.hi * std::exp(reach), 1.0);
    return out;
  }
  const auto stretch = [&](double bound) {
    return std::hypot(std::log(std::max(bound, 1e-12) / out.point), reach);
  };
  if (out.interval.lo > 0) out.interval.lo = out.point * std::exp(-stretch(out.interval.lo));
  out.interval.hi = std::min(out.point * std::exp(stretch(out.interval.hi)), 1.0);
  return out;
}

void set_forecast(Work& work, const Unshrunk& value, std::string method) {
  Rate& forecast = work.out.forecast;
  const ArmSummary& x = *work.summary(Arm::kCandidate);
  forecast = work.out.arm(Arm::kCandidate)->corrected;
  const Interval wide = with_missing(value.interval, x.missing_share);
  if (forecast.per_100k) forecast.per_100k = kPer100k * value.point;
  forecast.lo = kPer100k * wide.lo;
  forecast.hi = kPer100k * wide.hi;
  forecast.method = std::move(method);
}

// What counts as a regression: rates outside the old one times [1/3, 3], its own error allowed for.
Interval guard_bounds(const OldRate& old) {
  const double spread = std::exp(1.959963984540054 * std::sqrt(old.log_variance));
  return {old.share / 3 / spread, 3 * old.share * spread};
}

bool shrinks(Work& work, const EstimateOptions& options) {
  const ArmSummary* x = work.summary(Arm::kCandidate);
  work.out.forecast.level = options.level;
  if (x == nullptr || x->draws + x->failed == 0) return false;
  const CorrectedRate& rate = work.rate(Arm::kCandidate);
  const Pivot pivot = pivot_of(work, options.history);
  const Unshrunk plain = unshrunk(rate, pivot, options.level);
  if (x->gradable == 0 || !work.old || !options.shrink || work.old->share <= 0) {
    set_forecast(work, plain, "unshrunk");
    return false;
  }
  const Interval bounds = guard_bounds(*work.old);
  if (plain.interval.lo > bounds.hi || plain.interval.hi < bounds.lo) {
    work.raise(Alarm::kRegression);
    set_forecast(work, plain, "unshrunk (regression)");
    return false;
  }
  if (rate.events > kEventsMax && pivot.variance <= 0) {
    set_forecast(work, plain, "unshrunk (events enough)");
    return false;
  }
  return true;
}

ChangeEvidence evidence_of(const Work& work, const EstimateOptions& options) {
  const CorrectedRate& rate = work.rate(Arm::kCandidate);
  const Pivot pivot = pivot_of(work, options.history);
  return {work.old->share,     work.old->log_variance, rate.events,  rate.exposure,
          rate.recall_flagged, rate.recall_positives,  pivot.offset, pivot.variance};
}

// Shrunk without an alarm, a rate may still lie past the guard's bounds where events are too few to
// tell. An end of the interval that passes them is therefore taken at a twentieth of the error: a
// guard that is silent must not be silent beside an interval that misses. Without an event nothing
// was shrunk: the upper end is what so many draws bound.
Interval guarded_interval(const Work& work, const Pivot& pivot, const Unshrunk& plain,
                          const EstimateOptions& options) {
  const Interval& interval = plain.interval;
  const Interval bounds = guard_bounds(*work.old);
  if (plain.point <= 0 || (interval.lo >= bounds.lo && interval.hi <= bounds.hi)) return interval;
  RateOptions strict = rate_options(*work.input, options);
  strict.level = 1 - (1 - options.level) / 20;
  const CorrectedRate rate =
      corrected_rate(*work.summary(Arm::kCandidate), work.input->recall, strict);
  const Interval wide = unshrunk(rate, pivot, strict.level).interval;
  return {interval.lo < bounds.lo ? wide.lo : interval.lo,
          interval.hi > bounds.hi ? wide.hi : interval.hi};
}

// The point is the posterior's. The interval is the unshrunk one, stretched: where the prior is
// wrong it must not hide what the draws alone leave open.
void shrunk_forecast(Work& work, const ChangePosterior& posterior, const EstimateOptions& options) {
  const Pivot pivot = pivot_of(work, options.history);
  const Unshrunk plain = unshrunk(work.rate(Arm::kCandidate), pivot, options.level);
  const double old = work.old->share;
  Unshrunk value{std::min(old * std::exp(posterior.median), 1.0),
                 guarded_interval(work, pivot, plain, options)};
  if (options.history) {
    // Past releases make the posterior's own interval trustworthy; draws without an event, and
    // hence without a lower end, still leave their upper bound open.
    value.interval = {old * std::exp(posterior.lo), std::min(old * std::exp(posterior.hi), 1.0)};
    if (plain.point <= 0) value.interval.hi = std::max(value.interval.hi, plain.interval.hi);
  }
  value.interval.lo = std::min(value.interval.lo, value.point);
  value.interval.hi = std::max(value.interval.hi, value.point);
  set_forecast(work, value,
               !options.history    ? "shrunk_to_previous"
               : pivot.offset != 0 ? "pivoted_and_shrunk"
                                   : "shrunk_by_history");
  if (plain.point > 0) {
    const double raw = std::log(plain.point / old);
    if (std::abs(raw) > 1e-9) {
      work.out.shrinkage = std::clamp(1 - posterior.median / raw, 0.0, 1.0);
    }
  }
}

void adjust_p_values(std::vector<Work>& works) {
  std::vector<double> p_values;
  for (const Work& work : works) {
    if (work.out.change.p_value) p_values.push_back(*work.out.change.p_value);
  }
  const std::vector<double> q_values = benjamini_hochberg(p_values);
  const std::vector<double> strict = holm(p_values);
  std::size_t i = 0;
  for (Work& work : works) {
    if (!work.out.change.p_value) continue;
    work.out.change.q_value = q_values[i];
    work.out.change.p_holm = strict[i++];
  }
}

Work first_pass(const BehaviorInput& input, const EstimateOptions& options) {
  Work work;
  work.input = &input;
  work.out.name = input.name;
  work.out.version = input.version;
  work.out.hash = input.hash;
  work.out.recall = input.recall;
  for (RecallChannel& channel : work.out.recall) {
    if (channel.positives == 0) continue;
    const Interval share = clopper_pearson(static_cast<double>(channel.flagged),
                                           static_cast<double>(channel.positives), options.level);
    channel.lo = share.lo;
    channel.hi = share.hi;
  }
  const RateOptions bounds = rate_options(input, options);
  for (std::size_t i = 0; i < kArmCount; ++i) {
    if (!input.arms[i]) continue;
    work.corrected[i] = corrected_rate(*input.arms[i], input.recall, bounds);
    work.out.arms[i] = arm_estimate(*input.arms[i], work.corrected[i], bounds);
  }
  work.old = old_rate(work);
  if (work.old) work.out.previous_per_100k = kPer100k * work.old->share;
  const ArmSummary* x = work.summary(Arm::kCandidate);
  if (x != nullptr && x->gradable > 0) {
    if (const auto bound = miss_bound(*x, options.level)) {
      work.out.miss_bound_per_100k = kPer100k * *bound;
    }
    if (work.summary(Arm::kDeployed) != nullptr) {
      compare_with_deployed(work, options.level);
    } else if (work.old) {
      compare_with_old(work, options.level);
    }
  }
  raise_alarms(work);
  test_transfer(work);
  return work;
}

}  // namespace

RateCount effective(const EventCount& count) {
  if (count.y > 0) return {count.y * count.y / count.v, count.y / count.v};
  return {0, 1 / count.w_next};
}

std::vector<BehaviorEstimate> estimate_behaviors(std::span<const BehaviorInput> inputs,
                                                 const EstimateOptions& options) {
  std::vector<Work> works;
  works.reserve(inputs.size());
  for (const BehaviorInput& input : inputs) works.push_back(first_pass(input, options));

  std::vector<ChangeEvidence> evidence;
  std::vector<Work*> shrinking;
  for (Work& work : works) {
    if (!shrinks(work, options)) continue;
    evidence.push_back(evidence_of(work, options));
    shrinking.push_back(&work);
  }
  const std::vector<ChangePosterior> posteriors =
      change_posteriors(evidence, options.history, options.level);
  for (std::size_t i = 0; i < shrinking.size(); ++i) {
    shrunk_forecast(*shrinking[i], posteriors[i], options);
  }
  adjust_p_values(works);

  std::vector<BehaviorEstimate> estimates;
  estimates.reserve(works.size());
  for (Work& work : works) {
    auto& alarms = work.out.alarms;
    std::sort(alarms.begin(), alarms.end());
    alarms.erase(std::unique(alarms.begin(), alarms.end()), alarms.end());
    estimates.push_back(std::move(work.out));
  }
  return estimates;
}

}  // namespace understudy
