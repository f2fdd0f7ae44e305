#include "engine/forecast_study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <unordered_map>

#include "base/text.hpp"
#include "engine/forecast_baselines.hpp"
#include "engine/forecast_graders.hpp"
#include "estimate/side_tables.hpp"
#include "forecast/frozen.hpp"
#include "forecast/merkle.hpp"
#include "forecast/predictive.hpp"
#include "forecast/scoring.hpp"
#include "grading/judge.hpp"
#include "grading/rule_graders.hpp"
#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {
namespace {

constexpr std::string_view kKeyName = "forecast_key";

Result<std::optional<Digest>> stored_key(StudyStore& store) {
  UNDERSTUDY_TRY(const auto bytes, store.meta(kKeyName));
  if (!bytes) return std::optional<Digest>();
  Digest key{};
  UNDERSTUDY_ASSERT(bytes->size() == key.size());
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return std::optional<Digest>(key);
}

// Made once and kept. It follows from all that the study holds (conversations and answers), not
// from a random source, so that a copy of study.db gives the same forecast: who does not hold the
// study cannot make it, and the digests that it is made of are published nowhere.
Result<Digest> forecast_key(Study& study) {
  UNDERSTUDY_TRY(const auto stored, stored_key(study.store));
  if (stored) return *stored;
  Sha256 hash;
  hash.field("understudy forecast key");
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& each) {
    hash.field(each.conversation.id).number(each.cluster);
    hash.field(encode_messages(each.conversation.messages));
    return Result<void>();
  }));
  UNDERSTUDY_CHECK(study.store.for_each_draw(Arm::kCandidate, [&](const StoredDraw& draw) {
    hash.number(static_cast<std::uint64_t>(pack_draw_key(draw.key)));
    if (const auto* completed = std::get_if<Completion>(&draw.outcome)) {
      hash.field(completed->content);
    }
    return Result<void>();
  }));
  const Digest key = hash.finish();
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_CHECK(study.store.set_meta(kKeyName, as_bytes(key)));
  UNDERSTUDY_CHECK(transaction.commit());
  return key;
}

Digest mark_of(const Digest& key, const Conversation& conversation) {
  if (conversation.time_s) {
    return keyed_hash(key,
                      {"conversation at", conversation.id, std::to_string(*conversation.time_s)});
  }
  const std::size_t opening = std::min<std::size_t>(conversation.messages.size(), 1);
  const Digest content = content_hash(conversation.tools, conversation.messages, opening);
  return keyed_hash(key, {"conversation", conversation.id, as_bytes(content)});
}

// Kept under the root that they have: when a conversation is forgotten, its mark stays, and says
// nothing of it to who does not have it.
std::string marks_name(const std::string& root) {
  return "forecast_marks:" + root;
}

Result<void> keep_marks(StudyStore& store, std::vector<Digest> marks) {
  std::sort(marks.begin(), marks.end());
  std::string bytes;
  for (const Digest& mark : marks) bytes += as_bytes(mark);
  UNDERSTUDY_TRY(Transaction transaction, store.transaction());
  UNDERSTUDY_CHECK(store.set_meta(marks_name(hex(merkle_root(std::move(marks)))), bytes));
  return transaction.commit();
}

// Empty where none are kept under this root.
Result<std::vector<Digest>> kept_marks(StudyStore& store, const std::string& root) {
  UNDERSTUDY_TRY(const auto bytes, store.meta(marks_name(root)));
  std::vector<Digest> marks(bytes ? bytes->size() / sizeof(Digest) : 0);
  for (std::size_t i = 0; i < marks.size(); ++i) {
    std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(i * sizeof(Digest)), sizeof(Digest),
                marks[i].begin());
  }
  if (hex(merkle_root(marks)) != root) marks.clear();
  return marks;
}

Result<std::vector<Digest>> marks_now(StudyStore& store, const Digest& key) {
  std::vector<Digest> marks;
  UNDERSTUDY_CHECK(store.for_each_conversation([&](const StoredConversation& each) {
    marks.push_back(mark_of(key, each.conversation));
    return Result<void>();
  }));
  return marks;
}

