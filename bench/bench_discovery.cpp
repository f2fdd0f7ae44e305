// Discovery: is a plant of 35 in 100,000 agentic answers found, how often is something found where
// nothing differs, and what a contrast costs.
//
//   bench_discovery                      time and memory of 100,000 and 1,000,000 pairs
//   bench_discovery power [SEEDS] [FIRST] [PLANT]
//                                          the five plants, or one of them (1 to 5): the bar is 95%
//                                          of 200 seeds
//   bench_discovery null [SEEDS] [FIRST]   nothing differs: the bar is 5% of 500 seeds
//   bench_discovery groups [SEEDS] [FIRST] groups of embeddings: a meaning planted at some rates;
//                                          three times as many seeds where nothing differs
//   bench_discovery unseen [WORLDS]        coverage of the bounds on what is unseen: the bar is 93%

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>

#include "base/hash.hpp"
#include "discovery/agent_world.hpp"
#include "discovery/contrast.hpp"
#include "discovery/unseen.hpp"
#include "discovery/vector_clusters.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kPairs = 100'000;
constexpr std::uint64_t kPlanted = 35;
constexpr std::size_t kPool = 20'000;
constexpr std::uint64_t kSeedsPerWorld = 10;

// Features of one answer that outlive the extractor.
struct Kept {
  std::string text;
  std::vector<Feature> features;
};

Kept keep(FeatureExtractor& extractor, const AgentAnswer& answer) {
  const std::span<const Feature> found = extractor.extract(answer.view());
  Kept kept;
  std::size_t size = 0;
  for (const Feature& feature : found) size += feature.text.size();
  kept.text.reserve(size);  // the views below need it to stay where it is
  for (const Feature& feature : found) {
    const std::size_t at = kept.text.size();
    kept.text += feature.text;
    kept.features.push_back({feature.hash, feature.kind, {}});
    kept.features.back().text = {kept.text.data() + at, feature.text.size()};
  }
  return kept;
}

// Answers are drawn from a pool whose features are extracted once: a user draws half from a few of
// their own, which is what makes the answers of a user alike.
class PooledWorld {
 public:
  explicit PooledWorld(std::uint64_t seed) : world_(seed) {
    Rng rng(seed, 1);
    for (std::size_t i = 0; i < kPool; ++i) pool_.push_back(keep(extractor_, world_.answer(rng)));
  }

  Contrast run(Plant plant, std::uint64_t seed) {
    Rng rng(seed, 2);
    std::set<std::uint64_t> planted_ids;
    std::vector<Kept> planted;
    if (plant != Plant::kNone) {
      while (planted_ids.size() < kPlanted) planted_ids.insert(rng.below(kPairs));
      for (std::uint64_t i = 0; i < kPlanted; ++i) {
        planted.push_back(keep(extractor_, world_.planted(plant, rng)));
      }
    }
    const std::vector<std::uint32_t> sizes = user_sizes(kPairs, seed);
    const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
      std::uint64_t id = 0;
      for (std::size_t user = 0; user < sizes.size(); ++user) {
        const std::uint64_t cluster = hash_of(seed, user);
        if (!visitor.wants(cluster)) {
          id += sizes[user];
          continue;
        }
        Rng draws(cluster, 3);
        const std::uint64_t own = draws.below(kPool - 20);
        const auto draw = [&]() -> const Kept& {
          return pool_[draws.below(2) == 0 ? own + draws.below(20) : draws.below(kPool)];
        };
        for (std::uint32_t i = 0; i < sizes[user]; ++i, ++id) {
          const Kept& logged = draw();
          const Kept* candidate = &draw();
          if (const auto at = planted_ids.find(id); at != planted_ids.end()) {
            candidate = &planted[static_cast<std::size_t>(std::distance(planted_ids.begin(), at))];
          }
          visitor.see(cluster, {id, logged.features, candidate->features});
        }
      }
      return {};
    };
    planted_ids_ = planted_ids;
    return *contrast(source, {.seed = seed, .pairs = kPairs});
  }

  // Whether one of the first three findings is the plant (three quarters of its answers are), at
  // this adjusted p-value.
  [[nodiscard]] bool found(const Contrast& contrast, double level) const {
    for (std::size_t i = 0; i < std::min<std::size_t>(3, contrast.findings.size()); ++i) {
      const ContrastFinding& finding = contrast.findings[i];
      std::size_t hits = 0;
      for (const std::uint64_t id : finding.pairs) hits += planted_ids_.count(id);
      if (finding.more && finding.adjusted < level && hits * 4 >= finding.pairs.size() * 3) {
        return true;
      }
    }
    return false;
  }

 private:
  static std::uint64_t hash_of(std::uint64_t seed, std::uint64_t user) {
    return Rng(seed, 1000 + user).next();
  }
  AgentWorld world_;
  FeatureExtractor extractor_;
  std::vector<Kept> pool_;
  std::set<std::uint64_t> planted_ids_;
};

