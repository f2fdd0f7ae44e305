#include "discovery/contrast.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "base/assert.hpp"
#include "base/rng.hpp"
#include "stats/distributions.hpp"
#include "stats/multiplicity.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kSlotsMin = std::uint64_t{1} << 20;
constexpr std::uint64_t kSlotsMax = std::uint64_t{1} << 25;
constexpr std::uint64_t kSlotsPerPair = 128;
constexpr std::size_t kSlotsSelectedMax = 4096;
constexpr std::size_t kEntriesMax = 65536;
constexpr std::size_t kSketch = 128;         // hits that a feature is compared by
constexpr double kSelectionLimit = 0.01;     // one-sided, on the first half
constexpr double kSameAnswers = 0.5;         // Jaccard of hits that makes features one group
constexpr double kAboutAsStrong = 10;        // p-values within this factor
constexpr std::size_t kFeaturesOfGroup = 8;  // named
constexpr double kPer = 100'000;
constexpr double kLevelOfRates = 0.95;

std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

// P(X >= more) for X ~ Bin(more + fewer, ½).
double sign_test(std::uint64_t more, std::uint64_t fewer) {
  return more == 0 ? 1 : beta_cdf(static_cast<double>(more), static_cast<double>(fewer) + 1, 0.5);
}

// Sums over one user, keyed by a number; emptied at the cost of what was in it.
template <class Value>
class Tally {
 public:
  Tally() : slots_(std::size_t{1} << 12) {}
  Value& operator[](std::uint64_t key) {
    if (used_.size() * 2 >= slots_.size()) grow();
    return slots_[place(key)].value;
  }
  template <class Visit>
  void drain(const Visit& visit) {
    for (const std::size_t at : used_) {
      visit(slots_[at].key, slots_[at].value);
      slots_[at] = {};
    }
    used_.clear();
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Value value{};
    bool used = false;
  };
  std::size_t place(std::uint64_t key) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = mixed(key) & mask;
    while (slots_[at].used && slots_[at].key != key) at = (at + 1) & mask;
    if (!slots_[at].used) {
      slots_[at].used = true;
      slots_[at].key = key;
      used_.push_back(at);
    }
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    used_.clear();
    for (Slot& slot : old) {
      if (slot.used) slots_[place(slot.key)].value = std::move(slot.value);
    }
  }
  std::vector<Slot> slots_;
  std::vector<std::size_t> used_;
};

// First pass: users with more and with fewer, for each counter.
class Selection : public PairVisitor {
 public:
  explicit Selection(const ContrastOptions& options)
      : seed_(options.seed),
        slots_(std::bit_ceil(std::clamp(options.pairs * kSlotsPerPair, kSlotsMin, kSlotsMax))) {}

  bool wants(std::uint64_t cluster) override { return selects(cluster, seed_); }
  void see(std::uint64_t cluster, const FeaturedPair& pair) override {
    if (!user_ || *user_ != cluster) finish_user();
    user_ = cluster;
    for (const Feature& feature : pair.candidate) ++tally_[feature.hash];
    for (const Feature& feature : pair.logged) --tally_[feature.hash];
  }

  // A bit for each counter that is worth an exact count.
  std::vector<bool> finish() {
    finish_user();
    struct Scored {
      double p = 1;
      std::size_t slot = 0;
    };
    std::vector<Scored> scored;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const auto [more, fewer] = slots_[i];
      const double sum = static_cast<double>(more) + fewer;
      const double difference = std::abs(static_cast<double>(more) - fewer);
      if (sum < 6 || difference * difference < 4 * sum) continue;  // two standard deviations
      const double p = sign_test(std::max(more, fewer), std::min(more, fewer));
      if (p <= kSelectionLimit) scored.push_back({p, i});
    }
    const std::size_t kept = std::min(scored.size(), kSlotsSelectedMax);
    std::partial_sort(
        scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(kept), scored.end(),
        [](const Scored& a, const Scored& b) { return a.p != b.p ? a.p < b.p : a.slot < b.slot; });
    std::vector<bool> chosen(slots_.size());
    for (std::size_t i = 0; i < kept; ++i) chosen[scored[i].slot] = true;
    return chosen;
  }

 private:
  struct Votes {
    std::uint32_t more = 0;
    std::uint32_t fewer = 0;
  };
  void finish_user() {
    tally_.drain([&](std::uint64_t hash, std::int64_t net) {
      Votes& votes = slots_[hash & (slots_.size() - 1)];
      if (net > 0) ++votes.more;
      if (net < 0) ++votes.fewer;
    });
  }
  std::uint64_t seed_;
  std::vector<Votes> slots_;
  std::optional<std::uint64_t> user_;
  Tally<std::int64_t> tally_;
};

