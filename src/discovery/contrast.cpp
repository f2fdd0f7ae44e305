#include "discovery/contrast.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "base/assert.hpp"
#include "base/rng.hpp"
#include "discovery/hypotheses.hpp"
#include "stats/distributions.hpp"
#include "stats/multiplicity.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kSlotsMin = std::uint64_t{1} << 20;
constexpr std::uint64_t kSlotsMax = std::uint64_t{1} << 25;
constexpr std::uint64_t kSlotsPerPair = 128;
constexpr std::size_t kSlotsSelectedMax = 4096;
constexpr std::size_t kEntriesMax = 65536;
constexpr double kLevelOfLength = 0.05;  // one-sided, on the second half
constexpr double kPer = 100'000;
constexpr double kErrorOfRates = 0.05;  // of the intervals that are shown, on average

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

// A user's votes for one feature.
class Ballot {
 public:
  // The first pair of a conversation in which one arm has the feature votes for it; later ones
  // don't.
  void vote(std::uint64_t conversation, int sign) {
    if (voted_ == conversation) return;
    voted_ = conversation;
    sum_ += sign;
  }
  [[nodiscard]] std::int64_t sum() const { return sum_; }

 private:
  std::uint64_t voted_ = 0;
  std::int64_t sum_ = 0;
};

// Numbers a user's conversations from 1, and tells what one arm's answer has and the other's has
// not.
class Differing {
 public:
  void begin_user() { number_ = 0; }
  // `visit`: hash, conversation, +1 where the candidate has it.
  template <class Wanted, class Visit>
  void visit(const FeaturedPair& pair, const Wanted& wanted, const Visit& visit) {
    if (number_ == 0 || pair.conversation == 0 || pair.conversation != last_) ++number_;
    last_ = pair.conversation;
    for (const Feature& feature : pair.candidate) {
      if (wanted(feature.hash)) ++net_[feature.hash];
    }
    for (const Feature& feature : pair.logged) {
      if (wanted(feature.hash)) --net_[feature.hash];
    }
    net_.drain([&](std::uint64_t hash, int sign) {
      if (sign != 0) visit(hash, number_, sign);
    });
  }

 private:
  std::uint64_t number_ = 0;
  std::uint64_t last_ = 0;
  Tally<int> net_;
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
    const auto all = [](std::uint64_t) { return true; };
    differing_.visit(pair, all, [&](std::uint64_t hash, std::uint64_t conversation, int sign) {
      ballots_[hash].vote(conversation, sign);
    });
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
    ballots_.drain([&](std::uint64_t hash, const Ballot& ballot) {
      Votes& votes = slots_[hash & (slots_.size() - 1)];
      if (ballot.sum() > 0) ++votes.more;
      if (ballot.sum() < 0) ++votes.fewer;
    });
    differing_.begin_user();
  }
  std::uint64_t seed_;
  std::vector<Votes> slots_;
  std::optional<std::uint64_t> user_;
  Differing differing_;
  Tally<Ballot> ballots_;
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
    const auto counted = [&](std::uint64_t hash) { return chosen(hash); };
    differing_.visit(pair, counted, [&](std::uint64_t hash, std::uint64_t conversation, int sign) {
      const auto found = by_hash_.find(hash);
      if (found != by_hash_.end()) of_user_[found->second].ballot.vote(conversation, sign);
    });
  }
  void finish() {
    finish_user();
    for (CountedFeature& entry : entries) {
      for (HalfCounts& half : entry.halves) {
        for (HitSketch& sketch : half.sketches) sketch.finish();
      }
    }
  }

  std::vector<CountedFeature> entries;
  std::array<BySide<Lengths>, 2> lengths{};  // all answers of each half
  std::array<HalfTotals, 2> totals;

 private:
  struct OfUser {
    BySide<std::uint32_t> hits{};
    Ballot ballot;
  };
  [[nodiscard]] std::size_t half() const { return selects(*user_, seed_) ? 0 : 1; }
  [[nodiscard]] bool chosen(std::uint64_t hash) const {
    return chosen_[hash & (chosen_.size() - 1)];
  }

  void count(std::span<const Feature> features, Side side, std::uint64_t id) {
    const std::size_t length = length_of(features.size());
    const std::size_t which = half();
    ++lengths[which][side][length];
    for (const Feature& feature : features) {
      if (!chosen(feature.hash)) continue;
      auto found = by_hash_.find(feature.hash);
      if (found == by_hash_.end()) {
        if (entries.size() == kEntriesMax) continue;
        found = by_hash_.emplace(feature.hash, entries.size()).first;
        CountedFeature entry;
        entry.kind = feature.kind;
        entry.text = feature.text;
        entries.push_back(std::move(entry));
      }
      ++of_user_[found->second].hits[side];
      HalfCounts& counts = entries[found->second].halves[which];
      counts.sketches[side].add(id);
      ++counts.lengths[side][length];
    }
  }
  void finish_user() {
    if (pairs_of_user_ == 0) return;
    const std::size_t which = half();
    const auto size = static_cast<double>(pairs_of_user_);
    totals[which].pairs += pairs_of_user_;
    totals[which].users += 1;
    totals[which].pair_squares += size * size;
    of_user_.drain([&](std::uint64_t index, const OfUser& user) {
      HalfCounts& counts = entries[index].halves[which];
      if (user.ballot.sum() > 0) ++counts.more;
      if (user.ballot.sum() < 0) ++counts.fewer;
      for (const Side side : {kLogged, kCandidate}) {
        const double of_user = user.hits[side];
        counts.arms[side].hits += user.hits[side];
        counts.arms[side].squares += of_user * of_user;
        counts.arms[side].products += of_user * size;
      }
    });
    pairs_of_user_ = 0;
    differing_.begin_user();
  }

  std::vector<bool> chosen_;
  std::uint64_t seed_;
  std::unordered_map<std::uint64_t, std::size_t> by_hash_;
  Differing differing_;
  Tally<OfUser> of_user_;
  std::optional<std::uint64_t> user_;
  std::uint64_t pairs_of_user_ = 0;
};

