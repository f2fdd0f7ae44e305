#include "estimate/rates.hpp"

#include <algorithm>
#include <cmath>

#include "stats/distributions.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

constexpr double kPer100k = 1e5;

Interval share_bounds(const EventCount& count, const RateOptions& options) {
  if (!options.anytime || count.n == 0) return share_interval(count, options.level);
  // A weighted draw is a bet of w/w_max on [0, 1]; by convexity the mixture martingale of coin
  // flips stays one for such bets, with real-valued hits.
  const double draws = std::max(1 / count.w_next, 1.0);
  const double hits = std::clamp(count.y, 0.0, 1.0) * draws;
  constexpr double kShape = 0.5;
  return beta_mixture_sequence(
      hits, draws, kShape, kShape / std::clamp(options.expected_rate, 1e-9, 0.5), options.level);
}

std::string share_method(const ArmSummary& arm, const RateOptions& options) {
  if (options.anytime) return "beta_mixture_sequence";
  std::string method = "clopper_pearson";
  if (arm.clustered) method = "clustered_" + method;
  if (arm.effective_share < 1 - 1e-9) method = "weighted_" + method;
  return method;
}

// One share times another, both estimated from different draws.
struct Part {
  double point = 0;
  Interval interval;
};

Part product(const EventCount& share, const EventCount& part, const RateOptions& options) {
  Part result;
  result.point = share.y * part.y;
  const auto shape = [](const EventCount& count) {
    return WeightedCount{std::min(count.y, 1.0), count.v, count.w_next};
  };
  // Half the error to each tail of each factor is not needed: the melded product has the level.
  result.interval = melded_product(shape(share), shape(part), options.level);
  result.interval.lo = std::min(result.interval.lo, result.point);
  result.interval.hi = std::max(result.interval.hi, result.point);
  return result;
}

EventCount complement(const EventCount& count) {
  EventCount rest = count;
  rest.k = count.n - count.k;
  rest.y = std::max(1 - count.y, 0.0);
  rest.v = count.y > 0 ? rest.y * count.v / count.y : rest.y * count.w_next;
  return rest;
}

// Recall pooled over channels; if Fisher's test says that some channel differs from the others, the
// interval spans what the channels say one by one.
struct Recall {
  double flagged = 0, positives = 0;
  bool differ = false;
};

bool divides(const RecallChannel& channel) {
  return channel.positives > 0 && channel.channel != kExamplesChannel;
}

Recall pooled_recall(std::span<const RecallChannel> channels) {
  Recall pooled;
  std::uint64_t flagged = 0, positives = 0;
  for (const RecallChannel& channel : channels) {
    if (!divides(channel)) continue;
    flagged += channel.flagged;
    positives += channel.positives;
  }
  for (const RecallChannel& channel : channels) {
    if (!divides(channel) || channel.positives == positives) continue;
    const double p = fisher_exact(channel.flagged, channel.positives, flagged - channel.flagged,
                                  positives - channel.positives);
    pooled.differ = pooled.differ || p * static_cast<double>(channels.size()) < 0.01;
  }
  pooled.flagged = static_cast<double>(flagged);
  pooled.positives = static_cast<double>(positives);
  return pooled;
}

Interval over_recall(const EventCount& events, double flagged, double positives,
                     const RateOptions& options) {
  if (!options.anytime) {
    return melded_quotient({std::min(events.y, 1.0), events.v, events.w_next}, flagged, positives,
                           options.level);
  }
  // Two statements at (1 + level)/2 hold together at level.
  RateOptions half = options;
  half.level = (1 + options.level) / 2;
  const Interval rate = share_bounds(events, half);
  const Interval recall = clopper_pearson(flagged, positives, half.level);
  return {std::min(rate.lo / recall.hi, 1.0),
          recall.lo > 0 ? std::min(rate.hi / recall.lo, 1.0) : 1};
}

void set_likelihood(CorrectedRate& rate, const EventCount& count) {
  rate.events = count.y > 0 ? count.y * count.y / count.v : 0;
  rate.exposure = count.y > 0 ? count.y / count.v : 1 / count.w_next;
}

// The Poisson likelihood that is as wide as the interval.
void set_likelihood_from_interval(CorrectedRate& rate, double level) {
  const double z = normal_quantile(1 - (1 - level) / 2);
  if (rate.point <= 0) {
    rate.events = 0;
    rate.exposure = -std::log((1 - level) / 2) / rate.interval.hi;
    return;
  }
  const double sd = std::max(rate.interval.hi - rate.interval.lo, 1e-12) / (2 * z);
  rate.events = rate.point * rate.point / (sd * sd);
  rate.exposure = rate.events / rate.point;
}

