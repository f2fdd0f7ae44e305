#include "discovery/hypotheses.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "stats/distributions.hpp"

namespace understudy {
namespace {

constexpr double kSameAnswers = 0.5;        // Jaccard of hits
constexpr double kExcessLeft = 0.5;         // share of an excess that something else explains
constexpr double kNothingLeft = 0.1;        // … all of it
constexpr double kShareSeen = 0.1;          // of a group's answers, seen when ten are read
constexpr std::size_t kHitsToCompare = 10;  // fewer tell nothing of a share
constexpr double kAnswersOfLength = 20;     // to know a rate by
constexpr double kWeightOfHit = 4;          // of one arm in what is expected of the other
constexpr double kAboutAsStrong = 10;       // p-values within this factor

struct Ranked {
  double p = 1;
  const CountedFeature* feature = nullptr;
  bool same_answers = true;  // as the group's first

  [[nodiscard]] const HalfCounts& half() const { return feature->halves[0]; }
  [[nodiscard]] bool more() const { return half().more > half().fewer; }
};

struct Group {
  std::vector<Ranked> members;  // the first began it
  bool with_length = false;
};

// What two features' sketches say of their hits in one arm.
struct Overlap {
  std::size_t first = 0;  // hits below the hash to which both sketches are complete
  std::size_t second = 0;
  std::size_t both = 0;
};

Overlap overlap(const HalfCounts& one, const HalfCounts& other, Side side) {
  const std::span<const HitSketch::Hit> a = one.sketches[side].hits();
  const std::span<const HitSketch::Hit> b = other.sketches[side].hits();
  Overlap found;
  std::size_t i = 0;
  std::size_t j = 0;
  // A full sketch says nothing beyond its last hit.
  const auto ended = [](const auto& hits, std::size_t at) {
    return at == hits.size() && hits.size() == kHitsCompared;
  };
  while ((i < a.size() || j < b.size()) && !ended(a, i) && !ended(b, j)) {
    if (j == b.size() || (i < a.size() && a[i] < b[j])) {
      ++i, ++found.first;
    } else if (i == a.size() || b[j] < a[i]) {
      ++j, ++found.second;
    } else {
      ++i, ++j, ++found.first, ++found.second, ++found.both;
    }
  }
  return found;
}

// Jaccard of two sets by the smallest hashes of their union.
bool on_same_answers(const HalfCounts& a, const HalfCounts& b, Side side) {
  const Overlap found = overlap(a, b, side);
  const std::size_t all = found.first + found.second - found.both;
  return static_cast<double>(found.both) >= kSameAnswers * static_cast<double>(all) && all > 0;
}

// How many answers of an arm have both: by the share of the rarer one's.
double hits_of_both(const HalfCounts& a, const HalfCounts& b, Side side, double answers) {
  const Overlap found = overlap(a, b, side);
  const std::size_t compared = a.hits(side) < b.hits(side) ? found.first : found.second;
  const double rarer = std::min(a.hits(side), b.hits(side));
  const double commoner = std::max(a.hits(side), b.hits(side));
  if (compared == 0) return answers > 0 ? rarer * commoner / answers : 0;  // as if by chance
  return rarer * static_cast<double>(found.both) / static_cast<double>(compared);
}

bool more_readable(const CountedFeature& a, const CountedFeature& b) {
  if (a.kind != b.kind) return a.kind < b.kind;
  if (a.text.size() != b.text.size()) return a.text.size() > b.text.size();
  return a.text < b.text;
}

// Of about equally strong members on the same answers the more specific one is tested: a part of a
// phrase also occurs elsewhere, if only on the other half. Of what goes with length, a length.
const CountedFeature* tested_of(const Group& group) {
  const double limit = group.members.front().p * kAboutAsStrong;
  const auto place = [&](const Ranked& ranked) {
    if (group.with_length && ranked.feature->kind == FeatureKind::kLength) return 0;
    return ranked.same_answers && ranked.p <= limit ? 1 : 2;
  };
  return std::min_element(group.members.begin(), group.members.end(),
                          [&](const Ranked& a, const Ranked& b) {
                            if (place(a) != place(b)) return place(a) < place(b);
                            if (place(a) == 0) return a.p < b.p;
                            return more_readable(*a.feature, *b.feature);
                          })
      ->feature;
}

double length_sum(const Lengths& lengths) {
  double sum = 0;
  for (std::size_t at = 0; at < kLengths; ++at) sum += static_cast<double>(at) * lengths[at];
  return sum;
}

std::vector<Ranked> ranked(const std::vector<CountedFeature>& features, bool keep_all) {
  std::vector<Ranked> order;
  for (const CountedFeature& feature : features) {
    const HalfCounts& half = feature.halves[0];
    const double p = sign_test(std::max(half.more, half.fewer), std::min(half.more, half.fewer));
    if (!keep_all && p > kSelectionLimit) continue;
    order.push_back({.p = p, .feature = &feature});
  }
  std::sort(order.begin(), order.end(), [](const Ranked& a, const Ranked& b) {
    return a.p != b.p ? a.p < b.p : more_readable(*a.feature, *b.feature);
  });
  return order;
}

}  // namespace

double sign_test(std::uint64_t more, std::uint64_t fewer) {
  return more == 0 ? 1 : beta_cdf(static_cast<double>(more), static_cast<double>(fewer) + 1, 0.5);
}

void HitSketch::add(std::uint64_t pair) {
  const std::uint64_t key = mixed(pair);
  if (hits_.size() == kHitsCompared && key >= hits_.front().first) return;
  hits_.emplace_back(key, pair);
  std::push_heap(hits_.begin(), hits_.end());
  if (hits_.size() > kHitsCompared) {
    std::pop_heap(hits_.begin(), hits_.end());
    hits_.pop_back();
  }
}

bool shows(const HalfCounts& group, const HalfCounts& other, bool more, double answers) {
  const Side up = more ? kCandidate : kLogged;
  const Side down = more ? kLogged : kCandidate;
  const Overlap seen = overlap(group, other, up);
  if (seen.first < kHitsToCompare ||
      static_cast<double>(seen.both) < kShareSeen * static_cast<double>(seen.first)) {
    return false;
  }
  const double raw = (other.hits(up) - other.hits(down)) / 2;
  double left = 0;
  double variance = 0;
  for (const bool inside : {true, false}) {
    BySide<double> hits{};
    BySide<double> size{};
    for (const Side side : {kLogged, kCandidate}) {
      const double both = hits_of_both(group, other, side, answers);
      hits[side] = inside ? both : other.hits(side) - both;
      size[side] = inside ? group.hits(side) : answers - group.hits(side);
    }
    const double all = size[up] + size[down];
    const double with = hits[up] + hits[down];
    if (all <= 1) continue;
    left += hits[up] - with * size[up] / all;
    variance += with * (all - with) * size[up] * size[down] / (all * all * (all - 1));
  }
  if (raw <= 0 || left > kExcessLeft * raw) return false;
  return left <= kNothingLeft * raw || left <= std::sqrt(variance);
}

bool goes_with_length(FeatureKind kind, const HalfCounts& half, const BySide<Lengths>& all,
                      bool more, double level) {
  if (kind == FeatureKind::kLength) return true;
  if (kind != FeatureKind::kWords && kind != FeatureKind::kMarks) return false;
  const Side up = more ? kCandidate : kLogged;
  const Side down = more ? kLogged : kCandidate;
  if (length_sum(all[up]) <= length_sum(all[down])) return false;
  const double hits = half.hits(up);
  const double raw = hits - half.hits(down);
  double expected = 0;
  for (std::size_t at = 0; at < kLengths; ++at) {
    const double enough = std::max(kAnswersOfLength, all[up][at] / kWeightOfHit);
    double near = all[down][at];
    double near_hits = half.lengths[down][at];
    for (std::size_t step = 1; near < enough && step < kLengths; ++step) {
      for (const std::size_t other : {at - step, at + step}) {  // below 0 it wraps: beyond the last
        if (other >= kLengths) continue;
        near += all[down][other];
        near_hits += half.lengths[down][other];
      }
    }
    if (near > 0) expected += all[up][at] * near_hits / near;
  }
  if (raw <= 0 || hits - expected <= kExcessLeft * raw) return raw > 0;
  // Users against as many as would be expected.
  const auto users = static_cast<double>(more ? half.more : half.fewer);
  return beta_cdf(users, users * expected / hits + 1, 0.5) > level;
}

std::size_t length_of(std::size_t features) {
  if (features < 4) return features;
  const auto octave = static_cast<std::size_t>(std::bit_width(features)) - 1;
  return std::min(kLengths - 1, 4 * octave + ((features >> (octave - 2)) & 3) - 4);
}

std::vector<Hypothesis> hypotheses(const std::vector<CountedFeature>& features,
                                   const BySide<Lengths>& lengths, const GroupingOptions& options) {
  const double answers = std::accumulate(lengths[0].begin(), lengths[0].end(), 0.0);
  std::vector<Group> groups;
  for (Ranked& one : ranked(features, options.keep_all)) {
    const auto with = [&](const auto& belongs) {
      return std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
        return group.members.front().more() == one.more() && belongs(group);
      });
    };
    const auto first = [](const Group& it) -> const HalfCounts& {
      return it.members.front().half();
    };
    const Side side = one.more() ? kCandidate : kLogged;
    auto group =
        with([&](const Group& it) { return on_same_answers(first(it), one.half(), side); });
    bool with_length = false;
    if (group == groups.end() && !options.keep_all) {
      one.same_answers = false;
      group =
          with([&](const Group& it) { return shows(first(it), one.half(), one.more(), answers); });
      if (group == groups.end()) {
        with_length =
            goes_with_length(one.feature->kind, one.half(), lengths, one.more(), kSelectionLimit);
        if (with_length) group = with([](const Group& it) { return it.with_length; });
      }
    }
    if (group != groups.end()) {
      group->members.push_back(std::move(one));
    } else if (options.keep_all || groups.size() < options.groups_max) {
      one.same_answers = true;
      groups.push_back({});
      groups.back().with_length = with_length;
      groups.back().members.push_back(std::move(one));
    }
  }
  std::vector<Hypothesis> out;
  for (const Group& group : groups) {
    Hypothesis& hypothesis = out.emplace_back();
    hypothesis.more = group.members.front().more();
    hypothesis.with_length = group.with_length;
    hypothesis.features.push_back(tested_of(group));
    for (const Ranked& member : group.members) {
      if (hypothesis.features.size() == kFeaturesNamed) break;
      if (member.feature != hypothesis.features.front()) {
        hypothesis.features.push_back(member.feature);
      }
    }
  }
  return out;
}

}  // namespace understudy