// (11) and (12): linearized variance over users, against that of a binomial share. 1 where all or
// none are hits.
double effect_of(const ArmSums& sums, const HalfTotals& totals) {
  const auto n = static_cast<double>(totals.pairs);
  const auto users = static_cast<double>(totals.users);
  const double share = static_cast<double>(sums.hits) / n;
  const double squares =
      sums.squares - 2 * share * sums.products + share * share * totals.pair_squares;
  const double binomial = share * (1 - share) * n;
  if (binomial <= 0 || users <= 1) return 1;
  return std::max(1.0, users / (users - 1) * squares / binomial);
}

HalfRate rate_of(const ArmSums& sums, const HalfTotals& totals, double effect, double level) {
  const auto n = static_cast<double>(totals.pairs);
  const auto hits = static_cast<double>(sums.hits);
  const Interval interval = clopper_pearson(hits / effect, n / effect, level);
  return {.answers = sums.hits,
          .per_100k = hits / n * kPer,
          .interval = {interval.lo * kPer, interval.hi * kPer},
          .level = level};
}

std::vector<std::uint64_t> pairs_of(const CountedFeature& entry, bool more) {
  const Side side = more ? kCandidate : kLogged;
  std::vector<std::uint64_t> ids;
  for (const HalfCounts& half : entry.halves) {
    for (const auto& [key, id] : half.sketches[side].hits()) ids.push_back(id);
  }
  return ids;
}

ContrastFinding tested(const Hypothesis& hypothesis, const BySide<Lengths>& lengths) {
  ContrastFinding finding;
  for (const CountedFeature* feature : hypothesis.features) {
    finding.features.push_back(feature_name(feature->kind, feature->text));
  }
  const CountedFeature& feature = *hypothesis.features.front();
  const HalfCounts& half = feature.halves[1];
  finding.more = hypothesis.more;
  finding.with_length = hypothesis.with_length || goes_with_length(feature.kind, half, lengths,
                                                                   hypothesis.more, kLevelOfLength);
  finding.users_more = half.more;
  finding.users_fewer = half.fewer;
  finding.users_more_selecting = feature.halves[0].more;
  finding.users_fewer_selecting = feature.halves[0].fewer;
  finding.p_value =
      hypothesis.more ? sign_test(half.more, half.fewer) : sign_test(half.fewer, half.more);
  finding.pairs = pairs_of(feature, hypothesis.more);
  return finding;
}

