#include "sim_records.hpp"

#include <fmt/format.h>

#include "engine/judge_grading.hpp"
#include "engine/known_cases.hpp"
#include "grading/behavior.hpp"

namespace understudy::simulation {
namespace {

std::string key_text(std::int64_t packed) {
  const DrawKey key = unpack_draw_key(packed);
  return fmt::format("{}:{}:{}", key.arm == kKnownArm ? "known" : arm_name(key.arm), key.prefix,
                     key.index);
}

std::string key_text(const Records::JudgementKey& key) {
  return fmt::format("{} of {}", key.first, key_text(key.second));
}
std::string key_text(const std::string& name) {
  return name;
}

Result<void> read_conversations(StudyStore& store, Records& records) {
  UNDERSTUDY_CHECK(
      store.for_each_conversation([&](const StoredConversation& stored) -> Result<void> {
        records.others.emplace(
            fmt::format("conversation {}", stored.id),
            stored.conversation.id + '\n' + encode_messages(stored.conversation.messages));
        return {};
      }));
  UNDERSTUDY_CHECK(store.for_each_frame_row([&](const FrameRow& row) -> Result<void> {
    std::string& text = records.others[fmt::format("frame of conversation {}", row.conversation)];
    for (const FrameTurn& turn : row.turns) {
      text += fmt::format("{}:{} ", turn.cut, turn.window_bytes.value_or(0));
    }
    return {};
  }));
  return store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    records.others.emplace(fmt::format("prefix {}", prefix.id),
                           fmt::format("{} {} {} {}", prefix.conversation, prefix.cut, prefix.pi,
                                       hex(prefix.content_hash)));
    return {};
  });
}

Result<void> read_verdicts(StudyStore& store, const Behavior& behavior, Arm arm, Records& records) {
  UNDERSTUDY_TRY(const std::int64_t grader, rule_grader(store, behavior));
  return store.for_each_verdict_block(
      grader, arm,
      [&](std::uint64_t first, std::uint64_t count,
          const std::vector<SparseVerdict>& verdicts) -> Result<void> {
        std::string text = fmt::format("{} units: ", count);
        for (const SparseVerdict& verdict : verdicts) {
          text += fmt::format("{}={} ", verdict.position, verdict_name(verdict.verdict));
        }
        records.others.emplace(
            fmt::format("verdicts {} {} from {}", behavior.id, arm_name(arm), first), text);
        return {};
      });
}

template <class Map, class Allowed>
std::optional<std::string> mismatch(const char* what, const Map& found, const Map& expected,
                                    Allowed allowed) {
  for (const auto& [key, value] : found) {
    const auto other = expected.find(key);
    if (other == expected.end()) return fmt::format("{} {} is one too many", what, key_text(key));
    if (value != other->second && !allowed(value)) {
      return fmt::format("{} {} is not what it should be", what, key_text(key));
    }
  }
  return std::nullopt;
}

template <class Map>
std::optional<std::string> missing(const char* what, const Map& found, const Map& expected) {
  for (const auto& [key, value] : expected) {
    if (!found.contains(key)) return fmt::format("{} {} is missing", what, key_text(key));
  }
  return std::nullopt;
}

bool is_failure(const Records::Draw& draw) {
  return draw.failed;
}
bool is_failed_judge(Verdict verdict) {
  return verdict == Verdict::kNotGradedJudgeFailed;
}
constexpr auto kNothing = [](const auto&) { return false; };

template <class Map, class Failed>
void keep_common_of(Map& records, const Map& others, Failed failed) {
  for (auto at = records.begin(); at != records.end();) {
    const auto other = others.find(at->first);
    if (other == others.end()) {
      at = records.erase(at);
      continue;
    }
    if (failed(other->second)) at->second = other->second;
    ++at;
  }
}

}  // namespace

Result<Records> read_records(StudyStore& store, const StudyConfig& config, bool all) {
  Records records;
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(config.grade.behaviors, store.directory()));
  std::vector<Arm> arms = study_arms(config);
  arms.push_back(kKnownArm);  // its questions are paid for like others
  for (const Arm arm : arms) {
    UNDERSTUDY_CHECK(store.for_each_draw(arm, [&](const StoredDraw& draw) -> Result<void> {
      records.draws.emplace(
          pack_draw_key(draw.key),
          Records::Draw{.failed = std::holds_alternative<Failure>(draw.outcome),
                        .bytes = fmt::format("{} ", draw.window_bytes.value_or(0)) +
                                 encode_outcome(draw.outcome)});
      return {};
    }));
    for (const Behavior& behavior : behaviors) {
      if (all && behavior.rule) UNDERSTUDY_CHECK(read_verdicts(store, behavior, arm, records));
      if (!behavior.judge || !config.roles.contains("judge")) continue;
      UNDERSTUDY_TRY(const std::int64_t judge, judge_grader(store, behavior, config, "judge"));
      UNDERSTUDY_CHECK(store.for_each_judgement(
          judge, arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
            records.judgements.emplace(std::pair(behavior.id, pack_draw_key(key)), verdict);
            return {};
          }));
    }
  }
  if (all) UNDERSTUDY_CHECK(read_conversations(store, records));
  return records;
}

std::optional<std::string> contradiction(const Records& found, const Records& expected) {
  auto wrong = mismatch("draw", found.draws, expected.draws, is_failure);
  if (!wrong) {
    wrong = mismatch("judgement", found.judgements, expected.judgements, is_failed_judge);
  }
  return wrong;
}

void keep_common(Records& records, const Records& others) {
  keep_common_of(records.draws, others.draws, is_failure);
  keep_common_of(records.judgements, others.judgements, is_failed_judge);
}

std::optional<std::string> loss(const Records& before, const Records& after) {
  auto lost = missing("draw", after.draws, before.draws);
  if (!lost) lost = mismatch("draw", before.draws, after.draws, is_failure);
  if (!lost) lost = missing("judgement", after.judgements, before.judgements);
  if (!lost) lost = mismatch("judgement", before.judgements, after.judgements, is_failed_judge);
  return lost;
}

std::optional<std::string> difference(const Records& found, const Records& expected) {
  auto differs = mismatch("draw", found.draws, expected.draws, kNothing);
  if (!differs) differs = missing("draw", found.draws, expected.draws);
  if (!differs) {
    differs = mismatch("judgement", found.judgements, expected.judgements, kNothing);
  }
  if (!differs) differs = missing("judgement", found.judgements, expected.judgements);
  if (!differs) differs = mismatch("record", found.others, expected.others, kNothing);
  if (!differs) differs = missing("record", found.others, expected.others);
  return differs;
}

}  // namespace understudy::simulation
