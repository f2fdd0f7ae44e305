#include "discovery/strata.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "stats/multiplicity.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

constexpr std::size_t kChosenFrom = 5'000;
constexpr std::size_t kStrataMax = 400;
constexpr std::size_t kPrefixesMin = 10;
constexpr std::size_t kNamesMax = 3;
constexpr std::size_t kClustersMin = 10;
constexpr std::size_t kPositiveClustersMin = 5;

// What a side has of one user.
struct UserTotal {
  double hits = 0, size = 0;            // sums of weights
  double hit_squares = 0, squares = 0;  // of their squares
  [[nodiscard]] bool has_pairs() const { return size * size > squares * (1 + 1e-9); }
};

// How much more alike two draws of a user are than two draws of anybody: shared / possible.
struct Likeness {
  double shared = 0, possible = 0;
};

// One side of a stratum, for one behavior.
class Side {
 public:
  void add(std::uint64_t cluster, double weight, bool present) {
    if (users_.empty() || cluster != cluster_) {
      users_.push_back({});
      positive_users_ += has_hit_ ? 1 : 0;
      has_hit_ = false;
    }
    cluster_ = cluster;
    users_.back().size += weight;
    users_.back().squares += weight * weight;
    weight_ += weight;
    ++draws_;
    if (!present) return;
    users_.back().hits += weight;
    users_.back().hit_squares += weight * weight;
    hits_ += weight;
    ++present_;
    has_hit_ = true;
  }

  [[nodiscard]] std::uint64_t draws() const { return draws_; }
  [[nodiscard]] std::uint64_t present() const { return present_; }
  [[nodiscard]] double weight() const { return weight_; }
  [[nodiscard]] std::size_t clusters() const { return users_.size(); }
  [[nodiscard]] std::size_t positive_clusters() const {
    return positive_users_ + (has_hit_ ? 1 : 0);
  }
  [[nodiscard]] double rate() const { return weight_ > 0 ? std::min(hits_ / weight_, 1.0) : 0; }

  // Each user counts by size and not by pairs, of which a heavy one has nearly all. Nothing where
  // all or none are hits.
  [[nodiscard]] Likeness likeness() const {
    const double p = rate();
    Likeness sum;
    for (const UserTotal& user : users_) {
      if (!user.has_pairs()) continue;
      const double single =
          user.hit_squares * (1 - p) * (1 - p) + (user.squares - user.hit_squares) * p * p;
      sum.shared += (residual_square(user) - single) / (user.size - user.squares / user.size);
      sum.possible += p * (1 - p) * user.size;
    }
    return sum;
  }

  /// As many independent draws of equal weight as these are worth, where draws of a user are alike
  /// to this degree, or as much as they are here.
  [[nodiscard]] RateCount effective(double likeness) const {
    double assumed = 0, seen = 0;
    for (const UserTotal& user : users_) {
      assumed += user.squares + likeness * (user.size * user.size - user.squares);
      seen += residual_square(user);
    }
    const double p = rate();
    double n = weight_ * weight_ / assumed;
    if (p > 0 && p < 1) n = std::min(n, p * (1 - p) * weight_ * weight_ / seen);
    return {.hits = p * n, .n = n};
  }

 private:
  // A user who is much of the side pulls the rate along: the residual is small for that.
  [[nodiscard]] double residual_square(const UserTotal& user) const {
    const double residual = user.hits - rate() * user.size;
    return residual * residual / std::max(1 - user.size / weight_, 1e-9);
  }

  std::vector<UserTotal> users_;
  std::uint64_t cluster_ = 0;
  bool has_hit_ = false;
  std::size_t positive_users_ = 0;
  std::uint64_t draws_ = 0, present_ = 0;
  double weight_ = 0, hits_ = 0;
};

double likeness_of(const Side& a, const Side& b) {
  const Likeness one = a.likeness(), other = b.likeness();
  const double possible = one.possible + other.possible;
  return possible > 0 ? std::clamp((one.shared + other.shared) / possible, 0.0, 1.0) : 0;
}

struct Tested {
  std::size_t behavior = 0;
  StratumRate rate;
  RateCount inside;
};

}  // namespace

void StrataBuilder::add(std::vector<std::string> names) {
  ++prefixes_;
  if (chosen_) {
    place(names);
    return;
  }
  first_.push_back(std::move(names));
  if (first_.size() == kChosenFrom) choose();
}