void divide_by_recall(CorrectedRate& rate, const EventCount& events, const Recall& recall,
                      std::span<const RecallChannel> channels, const RateOptions& options) {
  rate.recall_flagged = recall.flagged;
  rate.recall_positives = recall.positives;
  rate.channels_differ = recall.differ;
  rate.point = std::min(events.y * (recall.positives + 1) / (recall.flagged + 0.5), 1.0);
  rate.interval = over_recall(events, recall.flagged, recall.positives, options);
  if (recall.differ) {
    for (const RecallChannel& channel : channels) {
      if (!divides(channel)) continue;
      const Interval one = over_recall(events, static_cast<double>(channel.flagged),
                                       static_cast<double>(channel.positives), options);
      rate.interval.lo = std::min(rate.interval.lo, one.lo);
      rate.interval.hi = std::max(rate.interval.hi, one.hi);
    }
  }
  set_likelihood(rate, events);
}

bool has_audit(const ArmSummary& arm) {
  return arm.unflagged.n > 0 && (arm.flagged.n > 0 || arm.verdicts.present == 0);
}

// What verification found among the flags, as a share of all.
Part verified_part(const ArmSummary& arm, const RateOptions& options) {
  if (!arm.flags_complete) return product(arm.screen, arm.flagged, options);
  return {std::min(arm.verified.y, 1.0), share_bounds(arm.verified, options)};
}

// Labels among flags and among the rest, each share weighted by how much the screen puts there.
Part flags_and_rest(const ArmSummary& arm, const RateOptions& options) {
  Part flagged = verified_part(arm, options);
  if (arm.verdicts.present == 0) flagged = {0, {0, 0}};  // all of the rate is among the rest
  const Part rest = product(complement(arm.screen), arm.unflagged, options);
  return {std::min(flagged.point + rest.point, 1.0),
          mover_sum(flagged.point, flagged.interval, rest.point, rest.interval)};
}

void set_part(CorrectedRate& rate, Basis basis, const Part& part) {
  rate.basis = basis;
  rate.point = part.point;
  rate.interval = part.interval;
}

}  // namespace

bool audit_tells(const ArmSummary& arm, const RateOptions& options) {
  if (arm.gradable == 0 || !has_audit(arm)) return false;
  if (arm.unflagged.k > 0) return true;
  return flags_and_rest(arm, options).interval.hi <=
         kAuditStretchMax * verified_part(arm, options).interval.hi;
}

CorrectedRate corrected_rate(const ArmSummary& arm, std::span<const RecallChannel> channels,
                             const RateOptions& options) {
  CorrectedRate rate;
  const bool labels_flags = arm.flagged.n > 0;
  const bool audited = options.with_audit && has_audit(arm);
  const Recall recall = pooled_recall(channels);
  const auto is_example = [](const RecallChannel& channel) {
    return channel.channel == kExamplesChannel;
  };
  rate.no_recall_labels =
      recall.positives == 0 && !std::all_of(channels.begin(), channels.end(), is_example);
  if (arm.gradable == 0) return rate;

  if (recall.positives > 0) {
    const bool complete = arm.flags_complete && (labels_flags || arm.verdicts.present == 0);
    rate.basis = complete || labels_flags ? Basis::kRecall : Basis::kScreenRecall;
    EventCount events = complete ? arm.verified : arm.screen;
    if (!complete && labels_flags) {
      // Some flags were verified: share of flags times precision, as one effective count.
      CorrectedRate partial;
      const Part part = product(arm.screen, arm.flagged, options);
      partial.point = part.point;
      partial.interval = part.interval;
      set_likelihood_from_interval(partial, options.level);
      events.y = part.point;
      events.v = part.point > 0 ? part.point / partial.exposure : 0;
      events.w_next = std::min(1 / partial.exposure, 1.0);
    }
    divide_by_recall(rate, events, recall, channels, options);
  } else if (audited) {
    set_part(rate, Basis::kAudit, flags_and_rest(arm, options));
  } else if (labels_flags || (arm.flags_complete && arm.verdicts.present > 0) || has_audit(arm)) {
    set_part(rate, Basis::kVerified, verified_part(arm, options));
    if (arm.flags_complete) {
      set_likelihood(rate, arm.verified);
    } else {
      set_likelihood_from_interval(rate, options.level);
    }
  } else {
    set_part(rate, Basis::kScreen,
             {std::min(arm.screen.y, 1.0), share_bounds(arm.screen, options)});
    set_likelihood(rate, arm.screen);
  }
  // Labels on both sides of the screen bound the rate without it. Where they do so better, the
  // screen only adds noise.
  if (audited) {
    const Interval alone = share_bounds(arm.labels, options);
    if (alone.hi - alone.lo < rate.interval.hi - rate.interval.lo) {
      set_part(rate, Basis::kLabelsAlone, {std::min(arm.labels.y, 1.0), alone});
      rate.recall_flagged = rate.recall_positives = 0;
      rate.channels_differ = false;
    }
    if (rate.basis != Basis::kRecall) set_likelihood_from_interval(rate, options.level);
  }
  rate.interval.lo = std::min(rate.interval.lo, rate.point);
  rate.interval.hi = std::max(rate.interval.hi, rate.point);
  return rate;
}

