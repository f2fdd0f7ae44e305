#include "engine/arm_draws.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {

std::string role_of(Arm arm) {
  UNDERSTUDY_ASSERT(arm == Arm::kCandidate || arm == Arm::kDeployedReplay || arm == kRepeatedArm ||
                    arm == kBenchmarkArm);
  return arm == Arm::kDeployedReplay ? "deployed" : "candidate";
}

Result<std::vector<PrefixPlace>> prefix_places(StudyStore& store) {
  UNDERSTUDY_TRY(const auto sample, store.stage("sample"));
  if (!sample) return unexpected(ErrorCode::kUsage, "no prefixes yet: `understudy sample` first");
  std::vector<PrefixPlace> prefixes;
  UNDERSTUDY_CHECK(store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    UNDERSTUDY_ASSERT(prefix.id == static_cast<std::int64_t>(prefixes.size()) + 1);
    prefixes.push_back({.conversation = prefix.conversation, .cut = prefix.cut});
    return {};
  }));
  return prefixes;
}

Result<std::vector<std::uint64_t>> prefix_identities(StudyStore& store, const std::string& source,
                                                     const std::vector<PrefixPlace>& prefixes) {
  std::vector<std::size_t> by_conversation(prefixes.size());
  std::iota(by_conversation.begin(), by_conversation.end(), std::size_t{0});
  std::sort(by_conversation.begin(), by_conversation.end(), [&](std::size_t a, std::size_t b) {
    return prefixes[a].conversation < prefixes[b].conversation;
  });
  std::vector<std::uint64_t> identities(prefixes.size());
  auto next = by_conversation.begin();
  UNDERSTUDY_CHECK(store.for_each_frame_row([&](const FrameRow& row) -> Result<void> {
    for (; next != by_conversation.end() && prefixes[*next].conversation == row.conversation;
         ++next) {
      identities[*next] = prefix_identity(source, row.external_id, prefixes[*next].cut);
    }
    return {};
  }));
  UNDERSTUDY_ASSERT(next == by_conversation.end());
  return identities;
}

Result<std::optional<std::uint64_t>> window_bytes(Study& study, const Completion& completion) {
  const auto window = study.config.window_tokens();
  if (!window) return std::optional<std::uint64_t>();
  UNDERSTUDY_TRY(const Tokenizer* const tokenizer, study.tokenizer());
  const std::uint64_t size = tokenizer->first_tokens(completion.content, *window).size();
  return size < completion.content.size() ? std::optional(size) : std::nullopt;
}

ChatRequest request_to(const ModelConfig& model, std::span<const Message> before,
                       const std::string& tools) {
  ChatRequest request;
  request.messages.assign(before.begin(), before.end());
  if (!model.system.empty()) {
    std::erase_if(request.messages, [](const Message& message) {
      return message.role == Role::kSystem || message.role == Role::kDeveloper;
    });
    Message system;
    system.role = Role::kSystem;
    system.content = model.system;
    request.messages.insert(request.messages.begin(), std::move(system));
  }
  request.tools = tools;
  request.sampling = model.sampling;
  return request;
}

Result<void> check_arm_identity(Study& study, Arm arm, std::uint64_t asked,
                                const std::optional<std::string>& model) {
  const std::string key = fmt::format("identity:{}", arm_name(arm));
  UNDERSTUDY_TRY(const auto stored, study.store.meta(key));
  const Json manifest = manifest_json(study.config);
  const std::string role = role_of(arm);
  Json now = {{"config", manifest[role]}};
  if (manifest.contains("tools")) now["tools"] = manifest["tools"];
  if (stored && asked > 0) {
    UNDERSTUDY_TRY(const Json before, parse_json(*stored));
    now["model"] = model ? Json(*model) : before["model"];
    if (now == before) return {};
    return unexpected(ErrorCode::kUsage,
                      fmt::format("{} draws of the {} arm were asked of {}, now it would be {}: "
                                  "start a new study, or put [{}] back",
                                  asked, arm_name(arm), before.dump(), now.dump(), role));
  }
  if (!model) return {};
  now["model"] = *model;
  return study.store.set_meta(key, write_json(now, JsonStyle::kCanonical));
}

Result<std::uint64_t> ended_draws(StudyStore& store, Arm arm) {
  std::uint64_t count = 0;
  UNDERSTUDY_CHECK(store.for_each_draw_status(arm, [&](const DrawStatus&) -> Result<void> {
    ++count;
    return {};
  }));
  return count;
}