// Prefixes and conversations under their roots.
Result<Json> prefixes_section(Study& study) {
  UNDERSTUDY_TRY(const Digest key, forecast_key(study));
  std::vector<Digest> conversations, prefixes;
  std::unordered_map<std::int64_t, std::string> ids;
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& each) {
    conversations.push_back(mark_of(key, each.conversation));
    ids.emplace(each.id, each.conversation.id);
    return Result<void>();
  }));
  UNDERSTUDY_CHECK(study.store.for_each_prefix([&](const PrefixRow& prefix) {
    prefixes.push_back(
        keyed_hash(key, {"prefix", study.config.logs.source, ids.at(prefix.conversation),
                         std::to_string(prefix.cut), as_bytes(prefix.content_hash)}));
    return Result<void>();
  }));
  UNDERSTUDY_CHECK(keep_marks(study.store, conversations));
  const std::size_t conversation_count = conversations.size(), prefix_count = prefixes.size();
  return Json{
      {"hash", "HMAC-SHA-256, Merkle tree of RFC 6962"},
      {"count", prefix_count},
      {"root", hex(merkle_root(std::move(prefixes)))},
      {"conversations",
       {{"count", conversation_count}, {"root", hex(merkle_root(std::move(conversations)))}}}};
}

// What a judge is told, with an empty transcript in its fence.
Json prompts_section(const StudyConfig& config, const std::vector<Behavior>& behaviors) {
  Json prompts = Json::object();
  if (config.roles.contains("judge") || config.roles.contains("oracle")) {
    const Message question{.role = Role::kUser,
                           .content = {},
                           .reasoning = {},
                           .tool_calls = {},
                           .tool_call_id = {},
                           .name = {}};
    for (const Behavior& behavior : behaviors) {
      if (!behavior.judge) continue;
      const JudgeRequest request =
          judge_request(behavior, AnswerView{{&question, 1}, {}, {}, {}}, "");
      Json messages = Json::array();
      for (const Message& message : request.messages) {
        messages.push_back({{"role", role_name(message.role)}, {"content", message.content}});
      }
      prompts[behavior.id] = {{"messages", std::move(messages)}, {"schema", request.json_schema}};
    }
  }
  return {{"judge_template", kJudgeTemplateVersion}, {"behaviors", std::move(prompts)}};
}

Json measurement_section(const Study& study, const Json& manifest) {
  const StudyConfig::Grade& grade = study.config.grade;
  Json section = {{"unit", manifest["sample"]["unit"]},
                  {"logs", manifest["logs"]},
                  {"window_tokens", manifest["window_tokens"]},
                  {"prefix_tokens_max", manifest["sample"]["prefix_tokens_max"]},
                  {"tokenizer", study.tokenizer_name()},
                  {"deidentifier", kDeidentifierVersion},
                  {"rule_engine", kRuleEngineVersion},
                  {"behavior_format", kBehaviorFormat},
                  {"content_hash", kContentHashVersion},
                  {"roles", manifest["roles"]},
                  {"audit", grade.audit}};
  // Where they are not the default.
  if (grade.behaviors_per_call != 1) section["behaviors_per_call"] = grade.behaviors_per_call;
  if (grade.oracle_budget) section["oracle_budget"] = *grade.oracle_budget;
  if (study.config.tools.are_replayed()) section["max_steps"] = study.config.tools.max_steps;
  if (study.config.sample.after_users_only) section["cut"] = "user";
  return section;
}

Json history_json(const std::optional<HistoryFit>& fit) {
  if (!fit) return nullptr;
  return {{"releases", fit->releases},
          {"changes", fit->changes},
          {"pairs", fit->pairs},
          {"share", rounded(fit->share)},
          {"narrow", rounded(fit->narrow)},
          {"wide", rounded(fit->wide)},
          {"candidate_bias_sd", rounded(std::sqrt(fit->candidate_bias_variance))},
          {"deployed_bias_sd", rounded(std::sqrt(fit->deployed_bias_variance))},
          {"correlation", rounded(fit->correlation())},
          {"pivots", fit->pivots()}};
}

Json spread_json(const PredictiveSpread& spread) {
  return {{"shift_sd", rounded(std::sqrt(spread.shift_variance))},
          {"shift_source", spread.shift_source},
          {"simulator_sd", rounded(std::sqrt(spread.simulator_variance))},
          {"simulator_source", spread.simulator_source}};
}

