#include "testing/worlds.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/assert.hpp"
#include "stats/distributions.hpp"
#include "testing/variates.hpp"

namespace understudy {
namespace {

constexpr double kRecall = 0.85;
constexpr double kFalseFlag = 0.001;
constexpr double kRiskSpread = 2.5;
constexpr double kRiskCorrelation = 0.7;
constexpr double kChangeSd = 0.69314718055994531;  // ln 2
constexpr std::uint64_t kPool = 1'000'000;
constexpr std::uint64_t kFlagLabels = 800;
constexpr std::uint64_t kAuditLabels = 200;

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// Expectation over a standard normal, by the trapezoid rule: exponentially exact for such p.
template <class F>
double normal_mean(F f) {
  double sum = 0, weight = 0;
  for (int i = -160; i <= 160; ++i) {
    const double z = 0.05 * i;
    const double w = std::exp(-z * z / 2);
    sum += w * f(z);
    weight += w;
  }
  return sum / weight;
}

// How probable the behavior is on a prefix whose score correlates with its latent risk.
class RiskCurve {
 public:
  RiskCurve(bool concentrated, double chance, double rate)
      : concentrated_(concentrated), chance_(chance) {
    if (concentrated) {
      threshold_ = normal_quantile(1 - rate / chance);
      return;
    }
    double lo = -60, hi = 20;
    for (int step = 0; step < 100; ++step) {
      const double middle = (lo + hi) / 2;
      const double mean = normal_mean([&](double z) { return sigmoid(middle + kRiskSpread * z); });
      (mean > rate ? hi : lo) = middle;
    }
    threshold_ = (lo + hi) / 2;
  }
  /// ln E[p | score] at scores -6, -5.95 … 6, for the interpolation below.
  using Table = std::array<double, 241>;
  [[nodiscard]] Table table(double correlation) const {
    Table logs{};
    for (std::size_t i = 0; i < logs.size(); ++i) {
      logs[i] = std::log(given(-6 + 0.05 * static_cast<double>(i), correlation));
    }
    return logs;
  }
  [[nodiscard]] static double look_up(const Table& table, double score) {
    const double at = std::clamp((score + 6) / 0.05, 0.0, 239.999);
    const auto i = static_cast<std::size_t>(at);
    const double part = at - static_cast<double>(i);
    return std::exp((1 - part) * table[i] + part * table[i + 1]);
  }
  /// E[p | score], corr(score, z) = correlation.
  [[nodiscard]] double given(double score, double correlation) const {
    const double rest = std::sqrt(1 - correlation * correlation);
    if (concentrated_) {
      return std::max(chance_ * normal_cdf((correlation * score - threshold_) / rest), 1e-12);
    }
    return std::max(normal_mean([&](double z) {
                      return sigmoid(threshold_ + kRiskSpread * (correlation * score + rest * z));
                    }),
                    1e-12);
  }

