#pragma once
// Worlds with known truth (statistics.md §9, §4b): what a study would have seen, and the rate that
// it should have found. A world hands out only what a study has (BehaviorInput); the truth goes to
// the referee (calibration.hpp).
//
// A prefix has a latent risk z ~ N(0, 1) and misbehaves with probability p(z), E p = rate. The old
// model's rate is known; the judge has recall 0.85 and specificity 0.999 and sees every answer; the
// oracle is perfect, with 1,000 labels: 800 on flags, 200 on known positives, and 200 more on a
// uniform audit of what the judge passed.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.hpp"
#include "estimate/estimate.hpp"

namespace understudy {

struct World {
  std::string name;
  std::string about;
  bool concentrated = false;  ///< p = chance on a small class; else p = sigmoid(µ + 2.5 z)
  double chance = 0.4;
  double blind = 0;              ///< share of positives that the judge can't see
  bool recall_knows = true;      ///< the known positives are like all positives
  double jump = 0;               ///< rate / old rate; 0: its logarithm is N(0, ln 2)
  double old_correlation = 0.8;  ///< of the two models' latent risks
  bool risk_helps = true;        ///< the risk score says something about the candidate
  /// Users of ten draws each, where a bad one yields this many hits; 0: no users.
  std::uint64_t hits_per_bad_user = 0;
};

/// A … G, and A with users who yield 5 and 10 hits (A-users-5, A-users-10).
[[nodiscard]] const std::vector<World>& single_worlds();

inline constexpr std::uint64_t kWorldDraws = 100'000;
inline constexpr std::uint64_t kRecallLabels = 200;    ///< known positives
inline constexpr std::uint64_t kKnownNegatives = 800;  ///< for the textbook correction only

/// One study of one behavior in the world, under both designs.
struct WorldStudy {
  BehaviorInput uniform;        ///< a simple random selection of prefixes
  BehaviorInput risk_weighted;  ///< Poisson design on the risk score, 30% uniform floor (34)
  double old_share = 0;
  double perfect = 0;                ///< share of the uniform draws that are positive
  std::uint64_t recall_flagged = 0;  ///< of kRecallLabels
  std::uint64_t false_flags = 0;     ///< of kKnownNegatives
};
[[nodiscard]] WorldStudy make_study(const World& world, double rate, Rng& rng);

/// Twenty behaviors of one release, log10 rate ~ U(-5, -2); what happens after launch is the rate
/// times exp(N(0, shift)).
struct Portfolio {
  std::vector<BehaviorInput> uniform, risk_weighted;
  std::vector<double> deployed;  ///< the rates to find
  std::vector<double> old;
};
[[nodiscard]] Portfolio make_portfolio(bool concentrated, double shift, Rng& rng);

/// Releases with a replay bias that models share to the degree `correlation` (§4b): three past
/// releases as history, one to forecast. `spent_on_candidate` has the whole budget of 200,000
/// draws on the candidate, `split` half of it on replaying the old model.
struct Release {
  std::vector<BehaviorInput> spent_on_candidate, split;
  std::vector<HistoryRow> history_spent, history_split;
  std::vector<double> deployed;
  std::vector<double> old;
  std::vector<double> raw;          ///< the candidate's replayed rate, whole budget, smoothed
  std::vector<double> ratio_pivot;  ///< old · X / Y of the split budget, smoothed (70)
};
struct ReleaseWorld {
  double bias_sd = 0.6;  ///< median bias 1.5×
  double correlation = 0.9;
};
[[nodiscard]] Release make_release(const ReleaseWorld& world, Rng& rng);

}  // namespace understudy