Json corrected(const Json& behavior, const char* arm, const char* rate = "corrected") {
  return behavior.contains(arm) ? behavior[arm][rate] : Json();
}

// The old rate, with what is known of how well it is known.
Rate persistence_of(const Json& behavior) {
  Rate old = rate_from_json(corrected(behavior, "deployed"));
  if (!behavior["previous_per_100k"].is_number()) return old;
  old.per_100k = behavior["previous_per_100k"].get<double>();
  if (old.lo) old.lo = std::min(*old.lo, *old.per_100k);
  if (old.hi) old.hi = std::max(*old.hi, *old.per_100k);
  return old;
}

Moved call_of(const Rate& forecast, const Rate& old) {
  const double ratio = ScoringOptions{}.direction_ratio;
  if (!forecast.per_100k || !old.per_100k || *old.per_100k <= 0) return Moved::kUnknown;
  const double change = *forecast.per_100k / *old.per_100k;
  return change >= ratio ? Moved::kUp : change <= 1 / ratio ? Moved::kDown : Moved::kNo;
}

Json estimate_json(const Json& behavior, const PredictiveSpread& spread) {
  const Rate forecast = predictive_rate(rate_from_json(behavior["forecast"]), spread);
  return {{"behavior", behavior["name"]},
          {"version", behavior["version"]},
          {"hash", behavior["hash"]},
          {"forecast", to_json(forecast)},
          {"on_these_logs", behavior["forecast"]},
          {"candidate", behavior.value("candidate", Json())},
          {"deployed", behavior.value("deployed", Json())},
          {"deployed_replay", behavior.value("deployed_replay", Json())},
          {"change", behavior["change"]},
          {"direction_called", moved_name(call_of(forecast, persistence_of(behavior)))},
          {"miss_bound_per_100k", behavior["miss_bound_per_100k"]},
          {"alarms", behavior["alarms"]}};
}

struct Frozen {
  Json estimates = Json::array();
  Json baselines = Json::array();
  PredictiveSpread spread;
};

Result<Frozen> freeze_rates(Study& study, const std::vector<Behavior>& behaviors,
                            const Json& report, const std::optional<HistoryFit>& history) {
  Frozen frozen{.spread = study_spread(study, report, history)};
  // The old rate rests on no replay: only traffic can move it.
  const PredictiveSpread shift_alone{.shift_variance = frozen.spread.shift_variance};
  UNDERSTUDY_TRY(const auto challenging, challenging_prompts(study, behaviors, report));
  for (const Json& behavior : report["behaviors"]) {
    frozen.estimates.push_back(estimate_json(behavior, frozen.spread));
    Json of_behavior = {
        {"behavior", behavior["name"]},
        {"persistence", to_json(predictive_rate(persistence_of(behavior), shift_alone))},
        {"deployed_replay", corrected(behavior, "deployed_replay")},
        {"challenging_prompts", nullptr}};
    const auto found = challenging.find(behavior["name"].get<std::string>());
    if (found != challenging.end()) of_behavior["challenging_prompts"] = to_json(found->second);
    frozen.baselines.push_back(std::move(of_behavior));
  }
  return frozen;
}

Result<void> check_examples(const std::vector<Behavior>& behaviors) {
  for (const Behavior& behavior : behaviors) {
    for (const BehaviorExample& example : behavior.examples) {
      if (!example.from_logs) continue;
      return unexpected(
          ErrorCode::kUsage,
          "this example is a conversation of the study's logs, and a forecast, which is made to be "
          "published, would hold it whole: put the examples in your own words, delete their lines "
          "`from_logs = true`, and grade again; or say with --log-examples that it is meant",
          {.file = behavior.file, .line = example.line, .byte_offset = {}});
    }
  }
  return {};
}

Json scoring_section() {
  const ScoringOptions rules;
  return {{"level", rules.level},
          {"events_min", rules.events_min},
          {"direction_ratio", rules.direction_ratio},
          {"zeros", "half an event in the actual draws"},
          {"coverage", "the actual count within the predictive law of a count"}};
}

}  // namespace

bool KnownConversations::holds(const Conversation& conversation) const {
  return marks.contains(first64(mark_of(key, conversation)));
}

