// Conversations → the frame (eligible turns) and the prefixes drawn from it.

#include <fmt/format.h>

#include <map>

#include "engine/risk_design.hpp"
#include "engine/target_traffic.hpp"
#include "engine/units.hpp"
#include "grading/behavior.hpp"
#include "grading/rule_graders.hpp"
#include "sampling/frame.hpp"
#include "sampling/prefix_selection.hpp"
#include "sampling/risk_score.hpp"

namespace understudy {
namespace {

constexpr int kSampleVersion = 1;

// All but the number of prefixes: with these equal, more prefixes extend a selection.
Digest design_fingerprint(const Study& study, const Digest& ingest) {
  Json design = manifest_json(study.config)["sample"];
  design.erase("prefixes");
  design.erase("draws");
  Sha256 hash;
  hash.number(kSampleVersion)
      .number(kContentHashVersion)
      .field(as_bytes(ingest))
      .field(write_json(design, JsonStyle::kCanonical))
      .number(study.config.window_tokens().value_or(0))
      .field(study.tokenizer_name());
  if (study.config.tools.are_replayed()) hash.number(study.config.tools.max_steps);
  return hash.finish();
}

struct TurnCounts {
  std::uint64_t turns = 0;
  std::array<std::uint64_t, kTurnExclusionCount> excluded{};
  std::uint64_t in_frame = 0;
};

// The frame is built once a design: tokenizing is the slow part of this stage.
Result<Json> build_frame(Study& study, const Tokenizer& tokenizer, std::uint64_t conversations) {
  const FrameRules rules{.unit = study.config.sample.unit,
                         .prefix_tokens_max = study.config.sample.prefix_tokens_max,
                         .window_tokens = study.config.window_tokens(),
                         .max_steps = study.config.tools.max_steps,
                         .after_users_only = study.config.sample.after_users_only};
  TurnCounts counts;
  ProgressState state{.stage = "sample", .total = conversations, .unit = "conversations"};
  UNDERSTUDY_CHECK(study.store.clear_frame());
  UNDERSTUDY_CHECK(
      study.store.for_each_conversation([&](const StoredConversation& stored) -> Result<void> {
        const ConversationFrame frame = frame_of(stored.conversation.messages, rules, tokenizer);
        counts.in_frame += frame.turns.size();
        for (std::size_t i = 0; i < kTurnExclusionCount; ++i)
          counts.excluded[i] += frame.excluded[i];
        ++state.done;
        study.world.progress.update(state);
        if (study.world.stop.count() > 0) {
          return unexpected(ErrorCode::kPaused,
                            "stopped while counting tokens: `run` begins this "
                            "stage again");
        }
        return frame.turns.empty() ? Result<void>() : study.store.add_frame(stored.id, frame.turns);
      }));
  study.world.progress.finish(state);
  Json excluded = Json::object();
  for (std::size_t i = 0; i < kTurnExclusionCount; ++i) {
    excluded[std::string(turn_exclusion_name(static_cast<TurnExclusion>(i)))] = counts.excluded[i];
  }
  return Json{{"frame", counts.in_frame}, {"excluded", excluded}};
}

using Selected = std::vector<SelectedPrefix>;
using FrameTurnVisitor = std::function<void(const FrameRow& row, const FrameTurn& turn)>;

Result<void> for_each_frame_turn(Study& study, const FrameTurnVisitor& visit) {
  return study.store.for_each_frame_row([&](const FrameRow& row) -> Result<void> {
    for (const FrameTurn& turn : row.turns) visit(row, turn);
    return {};
  });
}

Result<Selected> draw_uniformly(Study& study) {
  PrefixSelection selection(study.config.sample.seed, study.config.sample.prefixes);
  UNDERSTUDY_CHECK(for_each_frame_turn(study, [&](const FrameRow& row, const FrameTurn& turn) {
    selection.offer(study.config.logs.source, row.conversation, row.external_id, turn.cut);
  }));
  return selection.take();
}

// By Poisson sampling on the risk score: what is drawn is `prefixes` on average (34), (36).
Result<Selected> draw_by_risk(Study& study, std::uint64_t frame) {
  UNDERSTUDY_CHECK(grade_logged_answers(study));
  UNDERSTUDY_TRY(const std::vector<float> sizes, risk_sizes(study, frame));
  const RiskDesign design(sizes, study.config.sample.prefixes);
  PoissonSelection selection(study.config.sample.seed);
  std::size_t turns = 0;
  UNDERSTUDY_CHECK(for_each_frame_turn(study, [&](const FrameRow& row, const FrameTurn& turn) {
    const double pi = design.pi(static_cast<double>(sizes.at(turns++)));
    selection.offer(study.config.logs.source, row.conversation, row.external_id, turn.cut, pi);
  }));
  return selection.take();
}

// Draws the prefixes; those that an earlier, smaller selection took keep their ids and their draws.
Result<void> select_prefixes(Study& study, Json& detail) {
  const auto frame = detail["frame"].get<std::uint64_t>();
  if (frame == 0) {
    return unexpected(
        ErrorCode::kInput,
        fmt::format("no turn is left to replay: {}; loosen [sample]", detail["excluded"].dump()));
  }
  const bool by_risk = study.config.sample.by_risk;
  UNDERSTUDY_TRY(const Selected drawn,
                 by_risk ? draw_by_risk(study, frame) : draw_uniformly(study));
  if (drawn.empty()) {
    return unexpected(ErrorCode::kUsage,
                      "chance drew no prefix at all: raise sample.prefixes, or take another seed");
  }
  // Before the first draw a selection binds nobody: `plan` may have tried other numbers.
  UNDERSTUDY_TRY(const std::int64_t draws, study.store.draw_count());
  if (draws == 0) UNDERSTUDY_CHECK(study.store.clear_prefixes());
  std::map<std::pair<std::int64_t, std::uint32_t>, std::int64_t> taken;
  std::int64_t next_id = 1;
  UNDERSTUDY_CHECK(study.store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    taken.emplace(std::pair(prefix.conversation, prefix.cut), prefix.id);
    next_id = prefix.id + 1;
    return {};
  }));
  std::optional<StoredConversation> conversation;
  for (const SelectedPrefix& chosen : drawn) {
    if (const auto known = taken.find({chosen.conversation, chosen.cut}); known != taken.end()) {
      if (by_risk) {
        UNDERSTUDY_CHECK(study.store.set_inclusion_probability(known->second, chosen.pi));
      }
      taken.erase(known);
      continue;
    }
    if (!conversation || conversation->id != chosen.conversation) {
      UNDERSTUDY_TRY(conversation, study.store.conversation(chosen.conversation));
    }
    const Conversation& text = conversation->conversation;
    UNDERSTUDY_CHECK(study.store.add_prefix(
        {.id = next_id++,
         .conversation = chosen.conversation,
         .cut = chosen.cut,
         .pi = chosen.pi,
         .content_hash = content_hash(text.tools, text.messages, chosen.cut)}));
  }
  if (!taken.empty()) {
    return unexpected(ErrorCode::kUsage,
                      "sample.prefixes is smaller than in the draws that are stored: raise it "
                      "again, or use --limit to replay fewer");
  }
  const double share =
      std::min(1.0, static_cast<double>(study.config.sample.prefixes) / static_cast<double>(frame));
  if (!by_risk) UNDERSTUDY_CHECK(study.store.set_inclusion_probability(share));
  detail["sampled"] = drawn.size();
  detail["pi"] = rounded(share);
  return {};
}