// The hits with the smallest hashes: a sample of them, the same one for features on the same hits.
class Sketch {
 public:
  void add(std::uint64_t id) {
    const std::uint64_t key = mixed(id);
    if (hits_.size() == kSketch && key >= hits_.front().first) return;
    hits_.emplace_back(key, id);
    std::push_heap(hits_.begin(), hits_.end());
    if (hits_.size() > kSketch) {
      std::pop_heap(hits_.begin(), hits_.end());
      hits_.pop_back();
    }
  }
  [[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint64_t>> sorted() const {
    auto hits = hits_;
    std::sort(hits.begin(), hits.end());
    return hits;
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> hits_;
};

// Jaccard of two sets by the smallest hashes of their union.
double jaccard(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& a,
               const std::vector<std::pair<std::uint64_t, std::uint64_t>>& b) {
  std::size_t i = 0;
  std::size_t j = 0;
  std::size_t both = 0;
  std::size_t all = 0;
  while ((i < a.size() || j < b.size()) && all < kSketch) {
    ++all;
    if (j == b.size() || (i < a.size() && a[i] < b[j])) {
      ++i;
    } else if (i == a.size() || b[j] < a[i]) {
      ++j;
    } else {
      ++both, ++i, ++j;
    }
  }
  return all == 0 ? 0 : static_cast<double>(both) / static_cast<double>(all);
}

enum Side : std::size_t { kLogged = 0, kCandidate = 1 };

// One arm's answers of one half, with what the variance over users needs.
struct ArmSums {
  std::uint64_t hits = 0;
  double squares = 0;   // Σ hits_u²
  double products = 0;  // Σ hits_u · pairs_u
};

struct Half {
  std::uint64_t more = 0;
  std::uint64_t fewer = 0;
  std::array<ArmSums, 2> arms;
  std::array<Sketch, 2> sketches;
};

struct Entry {
  FeatureKind kind = FeatureKind::kWords;
  std::uint64_t hash = 0;
  std::string text;
  std::array<Half, 2> halves;  // selecting, testing
};

struct HalfTotals {
  std::uint64_t pairs = 0;
  std::uint64_t users = 0;
  double pair_squares = 0;  // Σ pairs_u²
};

// Second pass: exact counts of what the first has chosen, on both halves.
class Counting : public PairVisitor {
 public:
  Counting(std::vector<bool> chosen, std::uint64_t seed)
      : chosen_(std::move(chosen)), seed_(seed) {}

  bool wants(std::uint64_t) override { return true; }
  void see(std::uint64_t cluster, const FeaturedPair& pair) override {
    if (!user_ || *user_ != cluster) finish_user();
    user_ = cluster;
    ++pairs_of_user_;
    count(pair.logged, kLogged, pair.id);
    count(pair.candidate, kCandidate, pair.id);
  }
  void finish() { finish_user(); }

  std::vector<Entry> entries;
  std::array<HalfTotals, 2> totals;

 private:
  [[nodiscard]] std::size_t half() const { return selects(*user_, seed_) ? 0 : 1; }

  void count(std::span<const Feature> features, Side side, std::uint64_t id) {
    for (const Feature& feature : features) {
      if (!chosen_[feature.hash & (chosen_.size() - 1)]) continue;
      auto found = by_hash_.find(feature.hash);
      if (found == by_hash_.end()) {
        if (entries.size() == kEntriesMax) continue;
        found = by_hash_.emplace(feature.hash, entries.size()).first;
        Entry entry;
        entry.kind = feature.kind;
        entry.hash = feature.hash;
        entry.text = feature.text;
        entries.push_back(std::move(entry));
      }
      ++tally_[found->second][side];
      entries[found->second].halves[half()].sketches[side].add(id);
    }
  }
  void finish_user() {
    if (pairs_of_user_ == 0) return;
    const std::size_t which = half();
    const auto size = static_cast<double>(pairs_of_user_);
    totals[which].pairs += pairs_of_user_;
    totals[which].users += 1;
    totals[which].pair_squares += size * size;
    tally_.drain([&](std::uint64_t index, const std::array<std::uint32_t, 2>& hits) {
      Half& counts = entries[index].halves[which];
      if (hits[kCandidate] > hits[kLogged]) ++counts.more;
      if (hits[kCandidate] < hits[kLogged]) ++counts.fewer;
      for (const Side side : {kLogged, kCandidate}) {
        const double of_user = hits[side];
        counts.arms[side].hits += hits[side];
        counts.arms[side].squares += of_user * of_user;
        counts.arms[side].products += of_user * size;
      }
    });
    pairs_of_user_ = 0;
  }

  std::vector<bool> chosen_;
  std::uint64_t seed_;
  std::unordered_map<std::uint64_t, std::size_t> by_hash_;
  Tally<std::array<std::uint32_t, 2>> tally_;
  std::optional<std::uint64_t> user_;
  std::uint64_t pairs_of_user_ = 0;
};

struct Ranked {
  double p = 1;  // one-sided, on the first half
  const Entry* entry = nullptr;
};

struct Group {
  std::vector<Ranked> members;  // the first is tested
  bool more = true;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> sketch;
};

bool goes_up(const Entry& entry) {
  return entry.halves[0].more > entry.halves[0].fewer;
}

bool more_readable(const Entry& a, const Entry& b) {
  if (a.kind != b.kind) return a.kind < b.kind;
  if (a.text.size() != b.text.size()) return a.text.size() > b.text.size();
  return a.text < b.text;
}

// Of about equally strong members the more specific one is tested: a part of a phrase also occurs
// elsewhere, if only on the other half.
void choose_tested(Group& group) {
  const double limit = group.members.front().p * kAboutAsStrong;
  const auto chosen = std::min_element(group.members.begin(), group.members.end(),
                                       [&](const Ranked& a, const Ranked& b) {
                                         if ((a.p <= limit) != (b.p <= limit)) return a.p <= limit;
                                         return more_readable(*a.entry, *b.entry);
                                       });
  std::rotate(group.members.begin(), chosen, chosen + 1);
}

// The strongest feature of the first half begins a group; those that occur on the same answers join
// it.
std::vector<Group> grouped(const std::vector<Entry>& entries, const ContrastOptions& options) {
  std::vector<Ranked> order;
  for (const Entry& entry : entries) {
    const Half& half = entry.halves[0];
    const double p = sign_test(std::max(half.more, half.fewer), std::min(half.more, half.fewer));
    if (options.keep_all || p <= kSelectionLimit) order.push_back({p, &entry});
  }
  std::sort(order.begin(), order.end(), [](const Ranked& a, const Ranked& b) {
    return a.p != b.p ? a.p < b.p : more_readable(*a.entry, *b.entry);
  });
  std::vector<Group> groups;
  for (const Ranked& ranked : order) {
    const bool more = goes_up(*ranked.entry);
    auto sketch = ranked.entry->halves[0].sketches[more ? kCandidate : kLogged].sorted();
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return group.more == more && jaccard(group.sketch, sketch) >= kSameAnswers;
    });
    if (same != groups.end()) {
      if (same->members.size() < kFeaturesOfGroup) same->members.push_back(ranked);
    } else if (options.keep_all || groups.size() < options.groups_max) {
      groups.push_back({{ranked}, more, std::move(sketch)});
    }
  }
  for (Group& group : groups) choose_tested(group);
  return groups;
}

HalfRate rate_of(const ArmSums& sums, const HalfTotals& totals) {
  HalfRate rate;
  rate.answers = sums.hits;
  if (totals.pairs == 0) return {0, 0, {0, kPer}};
  const auto n = static_cast<double>(totals.pairs);
  const auto users = static_cast<double>(totals.users);
  const double share = static_cast<double>(sums.hits) / n;
  // (11) and (12): linearized variance over users, against that of a binomial share.
  const double squares =
      sums.squares - 2 * share * sums.products + share * share * totals.pair_squares;
  const double binomial = share * (1 - share) * n;
  double effect = 1;
  if (binomial > 0 && users > 1) {
    effect = std::max(1.0, users / (users - 1) * squares / binomial);
  }
  const Interval interval =
      clopper_pearson(static_cast<double>(sums.hits) / effect, n / effect, kLevelOfRates);
  rate.per_100k = share * kPer;
  rate.interval = {interval.lo * kPer, interval.hi * kPer};
  return rate;
}

std::vector<std::uint64_t> pairs_of(const Entry& entry, bool more) {
  const Side side = more ? kCandidate : kLogged;
  std::vector<std::uint64_t> ids;
  for (const Half& half : entry.halves) {
    for (const auto& [key, id] : half.sketches[side].sorted()) ids.push_back(id);
  }
  return ids;
}

ContrastFinding tested(const Group& group, const HalfTotals& totals) {
  ContrastFinding finding;
  for (const Ranked& member : group.members) {
    finding.features.push_back(feature_name(member.entry->kind, member.entry->text));
  }
  const Entry& entry = *group.members.front().entry;
  const Half& half = entry.halves[1];
  finding.more = group.more;
  finding.users_more = half.more;
  finding.users_fewer = half.fewer;
  finding.users_more_selecting = entry.halves[0].more;
  finding.users_fewer_selecting = entry.halves[0].fewer;
  finding.p_value =
      group.more ? sign_test(half.more, half.fewer) : sign_test(half.fewer, half.more);
  finding.logged = rate_of(half.arms[kLogged], totals);
  finding.candidate = rate_of(half.arms[kCandidate], totals);
  finding.excess_per_100k = finding.candidate.per_100k - finding.logged.per_100k;
  finding.pairs = pairs_of(entry, group.more);
  return finding;
}

// Weights 1/rank with mean 1: p-values are divided by them before Benjamini–Hochberg.
void adjust(std::vector<ContrastFinding>& findings) {
  double harmonic = 0;
  for (std::size_t i = 0; i < findings.size(); ++i) harmonic += 1 / static_cast<double>(i + 1);
  std::vector<double> weighted;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    const double weight =
        static_cast<double>(findings.size()) / harmonic / static_cast<double>(i + 1);
    weighted.push_back(std::min(1.0, findings[i].p_value / weight));
  }
  const std::vector<double> adjusted = benjamini_hochberg(weighted);
  for (std::size_t i = 0; i < findings.size(); ++i) findings[i].adjusted = adjusted[i];
}

}  // namespace