Result<KnownConversations> known_conversations(StudyStore& store, const std::string& root) {
  UNDERSTUDY_TRY(const auto key, stored_key(store));
  if (!key) {
    return unexpected(ErrorCode::kUsage,
                      "another study is where the one that made the forecast was");
  }
  UNDERSTUDY_TRY(const std::vector<Digest> now, marks_now(store, *key));
  KnownConversations known{.key = *key, .root = merkle_root(now), .forgotten = 0, .marks = {}};
  for (const Digest& mark : now) known.marks.insert(first64(mark));
  if (hex(known.root) == root) return known;
  UNDERSTUDY_TRY(const std::vector<Digest> kept, kept_marks(store, root));
  if (kept.empty()) {
    return unexpected(ErrorCode::kUsage,
                      "the study that made the forecast holds other conversations now");
  }
  known.root = merkle_root(kept);
  std::unordered_set<std::uint64_t> frozen;
  for (const Digest& mark : kept) {
    frozen.insert(first64(mark));
    if (!known.marks.contains(first64(mark))) ++known.forgotten;
  }
  known.marks = std::move(frozen);
  return known;
}

PredictiveSpread study_spread(const Study& study, const Json& report,
                              const std::optional<HistoryFit>& history) {
  std::vector<ReplayError> replays;
  for (const Json& behavior : report["behaviors"]) {
    replays.push_back({rate_from_json(corrected(behavior, "deployed")),
                       rate_from_json(corrected(behavior, "deployed_replay"))});
  }
  std::optional<double> placebo_sd;
  const Json& measured = report["shift"]["placebo"]["log_sd"];
  if (measured.is_number()) placebo_sd = measured.get<double>();
  return predictive_spread(history, study.config.forecast.shift_sd, replays, placebo_sd);
}

Result<std::vector<HistoryRow>> study_history(const Study& study) {
  const std::string& file = study.config.forecast.history;
  if (file.empty()) return std::vector<HistoryRow>();
  return read_history((std::filesystem::path(study.directory()) / file).string());
}

Result<std::string> forecast_study(Study& study, bool log_examples) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  if (!log_examples) UNDERSTUDY_CHECK(check_examples(behaviors));
  UNDERSTUDY_TRY(const StageOutcome estimated, estimate_stage(study));
  const Json& report = estimated.detail;
  if (report["counts"]["draws"]["candidate"]["completed"] == 0) {
    return unexpected(ErrorCode::kInput,
                      "the candidate has not answered once: there is nothing to forecast from");
  }
  UNDERSTUDY_TRY(const std::vector<HistoryRow> history, study_history(study));
  const auto fit = fit_history(history);
  const Json manifest = manifest_json(study.config);
  UNDERSTUDY_TRY(Frozen frozen, freeze_rates(study, behaviors, report, fit));
  Json design = manifest["sample"];
  design["design"] = report["study"]["design"];
  design["frame"] = report["counts"]["prefixes"]["frame"];
  design["sampled"] = report["counts"]["prefixes"]["sampled"];
  design["pi"] = report["counts"]["prefixes"]["pi"];
  Json document = {{"schema", "understudy.forecast/1"},
                   {"understudy_version", UNDERSTUDY_VERSION},
                   {"manifest_hash", report["manifest_hash"]},
                   {"unit", report["unit"]},
                   {"measurement", measurement_section(study, manifest)},
                   {"prompts", prompts_section(study.config, behaviors)},
                   {"design", std::move(design)},
                   {"models",
                    {{"candidate", manifest["candidate"]},
                     {"deployed", manifest["deployed"]},
                     {"arms", report["study"]["arms"]}}},
                   {"counts", report["counts"]},
                   {"estimates",
                    {{"behaviors", std::move(frozen.estimates)},
                     {"spread", spread_json(frozen.spread)},
                     {"history", history_json(fit)}}},
                   {"baselines", std::move(frozen.baselines)},
                   {"scoring", scoring_section()}};
  UNDERSTUDY_TRY(document["behaviors"], frozen_graders(study.directory(), behaviors));
  UNDERSTUDY_TRY(document["prefixes"], prefixes_section(study));
  return freeze(std::move(document));
}

}  // namespace understudy
