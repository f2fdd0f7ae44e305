#include "engine/audit_findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "discovery/note_groups.hpp"
#include "discovery/situations.hpp"
#include "stats/intervals.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

constexpr double kLevel = 0.95;
constexpr double kNotClear = 0.05;  // p-value
constexpr double kNearlyAll = 0.9;
constexpr std::uint64_t kTypesMax = 10;  // behaviors at once, as published
constexpr std::uint64_t kCopies = 10;

// Where an answer stands, coarsely enough that places recur: turn, tools, the user's language.
std::string place_of(FeatureExtractor& extractor, const AnswerView& answer) {
  std::string place;
  for (const std::string& name : situations_of(extractor, answer)) {
    if (name.starts_with("user's ") && !name.starts_with("user's language: ")) continue;
    place += name + '\n';
  }
  return place;
}

class Findings {
 public:
  Findings(AuditReadings readings, AnswerPairs& pairs) : pairs_(pairs) {
    audit_.readings = std::move(readings);
  }

  Result<Audit> find(double level, std::uint64_t seed) {
    group();
    UNDERSTUDY_CHECK(test(level, seed));
    measure_recall();
    audit_.no_information = why_no_information();
    audit_.no_bound = why_no_bound();
    UNDERSTUDY_CHECK(bound());
    return std::move(audit_);
  }

 private:
  void group() {
    const std::vector<AuditNote>& notes = audit_.readings.notes;
    std::vector<std::string> descriptions;
    for (const AuditNote& note : notes) descriptions.push_back(note.description);
    for (NoteGroup& group : group_notes(descriptions)) {
      NotedKind kind;
      kind.terms = std::move(group.terms);
      std::stable_partition(group.notes.begin(), group.notes.end(),
                            [&](std::size_t i) { return notes[i].candidate; });
      for (const std::size_t i : group.notes) {
        kind.notes.push_back(notes[i]);
        ++(notes[i].candidate ? kind.candidate : kind.logged);
      }
      audit_.kinds.push_back(std::move(kind));
    }
  }

  // Kinds are made without a look at the arms, then compared like any feature.
  Result<void> test(double level, std::uint64_t seed) {
    std::map<std::uint64_t, std::array<std::size_t, 2>> kinds_of;  // by pair: logged, candidate
    const std::size_t none = audit_.kinds.size();
    for (const std::uint64_t pair : audit_.readings.pairs) kinds_of[pair] = {none, none};
    std::map<std::string, std::size_t> by_name;
    std::vector<Feature> features;
    std::vector<std::string> numbers;
    for (std::size_t k = 0; k < audit_.kinds.size(); ++k) numbers.push_back(std::to_string(k));
    for (std::size_t k = 0; k < audit_.kinds.size(); ++k) {
      features.push_back(
          {.hash = hash64({"kind", numbers[k]}), .kind = FeatureKind::kWords, .text = numbers[k]});
      by_name.emplace(feature_name(FeatureKind::kWords, numbers[k]), k);
      for (const AuditNote& note : audit_.kinds[k].notes) {
        const auto found = kinds_of.find(note.pair);
        if (found != kinds_of.end()) found->second[note.candidate ? 1 : 0] = k;
      }
    }
    const auto feature = [&](std::size_t kind) {
      return kind == none ? std::span<const Feature>() : std::span(&features[kind], 1);
    };
    const auto show = [&](PairVisitor& visitor) -> Result<void> {
      for (const auto& [pair, kinds] : kinds_of) {
        const std::uint64_t cluster = pairs_.cluster(pair);
        if (!visitor.wants(cluster)) continue;
        visitor.see(cluster,
                    {pair, feature(kinds[0]), feature(kinds[1]), pairs_.conversation(pair)});
      }
      return {};
    };
    UNDERSTUDY_TRY(Contrast tested,
                   contrast(show, {.seed = seed, .level = level, .keep_all = true}));
    audit_.users_testing = tested.users_testing;
    for (ContrastFinding& finding : tested.findings) {
      audit_.kinds[by_name.at(finding.features.front())].test = std::move(finding);
    }
    sort(level);
    return {};
  }

  void sort(double level) {
    const auto is_finding = [&](const NotedKind& kind) { return kind.test.adjusted <= level; };
    const auto middle = std::stable_partition(audit_.kinds.begin(), audit_.kinds.end(), is_finding);
    audit_.findings = static_cast<std::size_t>(middle - audit_.kinds.begin());
    std::stable_sort(audit_.kinds.begin(), middle, [](const NotedKind& a, const NotedKind& b) {
      return a.test.excess_per_100k > b.test.excess_per_100k;
    });
    std::stable_sort(middle, audit_.kinds.end(), [](const NotedKind& a, const NotedKind& b) {
      return a.candidate > b.candidate;
    });
  }

  void measure_recall() {
    const AuditReadings& readings = audit_.readings;
    AuditorRecall& recall = audit_.recall;
    if (graded() > 0) {
      recall.by_chance = static_cast<double>(noted()) / static_cast<double>(graded());
    }
    std::map<std::string, MeasuredRecall> by_behavior;  // whatever the channels
    for (const AuditRecallRow& row : readings.recall) {
      recall.known += row.known;
      recall.found += row.found;
      if (row.known == 0) continue;
      MeasuredRecall& behavior = by_behavior[row.behavior];
      behavior.known += static_cast<double>(row.known);
      behavior.found += static_cast<double>(row.found);
    }
    if (recall.known == 0) return;
    std::vector<MeasuredRecall> as_found;
    for (const auto& [name, behavior] : by_behavior) {
      as_found.push_back(behavior);
      recall.behaviors.push_back(
          {std::max(0.0, behavior.found - recall.by_chance * behavior.known), behavior.known});
    }
    const PooledRecall pooled = pooled_recall(as_found);
    recall.effect = pooled.effect;
    const Interval interval = clopper_pearson(pooled.counted.found, pooled.counted.known, kLevel);
    recall.lo = interval.lo;
    recall.hi = interval.hi;
  }