bool selects(std::uint64_t cluster, std::uint64_t seed) {
  return (mixed(cluster ^ mixed(seed + 0x9E3779B97F4A7C15U)) >> 63) == 0;
}

Result<Contrast> contrast(const PairSource& source, const ContrastOptions& options) {
  UNDERSTUDY_ASSERT(options.level > 0 && options.level < 1 && options.groups_max > 0);
  Contrast out;
  std::vector<bool> chosen(kSlotsMin, true);
  if (!options.keep_all) {
    Selection selection(options);
    UNDERSTUDY_CHECK(source(selection));
    chosen = selection.finish();
  }
  Counting counting(std::move(chosen), options.seed);
  UNDERSTUDY_CHECK(source(counting));
  counting.finish();
  out.pairs = counting.totals[0].pairs + counting.totals[1].pairs;
  out.users_selecting = counting.totals[0].users;
  out.users_testing = counting.totals[1].users;
  out.users = out.users_selecting + out.users_testing;
  out.pairs_selecting = counting.totals[0].pairs;
  if (out.users_selecting == 0 || out.users_testing == 0) return out;
  std::vector<ContrastFinding> all;
  for (const Group& group : grouped(counting.entries, options)) {
    all.push_back(tested(group, counting.totals[1]));
  }
  out.tested = all.size();
  adjust(all);
  for (ContrastFinding& finding : all) {
    if (options.keep_all || finding.adjusted <= options.level) {
      out.findings.push_back(std::move(finding));
    }
  }
  std::stable_sort(out.findings.begin(), out.findings.end(),
                   [](const ContrastFinding& a, const ContrastFinding& b) {
                     if (a.more != b.more) return a.more;
                     return std::abs(a.excess_per_100k) > std::abs(b.excess_per_100k);
                   });
  return out;
}

}  // namespace understudy
