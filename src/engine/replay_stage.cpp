// Prefixes → draws: the candidate (and the deployed model, if it can be called) answers each
// prefix. A draw is stored before it counts; what is stored is never asked again.

#include <fmt/format.h>

#include "engine/batch_replay.hpp"

namespace understudy {
namespace {

class ArmReplay {
 public:
  ArmReplay(Study& study, ArmDraws& draws) : study_(study), draws_(draws) {}

  Result<AskedDraws> run() {
    UNDERSTUDY_TRY(Json detail, ask());
    return AskedDraws{.detail = std::move(detail), .count = asked_};
  }

 private:
  Result<Json> ask() {
    UNDERSTUDY_TRY(spending_, study_.spending());
    UNDERSTUDY_CHECK(draws_.check_identity({}));
    if (draws_.done() == draws_.total()) return detail();
    UNDERSTUDY_CHECK(draws_.check_batches());
    if (draws_.done() + draws_.out() == draws_.total()) {
      return unexpected(ErrorCode::kPaused, waiting_message());
    }
    UNDERSTUDY_TRY(ChatModel* const model, study_.model(draws_.role()));
    UNDERSTUDY_CHECK(draws_.check_identity(model->identity()));
    loaded_ = draws_.done();
    pilot_ = model->costs_money() && !study_.config.budget.cost && !study_.options.limit;
    UNDERSTUDY_TRY(const std::unique_ptr<LogSync> log, study_.start_log_sync());
    const ModelLoop loop{
        .next = [this] { return next(); },
        .store = [this](std::vector<ChatOutcome> ended) { return draws_.store(std::move(ended)); },
        .watch = [this](const ModelStatus& status) { watch(status); },
        .log = log.get(),
        .others = others()};
    // What is in flight is counted at the mean of what is done: a budget that seemed reached may
    // not be once it has come in.
    LoopEnd end = LoopEnd::kDone;
    do {
      UNDERSTUDY_TRY(end, run_model_loop(*model, loop, study_.world.clock, study_.world.stop));
    } while (end == LoopEnd::kDone && (may_go_on() || (!draws_.has_next_step() && may_ask())));
    study_.world.progress.finish(state());
    if (end == LoopEnd::kStopped || draws_.done() < draws_.total()) {
      return unexpected(ErrorCode::kPaused, pause_message(end));
    }
    return detail();
  }

  // Nothing where every draw is one answer.
  std::function<Result<bool>(int)> others() {
    if (!study_.config.tools.are_replayed()) return {};
    return [this](int timeout_ms) { return draws_.look_after_tools(timeout_ms); };
  }

  // A trajectory that is under way goes on until the budget is spent, not only promised.
  [[nodiscard]] bool may_go_on() {
    return draws_.has_next_step() &&
           !spending_->is_reached({.role = draws_.role(), .done = draws_.done(), .in_flight = 0});
  }

  [[nodiscard]] bool may_ask() {
    while (cursor_ < draws_.end() && !draws_.is_open(cursor_)) ++cursor_;
    const bool pilot_over = pilot_ && loaded_ + asked_ >= kPilotDraws;
    return cursor_ < draws_.end() && !pilot_over && !spending_->is_reached(draws_.progress());
  }

  Result<std::optional<ChatRequest>> next() {
    if (may_go_on()) return std::optional<ChatRequest>(draws_.next_step());
    while (!draws_.has_next_step() && may_ask()) {
      UNDERSTUDY_TRY(std::optional<ChatRequest> request, draws_.ask(cursor_++));
      ++asked_;
      if (request) return request;
    }
    return std::optional<ChatRequest>();
  }

  [[nodiscard]] std::string waiting_message() const {
    return fmt::format(
        "{} of {} draws are stored, {} are out in batch files: `understudy batch collect {}` takes "
        "their answers, or gives them up (--rest open)",
        draws_.done(), draws_.total(), draws_.out(), study_.directory());
  }

  [[nodiscard]] std::string pause_message(LoopEnd end) const {
    const std::uint64_t left = draws_.total() - draws_.done() - draws_.out();
    if (end == LoopEnd::kDone && left == 0) return waiting_message();
    if (end == LoopEnd::kStopped) {
      return fmt::format("stopped: {} of {} draws are stored; {} goes on", draws_.done(),
                         draws_.total(), again());
    }
    const Usage used = spending_->used(draws_.role());
    const std::string would = spending_->estimate_text(draws_.progress(), left);
    if (pilot_) {
      return fmt::format(
          "pilot: {} draws used {} prompt and {} completion tokens; the {} that are left would use "
          "{}. Set budget.cost (and [prices]) to go on",
          draws_.done(), used.prompt_tokens, used.completion_tokens, left, would);
    }
    return fmt::format(
        "the budget is reached: {} of {} draws are stored; the {} that are left would use {}. "
        "Raise the budget, then {} goes on",
        draws_.done(), draws_.total(), left, would, again());
  }

  [[nodiscard]] std::string again() const {
    return draws_.arm() == kRepeatedArm ? "the same command"
                                        : fmt::format("`understudy run {}`", study_.directory());
  }

  [[nodiscard]] ProgressState state() const {
    return {.stage = draws_.arm() == Arm::kDeployedReplay ? "replay Y" : "replay",
            .done = draws_.done(),
            .total = draws_.total(),
            .unit = "draws",
            .failed = draws_.failed_count(),
            .failures = &draws_.failed(),
            .cost = spending_->cost()};
  }

  void watch(const ModelStatus& status) { study_.world.progress.update(state().with(status)); }

  [[nodiscard]] Json detail() const {
    const Usage used = spending_->used(draws_.role());
    return {{"requested", draws_.total()},
            {"completed", draws_.done() - draws_.failed_count()},
            {"failed", draws_.failed()},
            {"prompt_tokens", used.prompt_tokens},
            {"completion_tokens", used.completion_tokens}};
  }

  Study& study_;
  ArmDraws& draws_;
  Spending* spending_ = nullptr;
  std::uint64_t loaded_ = 0;  ///< draws that earlier runs stored
  std::uint64_t asked_ = 0;
  std::size_t cursor_ = 0;
  bool pilot_ = false;
};

}  // namespace

Result<AskedDraws> ask_open_draws(Study& study, ArmDraws& draws) {
  return ArmReplay(study, draws).run();
}

Result<StageOutcome> replay_stage(Study& study) {
  UNDERSTUDY_TRY(const std::vector<PrefixPlace> prefixes, prefix_places(study.store));
  StageOutcome outcome{.up_to_date = true, .detail = Json::object()};
  const auto replay = [&](Arm arm) -> Result<void> {
    UNDERSTUDY_TRY(ArmDraws draws, ArmDraws::load(study, arm, prefixes));
    UNDERSTUDY_TRY(AskedDraws asked, ask_open_draws(study, draws));
    outcome.detail[std::string(arm_name(arm))] = std::move(asked.detail);
    outcome.up_to_date = outcome.up_to_date && asked.count == 0;
    return {};
  };
  UNDERSTUDY_CHECK(replay(Arm::kCandidate));
  if (study.config.deployed) UNDERSTUDY_CHECK(replay(Arm::kDeployedReplay));
  return outcome;
}

}  // namespace understudy
