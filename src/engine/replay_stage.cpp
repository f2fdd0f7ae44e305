// Prefixes → draws: the candidate (and the deployed model, if it can be called) answers each
// prefix. A draw is stored before it counts; what is stored is never asked again.

#include <fmt/format.h>

#include <unordered_map>

#include "engine/study.hpp"
#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kPilotDraws = 200;

struct PrefixPlace {
  std::int64_t conversation = 0;
  std::uint32_t cut = 0;
};

// Tokens that an arm has used so far, over all runs: what budgets count.
struct ArmUsage {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;

  [[nodiscard]] double cost(const TokenPrice& price) const {
    return (static_cast<double>(prompt_tokens) * price.input +
            static_cast<double>(completion_tokens) * price.output) /
           1e6;
  }
};

class ArmReplay {
 public:
  ArmReplay(Study& study, Arm arm, std::string role, std::vector<PrefixPlace> prefixes)
      : study_(study), arm_(arm), role_(std::move(role)), prefixes_(std::move(prefixes)) {}

  Result<Json> run() {
    UNDERSTUDY_CHECK(load_progress());
    UNDERSTUDY_CHECK(check_identity(nullptr));
    const bool pending = done_ < finished_.size();
    if (!pending) return detail();
    UNDERSTUDY_TRY(ChatModel* const model, study_.model(role_));
    UNDERSTUDY_CHECK(check_identity(model));
    UNDERSTUDY_TRY(tokenizer_, study_.tokenizer());
    started_us_ = study_.world.clock.now_us();
    pilot_ = model->costs_money() && !study_.config.budget.cost && !study_.options.limit;
    const ModelLoop loop{
        .next = [this] { return next(); },
        .store = [this](std::vector<ChatOutcome> outcomes) { return store(std::move(outcomes)); },
        .watch = [this](const ModelStatus& status) { watch(status); }};
    UNDERSTUDY_TRY(const LoopEnd end,
                   run_model_loop(*model, loop, study_.world.clock, study_.world.stop));
    study_.world.progress.finish(state());
    if (end == LoopEnd::kStopped || done_ < finished_.size()) {
      return unexpected(ErrorCode::kPaused, pause_message(end));
    }
    return detail();
  }

  [[nodiscard]] std::uint64_t asked() const { return asked_; }

 private:
  Result<void> load_progress() {
    const std::uint32_t draws = study_.config.sample.draws;
    if (study_.options.limit && *study_.options.limit < prefixes_.size()) {
      prefixes_.resize(*study_.options.limit);
    }
    finished_.assign(prefixes_.size() * draws, false);
    UNDERSTUDY_CHECK(
        study_.store.for_each_draw_status(arm_, [&](const DrawStatus& status) -> Result<void> {
          const auto prefix = static_cast<std::size_t>(status.key.prefix - 1);
          if (prefix >= prefixes_.size() || status.key.index >= draws) return {};
          if (status.failed && study_.options.retry_errors) return {};
          finished_[prefix * draws + status.key.index] = true;
          ++done_;
          if (status.failed) ++failed_[std::string(failure_name(*status.failed))];
          return {};
        }));
    loaded_ = done_;
    UNDERSTUDY_TRY(const auto usage, study_.store.meta(usage_key()));
    if (usage) {
      UNDERSTUDY_TRY(const Json stored, parse_json(*usage));
      usage_.prompt_tokens = stored["prompt_tokens"].get<std::uint64_t>();
      usage_.completion_tokens = stored["completion_tokens"].get<std::uint64_t>();
    }
    return {};
  }

  // Draws of two models, or of one under two settings, must not mix under one name. The settings
  // are compared always, the model (its weights, its server) when it is asked again.
  Result<void> check_identity(const ChatModel* model) {
    const std::string key = fmt::format("identity:{}", arm_name(arm_));
    UNDERSTUDY_TRY(const auto stored, study_.store.meta(key));
    Json now = {{"config", manifest_json(study_.config)[role_]}};
    if (stored && done_ > 0) {
      UNDERSTUDY_TRY(const Json before, parse_json(*stored));
      now["model"] = model != nullptr ? Json(model->identity()) : before["model"];
      if (now == before) return {};
      return unexpected(ErrorCode::kUsage,
                        fmt::format("{} draws of the {} arm were made by {}, now it would be {}: "
                                    "start a new study, or put [{}] back",
                                    done_, arm_name(arm_), before.dump(), now.dump(), role_));
    }
    if (model == nullptr) return {};
    now["model"] = model->identity();
    return study_.store.set_meta(key, write_json(now, JsonStyle::kCanonical));
  }