Result<ArmDraws> ArmDraws::load(Study& study, Arm arm, std::vector<PrefixPlace> prefixes) {
  ArmDraws draws(study, arm);
  if (study.options.limit && *study.options.limit < prefixes.size()) {
    prefixes.resize(*study.options.limit);
  }
  UNDERSTUDY_CHECK(draws.load(std::move(prefixes), study.config.sample.draws));
  return draws;
}

Result<ArmDraws> ArmDraws::load_repeated(Study& study, std::vector<PrefixPlace> prefixes,
                                         const std::vector<std::int64_t>& chosen,
                                         std::uint32_t draws) {
  ArmDraws repeated(study, kRepeatedArm);
  UNDERSTUDY_CHECK(repeated.load(std::move(prefixes), draws));
  std::vector<bool> open(repeated.end(), false);
  for (const std::int64_t prefix : chosen) {
    const auto first = static_cast<std::ptrdiff_t>(*repeated.number_of(prefix, 0));
    std::fill_n(open.begin() + first, draws, true);
  }
  repeated.done_ = 0;
  for (std::size_t number = 0; number < repeated.end(); ++number) {
    if (open[number]) {
      repeated.done_ += repeated.finished_[number] ? 1U : 0U;
    } else {
      ++repeated.passed_over_;
      repeated.finished_[number] = true;
    }
  }
  UNDERSTUDY_TRY(repeated.done_elsewhere_, ended_draws(study.store, Arm::kCandidate));
  return repeated;
}

Result<void> ArmDraws::load(std::vector<PrefixPlace> prefixes, std::uint32_t draws) {
  draws_ = draws;
  prefixes_ = std::move(prefixes);
  const std::size_t total = prefixes_.size() * draws_;
  finished_.assign(total, false);
  out_.assign(total, false);
  begun_.assign(total, false);
  UNDERSTUDY_CHECK(load_out());
  UNDERSTUDY_CHECK(
      study_->store.for_each_draw_status(arm_, [&](const DrawStatus& status) -> Result<void> {
        const auto number = number_of(status.key.prefix, status.key.index);
        if (!number) return {};
        // What failed and is out again is waited for.
        if (status.failed && (study_->options.retry_errors || out_[*number])) return {};
        if (out_[*number]) --out_count_;
        out_[*number] = false;
        finished_[*number] = true;
        ++done_;
        if (status.failed) ++failed_[std::string(failure_name(*status.failed))];
        return {};
      }));
  if (!study_->config.tools.are_replayed()) return {};
  return study_->store.for_each_begun(arm_, [&](const DrawKey& key) -> Result<void> {
    const auto number = number_of(key.prefix, key.index);
    if (!number || finished_[*number]) return {};
    begun_[*number] = true;
    ++begun_count_;
    return {};
  });
}

Result<void> ArmDraws::load_out() {
  const std::string settings =
      write_json(manifest_json(study_->config)[role_], JsonStyle::kCanonical);
  tag_ =
      hex(Sha256().field(arm_name(arm_)).field(settings).field(study_->config.sample.seed).finish())
          .substr(0, 8);
  UNDERSTUDY_TRY(const auto frame, study_->store.stage("frame"));
  if (frame) frame_ = hex(frame->fingerprint);
  UNDERSTUDY_TRY(const std::vector<BatchFile> files, load_batches(study_->store));
  for (const BatchFile& file : files) {
    if (!is_of_this_study(file)) {
      if (file.arm == arm_) out_elsewhere_ += count_draws(file.out);
      continue;
    }
    for (const auto& [first, count] : file.out) {
      for (std::uint64_t at = first; at < first + count; ++at) {
        const auto number =
            number_of(static_cast<std::int64_t>(at / file.draws) + 1, at % file.draws);
        if (!number || out_[*number]) continue;
        out_[*number] = true;
        ++out_count_;
      }
    }
  }
  return {};
}

bool ArmDraws::is_of_this_study(const BatchFile& file) const {
  return file.arm == arm_ && file.tag == tag_ && file.frame == frame_;
}

std::optional<std::size_t> ArmDraws::number_of(std::int64_t prefix, std::uint64_t index) const {
  if (prefix < 1 || index >= draws_) return std::nullopt;
  const std::size_t number = static_cast<std::size_t>(prefix - 1) * draws_ + index;
  if (number >= finished_.size()) return std::nullopt;
  return number;
}

std::uint64_t ArmDraws::failed_count() const {
  std::uint64_t count = 0;
  for (const auto& [reason, of_reason] : failed_) count += of_reason;
  return count;
}

RoleProgress ArmDraws::progress() const {
  const std::size_t open = trajectories_ ? trajectories_->count() : in_flight_.size();
  return {.role = role_, .done = done_ + done_elsewhere_, .in_flight = open + out_count_};
}