constexpr std::array<std::pair<Plant, std::string_view>, 5> kPlants = {{
    {Plant::kCalculatorHacking, "calculator hacking"},
    {Plant::kPhrase, "a new phrase"},
    {Plant::kFormat, "a format habit"},
    {Plant::kLanguage, "another language"},
    {Plant::kToolTwice, "a tool called twice"},
}};

void power(std::uint64_t seeds, std::uint64_t first, std::uint64_t only) {
  for (const auto& [plant, name] : kPlants) {
    if (only != 0 && kPlants.at(only - 1).first != plant) continue;
    std::uint64_t found = 0;
    std::optional<PooledWorld> world;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
      if (!world || (seed - first) % kSeedsPerWorld == 0) world.emplace(seed);
      const Contrast result = world->run(plant, seed);
      if (world->found(result, 0.01)) {
        ++found;
      } else {
        fmt::print("  missed at seed {}: {} findings\n", seed, result.findings.size());
        for (const ContrastFinding& finding : result.findings) {
          fmt::print("    {}; {}:{} users selecting, {}:{} testing, adjusted p {:.2g}\n",
                     fmt::join(finding.features, ", "), finding.users_more_selecting,
                     finding.users_fewer_selecting, finding.users_more, finding.users_fewer,
                     finding.adjusted);
        }
      }
    }
    fmt::print("{}: {} of {} seeds\n", name, found, seeds);
    std::fflush(stdout);
  }
}

void null(std::uint64_t seeds, std::uint64_t first) {
  std::uint64_t any = 0;
  std::optional<PooledWorld> world;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    if (!world || (seed - first) % kSeedsPerWorld == 0) world.emplace(seed);
    if (!world->run(Plant::kNone, seed).findings.empty()) ++any;
  }
  fmt::print("nothing differs: a finding in {} of {} seeds\n", any, seeds);
}

// Answers of `words` words, extracted each time as from a study.
void cost(std::uint64_t pairs) {
  const auto begin = std::chrono::steady_clock::now();
  const AgentWorld world(1);
  FeatureExtractor extractor;
  const std::vector<std::uint32_t> sizes = user_sizes(pairs, 1);
  const auto long_answer = [&](Rng& rng) {
    AgentAnswer answer = world.answer(rng);
    for (int i = 0; i < 8; ++i) answer.content += "\n" + world.answer(rng).content;
    return answer;
  };
  std::uint64_t bytes = 0;
  std::uint64_t extracted = 0;
  const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
    for (std::size_t user = 0; user < sizes.size(); ++user) {
      const std::uint64_t cluster = Rng(1, user).next();
      if (!visitor.wants(cluster)) continue;
      Rng rng(cluster, 3);
      for (std::uint32_t i = 0; i < sizes[user]; ++i) {
        const AgentAnswer logged = long_answer(rng);
        const AgentAnswer candidate = long_answer(rng);
        const Kept kept = keep(extractor, logged);
        visitor.see(cluster, {extracted++, kept.features, extractor.extract(candidate.view())});
        bytes += logged.content.size() + candidate.content.size();
      }
    }
    return {};
  };
  const Contrast result = *contrast(source, {.seed = 1, .pairs = pairs});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(
      "{} pairs of {} bytes an answer: {:.1f} s, generating included; peak {} MB; {} tested, "
      "{} findings\n",
      pairs, bytes / (2 * extracted), seconds, usage.ru_maxrss / 1024, result.tested,
      result.findings.size());
}