  Result<std::optional<ChatRequest>> next() {
    while (cursor_ < finished_.size() && finished_[cursor_]) ++cursor_;
    if (cursor_ == finished_.size() || budget_reached()) return std::optional<ChatRequest>();
    const std::uint32_t draws = study_.config.sample.draws;
    const std::size_t position = cursor_++;
    const DrawKey key{.arm = arm_,
                      .prefix = static_cast<std::int64_t>(position / draws) + 1,
                      .index = static_cast<std::uint32_t>(position % draws)};
    const PrefixPlace place = prefixes_[position / draws];
    if (!conversation_ || conversation_->id != place.conversation) {
      UNDERSTUDY_TRY(StoredConversation stored, study_.store.conversation(place.conversation));
      conversation_ = std::make_shared<const StoredConversation>(std::move(stored));
    }
    const Conversation& text = conversation_->conversation;
    ChatRequest request;
    request.id = static_cast<std::uint64_t>(pack_draw_key(key));
    request.messages.assign(text.messages.begin(), text.messages.begin() + place.cut);
    request.tools = text.tools;
    request.sampling = study_.model_config(role_).sampling;
    request.prefix_identity = prefix_identity(study_.config.logs.source, text.id, place.cut);
    request.draw_index = key.index;
    request.seed =
        draw_seed(study_.config.sample.seed, "replay", arm_, request.prefix_identity, key.index);
    in_flight_.emplace(request.id, InFlight{.conversation = conversation_, .cut = place.cut});
    ++asked_;
    return std::optional<ChatRequest>(std::move(request));
  }

  Result<void> store(std::vector<ChatOutcome> outcomes) {
    UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
    for (ChatOutcome& ended : outcomes) {
      StoredDraw draw{.key = unpack_draw_key(static_cast<std::int64_t>(ended.id)),
                      .attempts = ended.attempts,
                      .outcome = std::move(ended.outcome),
                      .window_bytes = {}};
      const auto asked = in_flight_.find(ended.id);
      UNDERSTUDY_ASSERT(asked != in_flight_.end());
      if (auto* completion = std::get_if<Completion>(&draw.outcome)) {
        take(*completion, asked->second, draw);
      } else {
        ++failed_[std::string(failure_name(std::get<Failure>(draw.outcome).reason))];
      }
      in_flight_.erase(asked);
      UNDERSTUDY_CHECK(study_.store.add_draw(draw));
    }
    const Json usage = {{"prompt_tokens", usage_.prompt_tokens},
                        {"completion_tokens", usage_.completion_tokens}};
    UNDERSTUDY_CHECK(study_.store.set_meta(usage_key(), write_json(usage, JsonStyle::kCanonical)));
    UNDERSTUDY_CHECK(transaction.commit());
    done_ += outcomes.size();
    return {};
  }

  struct InFlight {
    std::shared_ptr<const StoredConversation> conversation;
    std::uint32_t cut = 0;
  };

  // Fresh answers go the way of the logged ones: de-identified, then measured against the window.
  void take(Completion& completion, const InFlight& asked, StoredDraw& draw) {
    usage_.prompt_tokens += completion.usage.prompt_tokens;
    usage_.completion_tokens += completion.usage.completion_tokens;
    const Conversation& text = asked.conversation->conversation;
    deidentifier_after(text.messages, asked.cut, text.tools).apply(completion);
    if (const auto window = study_.config.window_tokens()) {
      const std::size_t size = tokenizer_->first_tokens(completion.content, *window).size();
      if (size < completion.content.size()) draw.window_bytes = size;
    }
  }

  [[nodiscard]] bool budget_reached() const {
    if (pilot_ && loaded_ + asked_ >= kPilotDraws) return true;
    const auto& budget = study_.config.budget;
    const double seconds = static_cast<double>(study_.world.clock.now_us() - started_us_) / 1e6;
    if (budget.seconds && seconds >= static_cast<double>(*budget.seconds)) return true;
    if (budget.tokens && usage_.prompt_tokens + usage_.completion_tokens >= *budget.tokens) {
      return true;
    }
    // What is in flight will cost about what the others did.
    const double mean_factor =
        done_ == 0 ? 1.0
                   : 1.0 + static_cast<double>(in_flight_.size()) / static_cast<double>(done_);
    return budget.cost && cost() * mean_factor >= *budget.cost;
  }