DrawKey ArmDraws::key_of(std::size_t number) const {
  return {.arm = arm_,
          .prefix = static_cast<std::int64_t>(number / draws_) + 1,
          .index = static_cast<std::uint32_t>(number % draws_)};
}

Result<void> ArmDraws::check_identity(const std::optional<std::string>& model) {
  // Repeated draws are of the model that gave the candidate's.
  const Arm arm = arm_ == kRepeatedArm ? Arm::kCandidate : arm_;
  const std::uint64_t asked = done_ + done_elsewhere_ + out_count_ + begun_count_;
  return check_arm_identity(*study_, arm, asked, model);
}

Result<void> ArmDraws::check_batches() const {
  if (out_elsewhere_ == 0) return {};
  return unexpected(
      ErrorCode::kUsage,
      fmt::format("{} draws of the {} arm are out in batch files for other settings: put [{}] and "
                  "[sample] back, or give them up: `understudy batch collect {} --rest open`",
                  out_elsewhere_, arm_name(arm_), role_, study_->directory()));
}

Result<ArmDraws::Text> ArmDraws::text_of(std::int64_t prefix) {
  const PrefixPlace place = prefixes_.at(static_cast<std::size_t>(prefix - 1));
  if (last_ && last_->id == place.conversation) return last_;
  if (!ahead_.empty() && ahead_.front()->id == place.conversation) {
    last_ = ahead_.front();
  } else {
    UNDERSTUDY_TRY(StoredConversation stored, study_->store.conversation(place.conversation));
    last_ = std::make_shared<const StoredConversation>(std::move(stored));
  }
  return last_;
}

Result<ChatRequest> ArmDraws::request(std::size_t number) {
  const DrawKey key = key_of(number);
  UNDERSTUDY_TRY(const Text stored, text_of(key.prefix));
  const Conversation& text = stored->conversation;
  const std::uint32_t cut = prefixes_[static_cast<std::size_t>(key.prefix - 1)].cut;
  ChatRequest request =
      request_to(study_->model_config(role_), std::span(text.messages).first(cut), text.tools);
  request.id = static_cast<std::uint64_t>(pack_draw_key(key));
  request.prefix_identity = prefix_identity(study_->config.logs.source, text.id, cut);
  request.draw_index = key.index;
  request.seed =
      draw_seed(study_->config.sample.seed, "replay", arm_, request.prefix_identity, key.index);
  return request;
}

Result<void> ArmDraws::read_ahead(std::size_t number) {
  constexpr std::size_t kConversationsMax = 32;
  constexpr std::size_t kBytesMax = 1U << 20;
  const std::size_t first = number / draws_;
  const auto is_wanted = [&](std::size_t prefix) {
    for (std::size_t i = 0; i < draws_; ++i) {
      if (!finished_[prefix * draws_ + i]) return true;
    }
    return false;
  };
  while (!ahead_.empty() && ahead_.front()->id != prefixes_[first].conversation) ahead_.pop_front();
  if (!ahead_.empty() || (last_ && last_->id == prefixes_[first].conversation)) return {};
  UNDERSTUDY_TRY(Transaction reading, study_->store.reading());
  std::size_t bytes = 0;
  for (std::size_t i = first; i < prefixes_.size() && ahead_.size() < kConversationsMax; ++i) {
    const std::int64_t conversation = prefixes_[i].conversation;
    if (!is_wanted(i) || (!ahead_.empty() && ahead_.back()->id == conversation)) continue;
    UNDERSTUDY_TRY(StoredConversation stored, study_->store.conversation(conversation));
    for (const Message& message : stored.conversation.messages) bytes += message.content.size();
    ahead_.push_back(std::make_shared<const StoredConversation>(std::move(stored)));
    if (bytes > kBytesMax) break;
  }
  return reading.commit();
}

Result<std::optional<ChatRequest>> ArmDraws::ask(std::size_t number) {
  UNDERSTUDY_CHECK(read_ahead(number));
  UNDERSTUDY_TRY(ChatRequest asked, request(number));
  if (!study_->config.tools.are_replayed()) {
    in_flight_.emplace(asked.id, last_);
    return std::optional(std::move(asked));
  }
  if (trajectories_ == nullptr) {
    UNDERSTUDY_TRY(trajectories_, Trajectories::make(*study_, role_));
  }
  const std::uint32_t cut = prefixes_[number / draws_].cut;
  if (!begun_[number]) {
    UNDERSTUDY_TRY([[maybe_unused]] const auto none,
                   trajectories_->begin(std::move(asked), last_, cut, false));
  } else {
    UNDERSTUDY_TRY(Transaction transaction, study_->store.transaction());
    UNDERSTUDY_TRY(auto ended, trajectories_->begin(std::move(asked), last_, cut, true));
    if (ended) UNDERSTUDY_CHECK(put(std::move(*ended)));
    UNDERSTUDY_CHECK(transaction.commit());
  }
  if (!has_next_step()) return std::optional<ChatRequest>();
  return std::optional(next_step());
}