Interval with_missing(const Interval& interval, double missing_share) {
  return {interval.lo * (1 - missing_share),
          std::min(interval.hi * (1 - missing_share) + missing_share, 1.0)};
}

namespace {

Rate rate_object(std::optional<double> point, const Interval& interval, double missing_share,
                 const EventCount& count, std::string method, double level) {
  Rate rate;
  rate.level = level;
  const Interval wide = with_missing(interval, missing_share);
  if (point) rate.per_100k = kPer100k * std::min(*point, 1.0);
  rate.lo = kPer100k * wide.lo;
  rate.hi = kPer100k * wide.hi;
  rate.n = count.n;
  rate.k = count.k;
  rate.method = std::move(method);
  return rate;
}

std::string corrected_method(const CorrectedRate& rate, const ArmSummary& arm,
                             const RateOptions& options) {
  const std::string suffix = options.anytime ? " (anytime)" : "";
  switch (rate.basis) {
    case Basis::kNothing:
      return "no_verdicts";
    case Basis::kScreen:
      return "screen_relative: " + share_method(arm, options);
    case Basis::kVerified:
      return "screen_relative: verified flags, " + share_method(arm, options);
    case Basis::kRecall:
      return "verified_over_recall" + suffix;
    case Basis::kScreenRecall:
      return "flags_over_recall" + suffix;
    case Basis::kAudit:
      return "verified_plus_audit" + suffix;
    case Basis::kLabelsAlone:
      return "labels_alone" + suffix;
  }
  return {};
}

}  // namespace

ArmEstimate arm_estimate(const ArmSummary& arm, const CorrectedRate& corrected,
                         const RateOptions& options) {
  ArmEstimate out;
  out.verdicts = arm.verdicts;
  const double missing = arm.missing_share;
  const bool any = arm.gradable > 0;
  const auto point = [any](double value) {
    return any ? std::optional<double>(value) : std::nullopt;
  };
  out.screen =
      rate_object(point(arm.screen.y), share_bounds(arm.screen, options), missing, arm.screen,
                  any ? share_method(arm, options) : "no_verdicts", options.level);
  out.verified.level = options.level;
  const bool vacuous =
      arm.verdicts.present == 0 && arm.verdicts.verified == 0 && corrected.basis != Basis::kRecall;
  if (any && arm.flags_complete && !vacuous) {
    out.verified = rate_object(arm.verified.y, share_bounds(arm.verified, options), missing,
                               arm.verified, share_method(arm, options), options.level);
  } else if (any && arm.flagged.n > 0) {
    const Part part = product(arm.screen, arm.flagged, options);
    out.verified = rate_object(part.point, part.interval, missing, arm.flagged,
                               "flags_times_precision", options.level);
  }
  const EventCount& behind = corrected.basis == Basis::kScreen ||
                                     corrected.basis == Basis::kScreenRecall ||
                                     corrected.basis == Basis::kNothing
                                 ? arm.screen
                             : corrected.basis == Basis::kAudit ||
                                     corrected.basis == Basis::kLabelsAlone || !arm.flags_complete
                                 ? arm.labels
                                 : arm.verified;
  out.corrected = rate_object(point(corrected.point), corrected.interval, missing, behind,
                              corrected_method(corrected, arm, options), options.level);
  return out;
}

std::optional<double> miss_bound(const ArmSummary& arm, double level) {
  if (arm.unflagged.n == 0) return std::nullopt;
  const double passed = std::clamp(1 - arm.screen.y, 0.0, 1.0);
  // A two-sided interval at 1 − 2α has a one-sided upper bound at 1 − α.
  return passed * share_interval(arm.unflagged, 2 * level - 1).hi;
}

}  // namespace understudy