// How often the 95% bounds hold, in worlds whose unseen behaviors are known: `kinds` behaviors that
// a log-normal share of users has, each in all of his draws; an auditor that finds a draw of each
// with a recall from a range; and recalls of other behaviors from the same range, each measured on
// `known` failures. At three resolutions: kinds as they are, merged in fours, each draw's wording
// one of three.
struct UnseenWorld {
  std::size_t kinds = 0;
  double median_users = 1;  // with it, found, among all
  double sigma = 1;         // of the logarithm
  double recall_lo = 1, recall_hi = 1;
  double hard = 0;         // share of behaviors that are found one time in ten
  std::size_t hidden = 4;  // behaviors
  double known = 50;       // of each
  double draws_per_user = 1;
};

struct UnseenCoverage {
  std::array<std::uint64_t, 3> mass{};
  std::array<std::uint64_t, 3> kinds{};
  double missed_wholly = 0;
  double missed_tenfold = 0;
};

constexpr double kAudited = 2000;  // draws

double recall_in(const UnseenWorld& world, Rng& rng) {
  if (world.hard > 0 && rng.uniform() < world.hard) return 0.1;
  return world.recall_lo + (world.recall_hi - world.recall_lo) * rng.uniform();
}

std::uint64_t poisson(double mean, Rng& rng) {
  std::uint64_t count = 0;
  for (double left = mean; (left += std::log(rng.uniform_positive())) > 0;) ++count;
  return count;
}

double normal(Rng& rng) {
  return std::sqrt(-2 * std::log(rng.uniform_positive())) * std::cos(6.283185307 * rng.uniform());
}

// Answers as vectors: a meaning, a user's way of saying things, and noise. Two answers of one
// meaning have a cosine of about 0.6, of different ones about 0. Half of a user's answers are about
// three meanings of their own; both models answer alike, but for the candidate's planted ones.
class MeaningWorld {
 public:
  static constexpr std::uint64_t kMeanings = 200;
  static constexpr std::size_t kDimensions = 64;
  static constexpr std::uint64_t kPairsOfWorld = 10'000;

  MeaningWorld(std::uint64_t seed, double planted_rate) : seed_(seed) {
    Rng rng(seed, 4);
    for (std::uint64_t i = 0; i <= kMeanings; ++i) meanings_.push_back(direction(rng));
    const std::vector<std::uint32_t> sizes = user_sizes(kPairsOfWorld, seed);
    for (const std::uint32_t size : sizes) {
      const std::uint64_t cluster = rng.next();
      const std::vector<double> manner = direction(rng);
      const std::array<std::uint64_t, 3> own = {rng.below(kMeanings), rng.below(kMeanings),
                                                rng.below(kMeanings)};
      const auto meaning = [&] {
        return rng.below(2) == 0 ? own.at(rng.below(own.size())) : rng.below(kMeanings);
      };
      for (std::uint32_t i = 0; i < size; ++i) {
        clusters_.push_back(cluster);
        planted_.push_back(rng.uniform() < planted_rate);
        add(meaning(), manner, rng);
        add(planted_.back() ? kMeanings : meaning(), manner, rng);
      }
    }
  }