void StrataBuilder::choose() {
  chosen_ = true;
  std::map<std::string, std::size_t> counts;
  for (const auto& names : first_) {
    for (const std::string& name : std::set<std::string>(names.begin(), names.end())) {
      ++counts[name];
    }
  }
  const std::size_t least = std::max(kPrefixesMin, first_.size() / 100);
  std::vector<std::pair<std::size_t, std::string>> common;
  for (const auto& [name, count] : counts) {
    if (count >= least && first_.size() - count >= least) common.emplace_back(count, name);
  }
  std::stable_sort(common.begin(), common.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second.size() < b.second.size();
  });
  if (common.size() > kStrataMax) common.resize(kStrataMax);
  for (const auto& [count, name] : common) {
    numbers_.emplace(name, strata_.names.size());
    strata_.names.push_back(name);
  }
  strata_.holds.resize(strata_.names.size());
  const auto first = std::move(first_);
  for (const auto& names : first) place(names);
}

void StrataBuilder::place(const std::vector<std::string>& names) {
  for (auto& holds : strata_.holds) holds.push_back(false);
  for (const std::string& name : names) {
    const auto found = numbers_.find(name);
    if (found != numbers_.end()) strata_.holds[found->second].back() = true;
  }
}

Strata StrataBuilder::finish() {
  if (!chosen_) choose();
  Strata distinct;
  std::map<std::vector<bool>, std::pair<std::size_t, std::size_t>> seen;  // number, names so far
  for (std::size_t i = 0; i < strata_.names.size(); ++i) {
    const auto [same, is_new] = seen.try_emplace(strata_.holds[i], distinct.names.size(), 1);
    if (is_new) {
      distinct.names.push_back(std::move(strata_.names[i]));
      distinct.holds.push_back(std::move(strata_.holds[i]));
    } else if (same->second.second++ < kNamesMax) {
      distinct.names[same->second.first] += " · " + strata_.names[i];
    }
  }
  return distinct;
}

StrataFound strata_that_carry(const Strata& strata, const StratumDraws& draws,
                              std::span<const std::vector<Carried>> behaviors, double level) {
  std::vector<Tested> tested;
  std::vector<double> p_values;
  for (std::size_t b = 0; b < behaviors.size(); ++b) {
    const std::vector<Carried>& carried = behaviors[b];
    UNDERSTUDY_ASSERT(carried.size() == draws.prefix.size());
    Side all;
    for (std::size_t i = 0; i < carried.size(); ++i) {
      if (carried[i] == Carried::kUnknown) continue;
      all.add(draws.cluster[i], draws.weight[i], carried[i] == Carried::kYes);
    }
    if (all.positive_clusters() < kPositiveClustersMin) continue;
    for (std::size_t s = 0; s < strata.names.size(); ++s) {
      Side inside, outside;
      for (std::size_t i = 0; i < carried.size(); ++i) {
        if (carried[i] == Carried::kUnknown) continue;
        Side& side = strata.holds[s][draws.prefix[i]] ? inside : outside;
        side.add(draws.cluster[i], draws.weight[i], carried[i] == Carried::kYes);
      }
      if (inside.clusters() < kClustersMin || outside.clusters() < kClustersMin) continue;
      const double likeness = likeness_of(inside, outside);
      const RateCount count = inside.effective(likeness);
      StratumRate rate{.stratum = s,
                       .draws = inside.draws(),
                       .present = inside.present(),
                       .share = inside.weight() / all.weight(),
                       .rate = inside.rate(),
                       .rate_outside = outside.rate(),
                       .interval = {},
                       .interval_of_all = {},
                       .p_value = conditional_mid_p(count, outside.effective(likeness))};
      p_values.push_back(rate.p_value);
      tested.push_back({.behavior = b, .rate = rate, .inside = count});
    }
  }
  const std::vector<double> adjusted = benjamini_hochberg(p_values);
  std::vector<Tested> chosen;
  for (std::size_t i = 0; i < tested.size(); ++i) {
    tested[i].rate.adjusted = adjusted[i];
    const bool more = tested[i].rate.rate > tested[i].rate.rate_outside;
    if (more && adjusted[i] <= level) chosen.push_back(tested[i]);
  }
  StrataFound found{.behaviors = {}, .tested = tested.size(), .interval_level = 1 - level};
  found.behaviors.resize(behaviors.size());
  if (!chosen.empty()) {
    const double of_one = level / static_cast<double>(tested.size());
    found.interval_level = 1 - of_one * static_cast<double>(chosen.size());
    found.interval_of_all_level = 1 - of_one;
  }
  for (Tested& one : chosen) {
    const auto [hits, n] = one.inside;
    one.rate.interval = clopper_pearson(hits, n, found.interval_level);
    one.rate.interval_of_all = clopper_pearson(hits, n, found.interval_of_all_level);
    found.behaviors[one.behavior].push_back(one.rate);
  }
  for (auto& rates : found.behaviors) {
    std::stable_sort(rates.begin(), rates.end(), [](const StratumRate& a, const StratumRate& b) {
      return a.p_value < b.p_value;
    });
  }
  return found;
}

}  // namespace understudy