Result<bool> ArmDraws::look_after_tools(int timeout_ms) {
  if (trajectories_ == nullptr || trajectories_->waiting() == 0) return false;
  UNDERSTUDY_TRY(Spending* const spending, study_->spending());
  const bool may_ask = !spending->is_reached({.role = role_, .done = done_, .in_flight = 0});
  UNDERSTUDY_TRY(ToolsDone tools, trajectories_->look_after_tools(timeout_ms, may_ask));
  // Questions that the budget holds back are asked by a later run.
  if (tools.empty()) return may_ask || trajectories_->is_being_answered();
  UNDERSTUDY_TRY(Transaction transaction, study_->store.transaction());
  for (const ChatOutcome& simulated : tools.simulated) {
    if (const auto* const completion = std::get_if<Completion>(&simulated.outcome)) {
      spending->add("simulator", completion->usage);
    }
  }
  if (!tools.simulated.empty()) UNDERSTUDY_CHECK(spending->save(study_->store));
  UNDERSTUDY_TRY(std::vector<StoredDraw> ended, trajectories_->settle(std::move(tools)));
  for (StoredDraw& draw : ended) UNDERSTUDY_CHECK(put(std::move(draw)));
  UNDERSTUDY_CHECK(transaction.commit());
  return true;
}

Result<void> ArmDraws::store(std::vector<ChatOutcome> outcomes) {
  UNDERSTUDY_TRY(Spending* const spending, study_->spending());
  UNDERSTUDY_TRY(Transaction transaction, study_->store.transaction());
  for (ChatOutcome& ended : outcomes) {
    if (const auto* const completion = std::get_if<Completion>(&ended.outcome)) {
      spending->add(role_, completion->usage);
    }
    if (trajectories_) {
      UNDERSTUDY_TRY(auto draw, trajectories_->take(std::move(ended)));
      if (draw) UNDERSTUDY_CHECK(put(std::move(*draw)));
    } else {
      UNDERSTUDY_TRY(StoredDraw draw, single_draw(std::move(ended)));
      UNDERSTUDY_CHECK(put(std::move(draw)));
    }
  }
  UNDERSTUDY_CHECK(spending->save(study_->store));
  return transaction.commit();
}

// Fresh answers go the way of the logged ones: de-identified, then (put) cut to the window.
Result<StoredDraw> ArmDraws::single_draw(ChatOutcome ended) {
  StoredDraw draw{.key = unpack_draw_key(static_cast<std::int64_t>(ended.id)),
                  .attempts = ended.attempts,
                  .outcome = std::move(ended.outcome),
                  .window_bytes = {}};
  const auto held = in_flight_.find(ended.id);
  if (auto* const completion = std::get_if<Completion>(&draw.outcome)) {
    Text text;
    if (held != in_flight_.end()) text = held->second;
    if (text == nullptr) {
      UNDERSTUDY_TRY(text, text_of(draw.key.prefix));
    }
    const Conversation& before = text->conversation;
    const std::uint32_t cut = prefixes_[static_cast<std::size_t>(draw.key.prefix - 1)].cut;
    deidentifier_after(before.messages, cut, before.tools).apply(*completion);
  }
  if (held != in_flight_.end()) in_flight_.erase(held);
  return draw;
}

Result<void> ArmDraws::put(StoredDraw draw) {
  if (const auto* const completion = std::get_if<Completion>(&draw.outcome)) {
    UNDERSTUDY_TRY(draw.window_bytes, window_bytes(*study_, *completion));
  }
  UNDERSTUDY_CHECK(study_->store.add_draw(draw));
  finish(draw);
  return {};
}

void ArmDraws::finish(const StoredDraw& draw) {
  const std::size_t number =
      static_cast<std::size_t>(draw.key.prefix - 1) * draws_ + draw.key.index;
  if (out_[number]) --out_count_;
  out_[number] = false;
  if (!finished_[number]) ++done_;
  finished_[number] = true;
  if (const auto* const failure = std::get_if<Failure>(&draw.outcome)) {
    ++failed_[std::string(failure_name(failure->reason))];
  }
}

}  // namespace understudy