  /// As `discover --embed` does it (engine/embeddings.cpp).
  [[nodiscard]] Contrast run() {
    std::vector<float> selecting;
    for (std::size_t pair = 0; pair < clusters_.size(); ++pair) {
      if (!selects(clusters_[pair], seed_)) continue;
      const auto at = vectors_.begin() + static_cast<std::ptrdiff_t>(pair * 2 * kDimensions);
      selecting.insert(selecting.end(), at, at + 2 * kDimensions);
    }
    const std::size_t most = std::min<std::size_t>(64, selecting.size() / kDimensions / 50);
    const VectorClusters groups = cluster_vectors(selecting, kDimensions, most, seed_);
    places_.clear();
    for (std::size_t answer = 0; answer < 2 * clusters_.size(); ++answer) {
      places_.push_back(
          groups.nearest(std::span(vectors_).subspan(answer * kDimensions, kDimensions)));
    }
    const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
      for (std::size_t pair = 0; pair < clusters_.size(); ++pair) {
        if (!visitor.wants(clusters_[pair])) continue;
        const std::array<std::string, 2> names = {std::to_string(places_[2 * pair].center),
                                                  std::to_string(places_[2 * pair + 1].center)};
        const auto feature = [](const std::string& name) {
          return Feature{
              .hash = hash64({"cluster", name}), .kind = FeatureKind::kCluster, .text = name};
        };
        const std::array<Feature, 2> features = {feature(names[0]), feature(names[1])};
        visitor.see(clusters_[pair], {pair, {features.data(), 1}, {features.data() + 1, 1}});
      }
      return {};
    };
    return *contrast(source, {.seed = seed_, .pairs = clusters_.size()});
  }

  // Whether one of the first three findings is the plant: five of its ten answers nearest to the
  // center, which are what a reader is shown, are planted.
  [[nodiscard]] bool found(const Contrast& contrast) const {
    for (std::size_t i = 0; i < std::min<std::size_t>(3, contrast.findings.size()); ++i) {
      std::vector<std::uint64_t> pairs = contrast.findings[i].pairs;
      std::sort(pairs.begin(), pairs.end(), [&](std::uint64_t a, std::uint64_t b) {
        return places_[2 * a + 1].cosine > places_[2 * b + 1].cosine;
      });
      if (pairs.size() > 10) pairs.resize(10);
      const auto is_planted = [&](std::uint64_t pair) { return planted_[pair]; };
      const auto hits = std::count_if(pairs.begin(), pairs.end(), is_planted);
      if (contrast.findings[i].more && hits >= 5) return true;
    }
    return false;
  }

 private:
  static std::vector<double> direction(Rng& rng) {
    std::vector<double> out;
    double squares = 0;
    for (std::size_t i = 0; i < kDimensions; ++i) {
      out.push_back(normal(rng));
      squares += out.back() * out.back();
    }
    for (double& number : out) number /= std::sqrt(squares);
    return out;
  }
  void add(std::uint64_t meaning, const std::vector<double>& manner, Rng& rng) {
    const std::vector<double> noise = direction(rng);
    std::vector<double> sum;
    double squares = 0;
    for (std::size_t i = 0; i < kDimensions; ++i) {
      sum.push_back(meanings_[meaning][i] + 0.3 * manner[i] + 0.75 * noise[i]);
      squares += sum.back() * sum.back();
    }
    for (const double number : sum) {
      vectors_.push_back(static_cast<float>(number / std::sqrt(squares)));
    }
  }

  std::uint64_t seed_;
  std::vector<std::vector<double>> meanings_;  ///< the last one is the plant
  std::vector<std::uint64_t> clusters_;        ///< users, by pair
  std::vector<bool> planted_;                  ///< by pair
  std::vector<float> vectors_;                 ///< logged, candidate, of each pair
  std::vector<Nearest> places_;
};

void groups(std::uint64_t seeds, std::uint64_t first) {
  for (const double rate : {0.0025, 0.005, 0.0075, 0.01, 0.02, 0.04}) {
    std::uint64_t found = 0, any = 0;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
      MeaningWorld world(seed, rate);
      const Contrast result = world.run();
      any += result.findings.empty() ? 0U : 1U;
      found += world.found(result) ? 1U : 0U;
    }
    fmt::print("a meaning in {:.2f}% of answers: {} of {} seeds; any finding in {}\n", 100 * rate,
               found, seeds, any);
    std::fflush(stdout);
  }
  std::uint64_t any = 0;
  for (std::uint64_t seed = first; seed < first + 3 * seeds; ++seed) {
    if (!MeaningWorld(seed, 0).run().findings.empty()) ++any;
  }
  fmt::print("nothing differs: a finding in {} of {} seeds\n", any, 3 * seeds);
}