 private:
  bool concentrated_;
  double chance_;
  double threshold_ = 0;
};

// Adds flags with their labels: at most `budget` of them are verified, at random.
void add_flags(ArmVerdicts& verdicts, std::vector<VerdictRow> rows, std::uint64_t budget,
               Rng& rng) {
  std::uint64_t flags = 0;
  for (const VerdictRow& row : rows) flags += row.count;
  const bool all = flags <= budget;
  const double pi = all ? 1 : static_cast<double>(budget) / static_cast<double>(flags);
  std::uint64_t left = flags, wanted = budget;
  for (VerdictRow row : rows) {
    for (std::uint64_t i = 0; i < row.count; ++i) {
      VerdictRow one = row;
      one.count = 1;
      one.pi_oracle = pi;
      if (!all && rng.below(left--) >= wanted) {
        one.oracle = Oracle::kUnknown;
      } else if (!all) {
        --wanted;
      }
      verdicts.add(one);
    }
  }
}

std::uint64_t known_positives_flagged(const World& world, Rng& rng) {
  return draw_binomial(rng, kRecallLabels, kRecall * (1 - (world.recall_knows ? world.blind : 0)));
}

void add_audit(ArmVerdicts& verdicts, std::uint64_t passed, std::uint64_t missed, double weight,
               Rng& rng) {
  const double pi = static_cast<double>(kAuditLabels) / static_cast<double>(passed);
  const std::uint64_t found =
      draw_binomial(rng, kAuditLabels, static_cast<double>(missed) / static_cast<double>(passed));
  VerdictRow row{.singleton = true, .weight = weight, .screen = Screened::kAbsent, .pi_oracle = pi};
  if (found > 0) {
    row.oracle = Oracle::kPresent;
    row.count = found;
    verdicts.add(row);
  }
  row.oracle = Oracle::kAbsent;
  row.count = kAuditLabels - found;
  if (row.count > 0) verdicts.add(row);
}

ArmSummary uniform_arm(const World& world, double rate, double& perfect, Rng& rng) {
  ClusterSizes draws;
  draws.add_singletons(1, kWorldDraws);
  draws.finish();
  const std::uint64_t positives = draw_binomial(rng, kWorldDraws, rate);
  perfect = static_cast<double>(positives) / static_cast<double>(kWorldDraws);
  const std::uint64_t caught = draw_binomial(rng, positives, kRecall * (1 - world.blind));
  const std::uint64_t wrong = draw_binomial(rng, kWorldDraws - positives, kFalseFlag);
  std::vector<VerdictRow> rows;
  if (caught > 0) rows.push_back({.singleton = true, .oracle = Oracle::kPresent, .count = caught});
  if (wrong > 0) rows.push_back({.singleton = true, .oracle = Oracle::kAbsent, .count = wrong});
  ArmVerdicts verdicts(draws);
  add_flags(verdicts, std::move(rows), kFlagLabels, rng);
  add_audit(verdicts, kWorldDraws - caught - wrong, positives - caught, 1, rng);
  return summarize(std::move(verdicts));
}

// Ten draws a user; a bad user yields a fixed number of hits, others none.
ArmSummary users_arm(const World& world, double rate, double& perfect, Rng& rng) {
  constexpr std::uint64_t kDrawsPerUser = 10;
  constexpr std::uint64_t kUsers = kWorldDraws / kDrawsPerUser;
  static const ClusterSizes draws = [] {
    ClusterSizes sizes;
    for (std::uint64_t user = 0; user < kUsers; ++user) sizes.add(user, 1, kDrawsPerUser);
    sizes.finish();
    return sizes;
  }();
  const auto hits = static_cast<double>(world.hits_per_bad_user);
  const std::uint64_t bad =
      draw_binomial(rng, kUsers, rate * static_cast<double>(kDrawsPerUser) / hits);
  std::vector<VerdictRow> rows;
  for (std::uint64_t user = 0; user < bad; ++user) {
    const std::uint64_t caught = draw_binomial(rng, world.hits_per_bad_user, kRecall);
    if (caught > 0) {
      rows.push_back({.cluster = user, .oracle = Oracle::kPresent, .count = caught});
    }
  }
  const std::uint64_t positives = bad * world.hits_per_bad_user;
  perfect = static_cast<double>(positives) / static_cast<double>(kWorldDraws);
  const std::uint64_t wrong = draw_binomial(rng, kWorldDraws - positives, kFalseFlag);
  for (std::uint64_t i = 0; i < wrong; ++i) {
    rows.push_back({.cluster = bad + rng.below(kUsers - bad), .oracle = Oracle::kAbsent});
  }
  ArmVerdicts verdicts(draws);
  add_flags(verdicts, std::move(rows), kFlagLabels, rng);
  return summarize(std::move(verdicts));
}

// One slice of the pool: prefixes whose scores differ by less than 0.01.
constexpr int kSlices = 1200;
double slice_score(int slice) {
  return -6 + 0.01 * (slice + 0.5);
}

ArmSummary risk_arm(const World& world, double rate, double old_share, Rng& rng) {
  // Learned from the old model's flags, hence blurred by how far the models differ.
  const RiskCurve::Table candidate = RiskCurve(world.concentrated, world.chance, rate)
                                         .table(world.risk_helps ? kRiskCorrelation : 0);
  const RiskCurve::Table old = RiskCurve(world.concentrated, world.chance, old_share)
                                   .table(kRiskCorrelation * world.old_correlation);
  std::array<std::uint64_t, kSlices> pool{};
  std::array<double, kSlices> root{};
  std::uint64_t left = kPool;
  double mass_left = 1, root_sum = 0;
  for (int i = 0; i < kSlices; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const double mass = normal_cdf(-6 + 0.01 * (i + 1)) - normal_cdf(-6 + 0.01 * i);
    pool[at] = i + 1 == kSlices ? left : draw_binomial(rng, left, std::min(mass / mass_left, 1.0));
    left -= pool[at];
    mass_left = std::max(mass_left - mass, 1e-15);
    if (pool[at] == 0) continue;
    root[at] = std::sqrt(RiskCurve::look_up(old, slice_score(i)));
    root_sum += root[at] * static_cast<double>(pool[at]);
  }
  ClusterSizes draws;
  std::vector<VerdictRow> rows;
  for (int i = 0; i < kSlices; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const double chance = 0.7 * root[at] / root_sum + 0.3 / static_cast<double>(kPool);
    const double pi = std::min(static_cast<double>(kWorldDraws) * chance, 1.0);
    const std::uint64_t taken = draw_binomial(rng, pool[at], pi);
    if (taken == 0) continue;
    draws.add_singletons(1 / pi, taken);
    const double p = std::min(RiskCurve::look_up(candidate, slice_score(i)), 1.0);
    const std::uint64_t positives = draw_binomial(rng, taken, p);
    const std::uint64_t caught = draw_binomial(rng, positives, kRecall * (1 - world.blind));
    const std::uint64_t wrong = draw_binomial(rng, taken - positives, kFalseFlag);
    VerdictRow row{.singleton = true, .weight = 1 / pi};
    if (caught > 0) {
      row.oracle = Oracle::kPresent;
      row.count = caught;
      rows.push_back(row);
    }
    if (wrong > 0) {
      row.oracle = Oracle::kAbsent;
      row.count = wrong;
      rows.push_back(row);
    }
  }
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.set_frame(static_cast<double>(kPool));
  add_flags(verdicts, std::move(rows), kFlagLabels, rng);
  return summarize(std::move(verdicts));
}

}  // namespace

const std::vector<World>& single_worlds() {
  static const std::vector<World> worlds = [] {
    std::vector<World> list;
    list.push_back({.name = "A", .about = "diffuse risk"});
    list.push_back({.name = "B", .about = "risk in a small class", .concentrated = true});
    list.push_back({.name = "C", .about = "judge blind to 15%, recall set knows", .blind = 0.15});
    list.push_back({.name = "D",
                    .about = "judge blind to 15%, recall set does not know",
                    .blind = 0.15,
                    .recall_knows = false});
    list.push_back({.name = "E", .about = "rate jumped sixfold", .jump = 6.0});
    list.push_back({.name = "F", .about = "risk score is useless", .risk_helps = false});
    list.push_back({.name = "G",
                    .about = "near-deterministic small class, models alike",
                    .concentrated = true,
                    .chance = 0.9,
                    .old_correlation = 0.98});
    list.push_back(
        {.name = "A-users-5", .about = "a bad user yields 5 hits", .hits_per_bad_user = 5});
    list.push_back(
        {.name = "A-users-10", .about = "a bad user yields 10 hits", .hits_per_bad_user = 10});
    return list;
  }();
  return worlds;
}

WorldStudy make_study(const World& world, double rate, Rng& rng) {
  WorldStudy study;
  const double ratio = world.jump > 0 ? world.jump : std::exp(kChangeSd * draw_normal(rng));
  study.old_share = std::min(rate / ratio, 0.2);
  const std::uint64_t flagged = known_positives_flagged(world, rng);
  study.uniform.name = world.name;
  study.uniform.recall = {{"known positives", kRecallLabels, flagged, false}};
  study.uniform.previous = PreviousRate{1e5 * study.old_share, {}, {}};
  study.risk_weighted = study.uniform;
  study.recall_flagged = flagged;
  if (world.hits_per_bad_user > 0) {
    study.uniform.arm(Arm::kCandidate) = users_arm(world, rate, study.perfect, rng);
    return study;
  }
  study.false_flags = draw_binomial(rng, kKnownNegatives, kFalseFlag);
  study.uniform.arm(Arm::kCandidate) = uniform_arm(world, rate, study.perfect, rng);
  study.risk_weighted.arm(Arm::kCandidate) = risk_arm(world, rate, study.old_share, rng);
  return study;
}

namespace {

constexpr int kBehaviors = 20;
constexpr int kStrata = 40;

std::string behavior_name(int i) {
  return std::string("behavior_") + static_cast<char>('a' + i / 10) +
         static_cast<char>('0' + i % 10);
}

// Forty strata of equal size by risk score; counts are Poisson, as §9 has them.
ArmSummary portfolio_risk_arm(bool concentrated, double rate, double old_share, Rng& rng) {
  const RiskCurve candidate(concentrated, 0.4, rate);
  const RiskCurve old(concentrated, 0.4, old_share);
  std::array<double, kStrata> chance{}, share{};
  double mean = 0, root_sum = 0;
  for (int s = 0; s < kStrata; ++s) {
    const auto at = static_cast<std::size_t>(s);
    const double score = normal_quantile((s + 0.5) / kStrata);
    chance[at] = candidate.given(score, kRiskCorrelation);
    share[at] = std::sqrt(old.given(score, kRiskCorrelation * 0.8));
    mean += chance[at] / kStrata;
    root_sum += share[at];
  }
  ClusterSizes draws;
  std::vector<VerdictRow> rows;
  for (std::size_t s = 0; s < kStrata; ++s) {
    const double part = 0.7 * share[s] / root_sum + 0.3 / kStrata;
    const double expected = static_cast<double>(kWorldDraws) * part;
    const std::uint64_t caught = draw_poisson(rng, expected * chance[s] * rate / mean * kRecall);
    const auto taken = std::max(static_cast<std::uint64_t>(std::round(expected)), caught);
    // 1/pi where the stratum stands for 1/40 of the pool.
    const double weight = static_cast<double>(kPool) / kStrata / static_cast<double>(taken);
    draws.add_singletons(weight, taken);
    if (caught > 0) {
      rows.push_back(
          {.singleton = true, .weight = weight, .oracle = Oracle::kPresent, .count = caught});
    }
  }
  draws.finish();
  ArmVerdicts verdicts(draws);
  verdicts.set_frame(static_cast<double>(kPool));
  for (const VerdictRow& row : rows) verdicts.add(row);
  return summarize(std::move(verdicts));
}

ArmSummary counted_arm(std::uint64_t draws_count, std::uint64_t present, std::uint64_t wrong,
                       Oracle oracle) {
  ClusterSizes draws;
  draws.add_singletons(1, draws_count);
  draws.finish();
  ArmVerdicts verdicts(draws);
  if (present > 0) verdicts.add({.singleton = true, .oracle = oracle, .count = present});
  if (wrong > 0) {
    verdicts.add({.singleton = true, .oracle = Oracle::kAbsent, .count = wrong});
  }
  return summarize(std::move(verdicts));
}

double log_uniform_rate(Rng& rng) {
  return std::pow(10, -5 + 3 * rng.uniform());
}

}  // namespace

Portfolio make_portfolio(bool concentrated, double shift, Rng& rng) {
  Portfolio portfolio;
  const std::uint64_t flagged = draw_binomial(rng, kRecallLabels, kRecall);
  for (int i = 0; i < kBehaviors; ++i) {
    const double rate = log_uniform_rate(rng);
    const double old = rate * std::exp(-kChangeSd * draw_normal(rng));
    portfolio.deployed.push_back(rate * std::exp(shift * draw_normal(rng)));
    portfolio.old.push_back(old);
    BehaviorInput input;
    input.name = behavior_name(i);
    input.recall = {{"known positives", kRecallLabels, flagged, false}};
    input.previous = PreviousRate{1e5 * old, {}, {}};
    const auto draws = static_cast<double>(kWorldDraws);
    const std::uint64_t caught = draw_poisson(rng, draws * rate * kRecall);
    const std::uint64_t wrong = draw_poisson(rng, draws * kFalseFlag);
    input.arm(Arm::kCandidate) = counted_arm(kWorldDraws, caught, wrong, Oracle::kPresent);
    portfolio.uniform.push_back(input);
    input.arm(Arm::kCandidate) = portfolio_risk_arm(concentrated, rate, std::min(old, 0.2), rng);
    portfolio.risk_weighted.push_back(std::move(input));
  }
  return portfolio;
}

namespace {

struct ReleaseDraws {
  std::vector<double> old, deployed;
  std::vector<std::uint64_t> whole, half, replay;
};

constexpr std::uint64_t kReleaseDraws = 200'000;

ReleaseDraws draw_release(const ReleaseWorld& world, Rng& rng) {
  ReleaseDraws out;
  for (int i = 0; i < kBehaviors; ++i) {
    const double old = log_uniform_rate(rng);
    const double spread = rng.uniform() < 0.6 ? 0.15 : 1.0;
    const double change = spread * draw_normal(rng);
    const double common = draw_normal(rng), own = draw_normal(rng);
    const double old_bias = world.bias_sd * common;
    const double bias =
        world.bias_sd *
        (world.correlation * common + std::sqrt(1 - world.correlation * world.correlation) * own);
    const double rate = std::min(old * std::exp(change), 0.5);
    out.old.push_back(old);
    out.deployed.push_back(std::min(rate * std::exp(0.15 * draw_normal(rng)), 0.6));
    const double replayed = std::min(rate * std::exp(bias), 1.0);
    out.whole.push_back(
        std::min(draw_poisson(rng, static_cast<double>(kReleaseDraws) * replayed), kReleaseDraws));
    out.half.push_back(std::min(
        draw_poisson(rng, static_cast<double>(kReleaseDraws / 2) * replayed), kReleaseDraws / 2));
    out.replay.push_back(std::min(draw_poisson(rng, static_cast<double>(kReleaseDraws / 2) *
                                                        std::min(old * std::exp(old_bias), 1.0)),
                                  kReleaseDraws / 2));
  }
  return out;
}

double per_100k(std::uint64_t hits, std::uint64_t draws) {
  return 1e5 * static_cast<double>(hits) / static_cast<double>(draws);
}

double smooth_share(std::uint64_t hits, std::uint64_t draws) {
  return (static_cast<double>(hits) + 0.5) / (static_cast<double>(draws) + 1);
}

}  // namespace

Release make_release(const ReleaseWorld& world, Rng& rng) {
  Release release;
  constexpr std::uint64_t kHalf = kReleaseDraws / 2;
  for (int past = 0; past < 3; ++past) {
    const ReleaseDraws draws = draw_release(world, rng);
    for (int i = 0; i < kBehaviors; ++i) {
      const auto at = static_cast<std::size_t>(i);
      HistoryRow row;
      row.release = "past_" + std::to_string(past);
      row.behavior = behavior_name(i);
      row.previous_per_100k = 1e5 * draws.old[at];
      row.actual_per_100k = 1e5 * draws.deployed[at];
      row.candidate_replayed_per_100k = per_100k(draws.whole[at], kReleaseDraws);
      row.candidate_draws = kReleaseDraws;
      release.history_spent.push_back(row);
      row.candidate_replayed_per_100k = per_100k(draws.half[at], kHalf);
      row.candidate_draws = kHalf;
      row.deployed_replayed_per_100k = per_100k(draws.replay[at], kHalf);
      row.deployed_draws = kHalf;
      release.history_split.push_back(row);
    }
  }
  const ReleaseDraws draws = draw_release(world, rng);
  release.deployed = draws.deployed;
  release.old = draws.old;
  for (int i = 0; i < kBehaviors; ++i) {
    const auto at = static_cast<std::size_t>(i);
    BehaviorInput input;
    input.name = behavior_name(i);
    input.previous = PreviousRate{1e5 * draws.old[at], {}, {}};
    input.arm(Arm::kCandidate) = counted_arm(kReleaseDraws, draws.whole[at], 0, Oracle::kUnknown);
    release.spent_on_candidate.push_back(input);
    input.arm(Arm::kCandidate) = counted_arm(kHalf, draws.half[at], 0, Oracle::kUnknown);
    input.arm(Arm::kDeployedReplay) = counted_arm(kHalf, draws.replay[at], 0, Oracle::kUnknown);
    release.split.push_back(std::move(input));
    release.raw.push_back(smooth_share(draws.whole[at], kReleaseDraws));
    release.ratio_pivot.push_back(draws.old[at] * smooth_share(draws.half[at], kHalf) /
                                  smooth_share(draws.replay[at], kHalf));
  }
  return release;
}

}  // namespace understudy