// Of m rates the R that are shown have intervals at 1 − 0.05 R/m: on average at most one in twenty
// of those shown misses its rate, although they were chosen for being high (Benjamini & Yekutieli
// 2005).
void measure(ContrastFinding& finding, const CountedFeature& feature, const HalfTotals& totals,
             double level) {
  const BySide<ArmSums>& arms = feature.halves[1].arms;
  // The same users answer in both arms: one without hits is as clustered as the other, if unseen.
  const double effect =
      std::max(effect_of(arms[kLogged], totals), effect_of(arms[kCandidate], totals));
  const auto rate = [&](Side side) {
    const bool is_seen = arms[side].hits > 0;
    return rate_of(arms[side], totals, is_seen ? effect_of(arms[side], totals) : effect, level);
  };
  finding.logged = rate(kLogged);
  finding.candidate = rate(kCandidate);
  finding.excess_per_100k = finding.candidate.per_100k - finding.logged.per_100k;
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

// What a person would read as one thing is shown once, as the second half sees it: what an earlier
// finding shows, and what goes with length, gives its name to that finding. `findings` are in the
// order of the first half; of those that go with length, one of a length stands for the others.
class Folding {
 public:
  explicit Folding(double answers) : answers_(answers) {}

  void add(ContrastFinding finding, const CountedFeature& feature) {
    const auto same = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
      if (kept.finding.more != finding.more) return false;
      if (kept.finding.with_length || finding.with_length) {
        return kept.finding.with_length && finding.with_length;
      }
      return shows(kept.feature->halves[1], feature.halves[1], finding.more, answers_);
    });
    if (same == kept_.end()) {
      kept_.push_back({std::move(finding), &feature});
      return;
    }
    const bool first = finding.with_length && feature.kind == FeatureKind::kLength &&
                       same->feature->kind != FeatureKind::kLength;
    if (first) {
      std::swap(same->finding, finding);
      same->feature = &feature;
    }
    for (std::string& name : finding.features) {
      if (same->finding.features.size() < kFeaturesNamed) {
        same->finding.features.push_back(std::move(name));
      }
    }
  }
  std::vector<ContrastFinding> finish() {
    std::vector<ContrastFinding> findings;
    for (Kept& kept : kept_) findings.push_back(std::move(kept.finding));
    return findings;
  }

 private:
  struct Kept {
    ContrastFinding finding;
    const CountedFeature* feature = nullptr;
  };
  double answers_;
  std::vector<Kept> kept_;
};

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
  const GroupingOptions grouping{options.groups_max, options.keep_all};
  const std::vector<Hypothesis> tests = hypotheses(counting.entries, counting.lengths[0], grouping);
  std::vector<ContrastFinding> all;
  for (const Hypothesis& one : tests) all.push_back(tested(one, counting.lengths[1]));
  out.tested = all.size();
  adjust(all);
  const auto shown = [&](const ContrastFinding& finding) {
    return options.keep_all || finding.adjusted <= options.level;
  };
  const auto count = static_cast<double>(std::count_if(all.begin(), all.end(), shown));
  const double level = 1 - kErrorOfRates * count / std::max(1.0, static_cast<double>(all.size()));
  Folding folding(static_cast<double>(counting.totals[1].pairs));
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!shown(all[i])) continue;
    const CountedFeature& feature = *tests[i].features.front();
    measure(all[i], feature, counting.totals[1], level);
    if (options.keep_all) {
      out.findings.push_back(std::move(all[i]));
    } else {
      folding.add(std::move(all[i]), feature);
    }
  }
  if (!options.keep_all) out.findings = folding.finish();
  std::stable_sort(out.findings.begin(), out.findings.end(),
                   [](const ContrastFinding& a, const ContrastFinding& b) {
                     if (a.more != b.more) return a.more;
                     return std::abs(a.excess_per_100k) > std::abs(b.excess_per_100k);
                   });
  return out;
}

}  // namespace understudy