std::vector<MeasuredRecall> measured_recalls(const UnseenWorld& world, Rng& rng) {
  std::vector<MeasuredRecall> behaviors(world.hidden);
  for (MeasuredRecall& behavior : behaviors) {
    const double recall = recall_in(world, rng);
    for (; behavior.known < world.known; ++behavior.known) {
      if (rng.uniform() < recall) ++behavior.found;
    }
  }
  return behaviors;
}

// Users who differ in how much they ask: geometric.
std::vector<UserDraws> audited_users(const UnseenWorld& world, Rng& rng) {
  std::vector<UserDraws> users;
  for (double draws = 0; draws < kAudited;) {
    std::uint64_t of_user = 1;
    while (rng.uniform() > 1 / world.draws_per_user) ++of_user;
    users.push_back({.draws = of_user, .without_verdict = 0, .noted = {}});
    draws += static_cast<double>(of_user);
  }
  return users;
}

void draw_unseen(const UnseenWorld& world, Rng& rng, UnseenCoverage& covered) {
  constexpr double kLevel = 0.95;
  const std::vector<MeasuredRecall> behaviors = measured_recalls(world, rng);
  const std::vector<UserDraws> users = audited_users(world, rng);
  std::array<std::vector<UserDraws>, 3> noted = {users, users, users};
  std::array<std::map<std::size_t, double>, 3> rates;
  const std::array<std::size_t, 3> all = {world.kinds / 4, world.kinds, 3 * world.kinds};
  const double middle = (world.recall_lo + world.recall_hi) / 2;
  for (std::size_t kind = 0; kind < world.kinds; ++kind) {
    const double with_it = world.median_users * std::exp(world.sigma * normal(rng)) / middle;
    const double rate = with_it / static_cast<double>(users.size());
    rates[0][kind % all[0]] += rate;
    rates[1][kind] = rate;
    for (std::size_t part = 0; part < 3; ++part) rates[2][3 * kind + part] = rate / 3;
    const double recall = recall_in(world, rng);
    for (std::uint64_t copies = poisson(with_it, rng); copies > 0; --copies) {
      const auto user = static_cast<std::size_t>(rng.uniform() * static_cast<double>(users.size()));
      for (std::uint64_t draw = 0; draw < users[user].draws; ++draw) {
        if (rng.uniform() >= recall) continue;
        noted[0][user].noted.push_back(kind % all[0]);
        noted[1][user].noted.push_back(kind);
        noted[2][user].noted.push_back(3 * kind + static_cast<std::size_t>(3 * rng.uniform()));
      }
    }
  }
  for (std::size_t r = 0; r < noted.size(); ++r) {
    double unseen = 0;
    for (const auto& [kind, rate] : rates[r]) {
      const bool met = std::any_of(noted[r].begin(), noted[r].end(), [&](const UserDraws& user) {
        return std::find(user.noted.begin(), user.noted.end(), kind) != user.noted.end();
      });
      if (!met) unseen += rate;
    }
    if (unseen_mass(noted[r], behaviors, kLevel).rate_hi >= unseen) ++covered.mass[r];
    if (kind_count(noted[r], kLevel).lo <= static_cast<double>(all[r])) ++covered.kinds[r];
  }
}

// The chance that as many new behaviors as the novelty bound allows for, each just as common as it
// says (the worst case), are all found with so many users.
double novelty_coverage(const UnseenWorld& world, std::uint64_t copies, Rng& rng) {
  const std::vector<MeasuredRecall> behaviors = measured_recalls(world, rng);
  const std::vector<UserDraws> users = audited_users(world, rng);
  const NoveltyQuestion question{.types_max = 10, .copies = copies, .alpha = 0.05};
  const double bound = novelty_bound(effective_draws(users), 0, behaviors, question);
  double met = 1;
  for (std::uint64_t type = 0; type < question.types_max; ++type) {
    const double recall = recall_in(world, rng);
    double with_it = 0;
    for (const UserDraws& user : users) {
      with_it += bound * (1 - std::pow(1 - recall, static_cast<double>(user.draws)));
    }
    met *= gamma_cdf(static_cast<double>(copies), 1, with_it);
  }
  return met;
}

