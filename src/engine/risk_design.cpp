#include "engine/risk_design.hpp"

#include <array>

#include "base/rng.hpp"
#include "engine/judge_grading.hpp"
#include "sampling/risk_score.hpp"

namespace understudy {
namespace {

constexpr double kUnflaggedExamples = 20'000;
constexpr double kFlaggedExamples = 2'000;  // of each behavior
constexpr std::uint64_t kFlagsMin = 5;      // fewer say nothing about a text
constexpr std::size_t kBehaviorsMax = 64;

// What rules found in the logged answers: bit k of a turn's flags is the k-th behavior with a rule.
struct LoggedFlags {
  std::vector<std::uint64_t> turns;
  std::vector<std::uint64_t> counts;  // by bit
};

Result<LoggedFlags> logged_flags(Study& study, std::uint64_t frame) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  LoggedFlags flags;
  flags.turns.resize(frame);
  for (const Behavior& behavior : behaviors) {
    if (is_screened_by_judge(behavior) || flags.counts.size() == kBehaviorsMax) continue;
    const std::size_t bit = flags.counts.size();
    flags.counts.push_back(0);
    UNDERSTUDY_TRY(const std::int64_t rule, rule_grader(study.store, behavior));
    UNDERSTUDY_CHECK(study.store.for_each_verdict_block(
        rule, Arm::kDeployed,
        [&](std::uint64_t first, std::uint64_t,
            const std::vector<SparseVerdict>& entries) -> Result<void> {
          for (const SparseVerdict& entry : entries) {
            if (entry.verdict != Verdict::kPresent) continue;
            flags.turns.at(first + entry.position) |= std::uint64_t{1} << bit;
            ++flags.counts[bit];
          }
          return {};
        }));
  }
  return flags;
}

// Flagged turns are kept oftener than the rest: examples of what is rare are what is short.
struct Choice {
  double unflagged = 1;
  std::vector<double> flagged;  // by bit

  [[nodiscard]] double of(std::uint64_t flags) const {
    double share = unflagged;
    for (std::size_t bit = 0; bit < flagged.size(); ++bit) {
      if ((flags >> bit & 1) != 0) share = std::max(share, flagged[bit]);
    }
    return share;
  }
};

Choice choice_of(const LoggedFlags& flags) {
  Choice choice;
  choice.unflagged = std::min(1.0, kUnflaggedExamples / static_cast<double>(flags.turns.size()));
  for (const std::uint64_t count : flags.counts) {
    const double wanted = kFlaggedExamples / static_cast<double>(std::max<std::uint64_t>(count, 1));
    choice.flagged.push_back(std::max(choice.unflagged, std::min(1.0, wanted)));
  }
  return choice;
}

std::vector<RiskTarget> targets_of(const LoggedFlags& flags, const Choice& choice) {
  std::vector<RiskTarget> targets;
  for (std::size_t bit = 0; bit < flags.counts.size(); ++bit) {
    if (flags.counts[bit] < kFlagsMin || flags.counts[bit] == flags.turns.size()) continue;
    targets.push_back(
        {.bit = bit,
         .rate = static_cast<double>(flags.counts[bit]) / static_cast<double>(flags.turns.size()),
         .flagged_kept = choice.flagged[bit],
         .unflagged_kept = choice.unflagged});
  }
  return targets;
}

// Conversations of one cluster go to one half, so that nobody's text scores their own.
std::size_t half_of(const StoredConversation& stored) {
  return hash64({"risk half", std::to_string(stored.cluster)}) & 1;
}

using FramedVisitor =
    std::function<void(const StoredConversation& stored, std::uint32_t cut, std::size_t turn)>;

Result<void> for_each_framed_turn(Study& study, const FramedVisitor& visit) {
  std::size_t turn = 0;
  return study.store.for_each_framed([&](const StoredConversation& stored) -> Result<void> {
    for (const FrameTurn& framed : stored.turns) visit(stored, framed.cut, turn++);
    if (study.world.stop.count() > 0) {
      return unexpected(ErrorCode::kPaused,
                        "stopped while scoring prefixes: `run` begins this stage again");
    }
    return {};
  });
}

std::vector<TextFeature> features_of(const StoredConversation& stored, std::uint32_t cut) {
  const Conversation& text = stored.conversation;
  return text_features({text.messages.data(), cut}, text.tools);
}

}  // namespace

Result<std::vector<float>> risk_sizes(Study& study, std::uint64_t frame) {
  UNDERSTUDY_TRY(const LoggedFlags flags, logged_flags(study, frame));
  const Choice choice = choice_of(flags);
  const std::vector<RiskTarget> targets = targets_of(flags, choice);
  std::vector<float> sizes(frame, 1);
  if (targets.empty()) return sizes;

  std::array<std::vector<RiskExample>, 2> examples;
  const std::uint64_t key = hash64({"risk examples", study.config.sample.seed});
  UNDERSTUDY_CHECK(for_each_framed_turn(
      study, [&](const StoredConversation& stored, std::uint32_t cut, std::size_t turn) {
        if (Rng(key, turn).uniform() >= choice.of(flags.turns.at(turn))) return;
        examples.at(half_of(stored)).push_back({features_of(stored, cut), flags.turns[turn]});
      }));
  const std::array<RiskModel, 2> trained_on = {RiskModel(examples[0], targets),
                                               RiskModel(examples[1], targets)};
  examples = {};
  UNDERSTUDY_CHECK(for_each_framed_turn(
      study, [&](const StoredConversation& stored, std::uint32_t cut, std::size_t turn) {
        const RiskModel& other = trained_on.at(1 - half_of(stored));
        sizes.at(turn) = static_cast<float>(other.draw_size(features_of(stored, cut)));
      }));
  return sizes;
}

}  // namespace understudy