  [[nodiscard]] std::uint64_t graded() const {
    return audit_.readings.candidate.graded() + audit_.readings.logged.graded();
  }
  [[nodiscard]] std::uint64_t noted() const {
    return audit_.readings.candidate.noted + audit_.readings.logged.noted;
  }

  // If all that is known were found, it would not be clearly more than of any answers.
  [[nodiscard]] bool knows_too_little() const {
    const std::uint64_t known = audit_.recall.known;
    return known == 0 || fisher_exact(known, known, noted(), graded()) > kNotClear;
  }

  [[nodiscard]] std::string why_no_information() const {
    const AuditorRecall& recall = audit_.recall;
    if (graded() == 0) return "none of its answers is a verdict";
    if (recall.by_chance >= kNearlyAll) {
      return fmt::format("it noted something in {} of {} answers: nearly all", noted(), graded());
    }
    if (knows_too_little()) return {};
    if (noted() == 0 && recall.found == 0) {
      return fmt::format("it noted nothing, nor any of {} answers that are known to be unwanted",
                         recall.known);
    }
    const double by_chance = recall.by_chance * static_cast<double>(recall.known);
    if (static_cast<double>(recall.found) <= by_chance ||
        fisher_exact(recall.found, recall.known, noted(), graded()) > kNotClear) {
      return fmt::format(
          "it noted {} of {} answers that are known to be unwanted, which is not "
          "clearly more often than any answer",
          recall.found, recall.known);
    }
    return {};
  }

  [[nodiscard]] std::string why_no_bound() const {
    if (!audit_.readings.uniform) return "the prefixes are drawn by risk, not uniformly";
    if (!audit_.no_information.empty()) return "the auditor's verdicts carry no information";
    if (audit_.readings.candidate.graded() == 0) return "no answer of the candidate has a verdict";
    if (audit_.recall.known == 0) {
      return "the auditor's recall is not measured: no stored answer is known to show a named "
             "behavior, and known.jsonl has no case that it was asked about";
    }
    if (knows_too_little()) {
      return fmt::format("too few known cases ({}) to say what it finds", audit_.recall.known);
    }
    if (audit_.recall.behaviors.size() < 2) {
      return "the auditor's recall is measured on one behavior alone, which does not say how it "
             "differs between behaviors";
    }
    return {};
  }

  Result<void> bound() {
    std::vector<UserDraws> users;
    std::map<std::uint64_t, std::size_t> place_of_user;
    double unread = 0;  // users
    for (const AuditedAnswer& answer : audit_.readings.read) {
      const auto [at, is_new] = place_of_user.emplace(pairs_.cluster(answer.pair), users.size());
      if (is_new) users.emplace_back();
      UserDraws& user = users[at->second];
      ++user.draws;
      if (answer.has_verdict) continue;
      if (user.without_verdict++ == 0) ++unread;
    }
    if (users.empty()) return {};
    std::array<std::vector<UserDraws>, kResolutionCount> noted;
    noted.fill(users);
    std::array<std::map<std::string, std::size_t>, kResolutionCount> kinds;
    FeatureExtractor extractor;
    for (std::size_t k = 0; k < audit_.kinds.size(); ++k) {
      for (const AuditNote& note : audit_.kinds[k].notes) {
        if (!note.candidate) continue;
        UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(note.pair, true));
        const std::string kind = std::to_string(k);
        const std::array<std::string, kResolutionCount> names = {
            kind, kind + '\n' + place_of(extractor, answer), note.description};
        const std::size_t user = place_of_user.at(pairs_.cluster(note.pair));
        for (std::size_t i = 0; i < kResolutionCount; ++i) {
          const std::size_t number = kinds[i].emplace(names[i], kinds[i].size()).first->second;
          noted[i][user].noted.push_back(number);
        }
      }
    }
    const std::vector<MeasuredRecall>& recall = audit_.recall.behaviors;
    for (const std::vector<UserDraws>& one : noted) {
      audit_.unseen.push_back(
          {.mass = unseen_mass(one, recall, kLevel), .kinds = kind_count(one, kLevel)});
    }
    audit_.users = users.size();
    audit_.effective = effective_draws(users);
    const auto above = [&](std::uint64_t copies) {
      return novelty_bound(audit_.effective, unread, recall,
                           {.types_max = kTypesMax, .copies = copies, .alpha = 1 - kLevel});
    };
    audit_.missed_wholly = above(1);
    audit_.missed_tenfold = above(kCopies);
    return {};
  }

  AnswerPairs& pairs_;
  Audit audit_;
};

}  // namespace

std::string_view resolution_name(Resolution resolution) {
  static constexpr std::array<std::string_view, kResolutionCount> kNames = {
      "kind of note", "kind and place", "description"};
  return kNames[static_cast<std::size_t>(resolution)];
}

Result<Audit> audit_findings(AuditReadings readings, AnswerPairs& pairs, double level,
                             std::uint64_t seed) {
  return Findings(std::move(readings), pairs).find(level, seed);
}

}  // namespace understudy