UnseenCoverage play(const UnseenWorld& world, std::uint64_t worlds) {
  constexpr std::uint64_t kNoveltyMax = 100;  // each gives a chance, not a yes or no
  UnseenCoverage covered;
  const std::uint64_t novelty = std::min(worlds, kNoveltyMax);
  for (std::uint64_t seed = 1; seed <= worlds; ++seed) {
    Rng rng(seed, 77);
    draw_unseen(world, rng, covered);
    if (seed > novelty) continue;
    covered.missed_wholly += novelty_coverage(world, 1, rng) / static_cast<double>(novelty);
    covered.missed_tenfold += novelty_coverage(world, 10, rng) / static_cast<double>(novelty);
  }
  return covered;
}

void unseen(std::uint64_t worlds) {
  double worst = 1;
  double worst_novelty = 1;
  for (const auto& [lo, hi, hard] : {std::tuple{0.5, 0.5, 0.0},
                                     {0.65, 0.65, 0.0},
                                     {0.8, 0.8, 0.0},
                                     {0.95, 0.95, 0.0},
                                     {0.5, 0.95, 0.0},
                                     {0.3, 0.99, 0.0},
                                     {0.9, 0.9, 0.1}}) {
    for (const auto& [hidden, known, per_user] :
         {std::tuple{2U, 15.0, 1.0}, {4U, 50.0, 1.0}, {4U, 50.0, 10.0}, {12U, 20.0, 3.0}}) {
      for (const auto& [kinds, median, sigma] :
           {std::tuple{12U, 3.0, 1.0}, {40U, 1.0, 1.5}, {400U, 0.3, 1.0}, {40U, 0.05, 2.0}}) {
        const UnseenCoverage covered =
            play({kinds, median, sigma, lo, hi, hard, hidden, known, per_user}, worlds);
        const auto share = [&](std::uint64_t hits) {
          const double covers = static_cast<double>(hits) / static_cast<double>(worlds);
          worst = std::min(worst, covers);
          return 100 * covers;
        };
        worst_novelty = std::min({worst_novelty, covered.missed_wholly, covered.missed_tenfold});
        fmt::print(
            "recall {:.2f}–{:.2f}{} on {:>2} × {:.0f}, {:>2} draws a user, {:>3} kinds, median "
            "{:.2f}, sigma {:.1f}: unseen mass {:.1f} {:.1f} {:.1f}%, kinds {:.1f} {:.1f} {:.1f}%, "
            "novelty {:.1f} {:.1f}%\n",
            lo, hi, hard > 0 ? ", a tenth 0.10," : "", hidden, known, per_user, kinds, median,
            sigma, share(covered.mass[0]), share(covered.mass[1]), share(covered.mass[2]),
            share(covered.kinds[0]), share(covered.kinds[1]), share(covered.kinds[2]),
            100 * covered.missed_wholly, 100 * covered.missed_tenfold);
        std::fflush(stdout);
      }
    }
  }
  fmt::print("worst coverage {:.1f}% of {} worlds; novelty {:.1f}%\n", 100 * worst, worlds,
             100 * worst_novelty);
}

std::uint64_t number(std::string_view text, std::uint64_t fallback) {
  std::uint64_t value = fallback;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int run(std::span<char*> arguments) {
  const std::string_view what = arguments.size() > 1 ? arguments[1] : "cost";
  const std::uint64_t first = arguments.size() > 3 ? number(arguments[3], 1) : 1;
  const std::string_view seeds = arguments.size() > 2 ? arguments[2] : "";
  if (what == "power") {
    const std::uint64_t only = arguments.size() > 4 ? number(arguments[4], 0) : 0;
    power(number(seeds, 200), first, std::min<std::uint64_t>(only, kPlants.size()));
  } else if (what == "null") {
    null(number(seeds, 500), first);
  } else if (what == "groups") {
    groups(number(seeds, 100), first);
  } else if (what == "unseen") {
    unseen(number(seeds, 2000));
  } else {
    cost(100'000);
    if (what != "small") cost(1'000'000);
  }
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int count, char** arguments) {
  return understudy::run({arguments, static_cast<std::size_t>(count)});
}