// A target that these prefixes cannot stand for is said before anything is spent on them.
Result<void> check_target(Study& study) {
  UNDERSTUDY_TRY(const auto target, target_traffic(study));
  if (!target) return {};
  UNDERSTUDY_TRY(const Units frame, units_of(study.store, Arm::kDeployed));
  UNDERSTUDY_TRY(Units prefixes, logged_units_of_prefixes(study.store));
  weigh_by_target(*target, frame, prefixes);
  return check_effective_share(prefixes);
}

}  // namespace

Result<StageOutcome> sample_stage(Study& study) {
  UNDERSTUDY_TRY(const auto ingest, study.store.stage("ingest"));
  if (!ingest)
    return unexpected(ErrorCode::kUsage, "nothing is ingested yet: `understudy ingest` first");
  const Digest design = design_fingerprint(study, ingest->fingerprint);
  Sha256 drawn_from;
  drawn_from.field(as_bytes(design)).number(study.config.sample.prefixes);
  if (study.config.sample.by_risk) {
    // What is flagged in the logged answers decides who is drawn.
    UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                   select_behaviors(study.config.grade.behaviors, study.directory()));
    drawn_from.field(kRuleEngineVersion);
    for (const Behavior& behavior : behaviors) drawn_from.field(as_bytes(behavior.hash));
  }
  const Digest fingerprint = drawn_from.finish();
  UNDERSTUDY_TRY(auto detail, stored_detail(study.store, "sample", fingerprint));
  if (detail) return StageOutcome{.up_to_date = true, .detail = std::move(*detail)};

  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_TRY(auto counts, stored_detail(study.store, "frame", design));
  if (!counts) {
    UNDERSTUDY_TRY(const std::int64_t draws, study.store.draw_count());
    if (draws > 0) {
      return unexpected(ErrorCode::kUsage,
                        fmt::format("[sample], or the number of tokens graded, changed after {} "
                                    "draws were made: start a new study, or put it back",
                                    draws));
    }
    UNDERSTUDY_TRY(const Tokenizer* const tokenizer, study.tokenizer());
    UNDERSTUDY_TRY(const Json ingested, parse_json(ingest->detail));
    UNDERSTUDY_TRY(counts,
                   build_frame(study, *tokenizer, ingested["eligible"].get<std::uint64_t>()));
    (*counts)["tokenizer"] = tokenizer->identity();
    UNDERSTUDY_CHECK(store_stage(study.store, "frame", design, *counts));
  }
  UNDERSTUDY_CHECK(select_prefixes(study, *counts));
  UNDERSTUDY_CHECK(check_target(study));
  UNDERSTUDY_CHECK(store_stage(study.store, "sample", fingerprint, *counts));
  UNDERSTUDY_CHECK(transaction.commit());
  return StageOutcome{.up_to_date = false, .detail = std::move(*counts)};
}

}  // namespace understudy