  [[nodiscard]] double cost() const {
    const auto price = study_.config.prices.find(study_.model_config(role_).model);
    return price == study_.config.prices.end() ? 0 : usage_.cost(price->second);
  }

  [[nodiscard]] std::string usage_key() const { return fmt::format("usage:{}", arm_name(arm_)); }

  [[nodiscard]] std::string pause_message(LoopEnd end) const {
    const std::uint64_t left = finished_.size() - done_;
    if (end == LoopEnd::kStopped) {
      return fmt::format("stopped: {} of {} draws are stored; `understudy run {}` goes on", done_,
                         finished_.size(), study_.directory());
    }
    if (pilot_) {
      const double share_left =
          static_cast<double>(left) / static_cast<double>(std::max<std::uint64_t>(done_, 1));
      return fmt::format(
          "pilot: {} draws used {} prompt and {} completion tokens; the {} that are left would use "
          "about {:.3g} and {:.3g}. Set budget.cost (and [prices]) to go on",
          done_, usage_.prompt_tokens, usage_.completion_tokens, left,
          share_left * static_cast<double>(usage_.prompt_tokens),
          share_left * static_cast<double>(usage_.completion_tokens));
    }
    return fmt::format(
        "the budget is reached: {} of {} draws are stored, {} are left; raise the "
        "budget, then `understudy run {}` goes on",
        done_, finished_.size(), left, study_.directory());
  }

  [[nodiscard]] ProgressState state() const {
    ProgressState state{.stage = arm_ == Arm::kCandidate ? "replay" : "replay Y",
                        .done = done_,
                        .total = finished_.size(),
                        .unit = "draws"};
    for (const auto& [reason, count] : failed_) state.failed += count;
    state.cost = cost();
    return state;
  }

  void watch(const ModelStatus& status) {
    ProgressState now = state();
    now.in_flight = status.in_flight;
    now.tokens = status.completion_tokens;
    now.note = status.note;
    study_.world.progress.update(now);
  }

  [[nodiscard]] Json detail() const {
    std::uint64_t failed = 0;
    for (const auto& [reason, count] : failed_) failed += count;
    return {{"requested", finished_.size()},
            {"completed", done_ - failed},
            {"failed", failed_},
            {"prompt_tokens", usage_.prompt_tokens},
            {"completion_tokens", usage_.completion_tokens}};
  }

  Study& study_;
  Arm arm_;
  std::string role_;
  std::vector<PrefixPlace> prefixes_;
  std::vector<bool> finished_;
  std::uint64_t done_ = 0;    ///< stored, by this run or an earlier one
  std::uint64_t loaded_ = 0;  ///< of those, by earlier ones
  std::uint64_t asked_ = 0;
  std::size_t cursor_ = 0;
  std::map<std::string, std::uint64_t> failed_;
  ArmUsage usage_;
  const Tokenizer* tokenizer_ = nullptr;
  std::shared_ptr<const StoredConversation> conversation_;
  std::unordered_map<std::uint64_t, InFlight> in_flight_;
  std::int64_t started_us_ = 0;
  bool pilot_ = false;
};

}  // namespace

Result<StageOutcome> replay_stage(Study& study) {
  UNDERSTUDY_TRY(const auto sample, study.store.stage("sample"));
  if (!sample) return unexpected(ErrorCode::kUsage, "no prefixes yet: `understudy sample` first");
  std::vector<PrefixPlace> prefixes;
  UNDERSTUDY_CHECK(study.store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    UNDERSTUDY_ASSERT(prefix.id == static_cast<std::int64_t>(prefixes.size()) + 1);
    prefixes.push_back({.conversation = prefix.conversation, .cut = prefix.cut});
    return {};
  }));
  StageOutcome outcome{.up_to_date = true, .detail = Json::object()};
  const auto replay = [&](Arm arm, const char* role) -> Result<void> {
    ArmReplay arm_replay(study, arm, role, prefixes);
    UNDERSTUDY_TRY(outcome.detail[std::string(arm_name(arm))], arm_replay.run());
    outcome.up_to_date = outcome.up_to_date && arm_replay.asked() == 0;
    return {};
  };
  UNDERSTUDY_CHECK(replay(Arm::kCandidate, "candidate"));
  if (study.config.deployed) UNDERSTUDY_CHECK(replay(Arm::kDeployedReplay, "deployed"));
  return outcome;
}

}  // namespace understudy
