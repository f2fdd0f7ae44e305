#include "engine/trajectories.hpp"

#include <algorithm>
#include <utility>

#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {
namespace {

constexpr std::size_t kToolThreads = 8;

std::uint64_t seed_of_step(std::uint64_t seed, std::size_t step) {
  return step == 0 ? seed : first64(Sha256().number(seed).number(step).finish());
}

DrawKey key_of(std::uint64_t id) {
  return unpack_draw_key(static_cast<std::int64_t>(id));
}

void add_usage(Usage& sum, const Usage& usage) {
  sum.prompt_tokens += usage.prompt_tokens;
  sum.completion_tokens += usage.completion_tokens;
}

}  // namespace

Trajectories::Trajectories(Study& study, std::string role, std::unique_ptr<ToolChain> chain)
    : study_(study), role_(std::move(role)), chain_(std::move(chain)) {
  if (chain_->may_wait() && study_.world.has_threads) {
    workers_ = std::make_unique<ToolWorkers>(kToolThreads);
  }
}

Result<std::unique_ptr<Trajectories>> Trajectories::make(Study& study, const std::string& role) {
  UNDERSTUDY_TRY(std::unique_ptr<ToolChain> chain, ToolChain::load(study));
  return std::unique_ptr<Trajectories>(new Trajectories(study, role, std::move(chain)));
}

Result<std::optional<StoredDraw>> Trajectories::begin(
    ChatRequest first, std::shared_ptr<const StoredConversation> text, std::uint32_t cut,
    bool begun) {
  const std::uint64_t id = first.id;
  Open& open = open_[id];
  open.seed = first.seed;
  open.request = std::move(first);
  open.text = std::move(text);
  open.cut = cut;
  open.started_us = study_.world.clock.now_us();
  if (!begun) {
    ready_.push_back(id);
    return std::optional<StoredDraw>();
  }
  UNDERSTUDY_TRY(std::vector<TrajectoryStep> steps, study_.store.steps(key_of(id)));
  UNDERSTUDY_ASSERT(!steps.empty());
  open.tools = chain_->open(open.text->id);
  open.tools->observe(open.text->conversation.messages, cut);
  for (TrajectoryStep& step : steps) {
    ++open.steps;
    open.attempts += step.attempts;
    add_usage(open.usage, step.answer.usage);
    if (step.events.empty()) {
      UNDERSTUDY_ASSERT(open.steps == steps.size());
      open.last = std::move(step);
      return call_tools(open);
    }
    open.tools->restore(step);
    go_on(open, step);
  }
  ready_.push_back(id);
  return std::optional<StoredDraw>();
}

ChatRequest Trajectories::next() {
  const std::uint64_t id = ready_.front();
  ready_.pop_front();
  return open_.at(id).request;
}

void Trajectories::go_on(Open& open, const TrajectoryStep& step) {
  append_messages(step, open.request.messages);
  open.request.step = static_cast<std::uint32_t>(open.steps);
  open.request.seed = seed_of_step(open.seed, open.steps);
}

std::optional<Termination> Trajectories::end_of(const Open& open, const Completion& answer) const {
  const StudyConfig::Tools& limits = study_.config.tools;
  if (answer.tool_calls.empty()) return Termination::kAnswered;
  if (open.steps + 1 >= limits.max_steps) return Termination::kMaxSteps;
  if (limits.max_tokens &&
      open.usage.prompt_tokens + open.usage.completion_tokens >= *limits.max_tokens) {
    return Termination::kMaxTokens;
  }
  const std::int64_t used_us = study_.world.clock.now_us() - open.started_us;
  if (limits.max_seconds && used_us >= std::int64_t{*limits.max_seconds} * 1'000'000) {
    return Termination::kMaxSeconds;
  }
  const auto price = study_.config.prices.find(study_.model_config(role_).model);
  if (limits.max_cost && price != study_.config.prices.end()) {
    const double cost = static_cast<double>(open.usage.prompt_tokens) * price->second.input +
                        static_cast<double>(open.usage.completion_tokens) * price->second.output;
    if (cost / 1e6 >= *limits.max_cost) return Termination::kMaxCost;
  }
  return std::nullopt;
}

Result<std::optional<StoredDraw>> Trajectories::take(ChatOutcome ended) {
  Open& open = open_.at(ended.id);
  open.attempts += ended.attempts;
  if (auto* const failure = std::get_if<Failure>(&ended.outcome)) {
    return fail(open, std::move(*failure));
  }
  auto& answer = std::get<Completion>(ended.outcome);
  add_usage(open.usage, answer.usage);
  // From here on nobody sees but the de-identified answer: what is asked next, and what a later
  // session reads, are the same.
  const std::vector<Message>& before = open.request.messages;
  deidentifier_after(before, before.size(), open.request.tools).apply(answer);
  make_ids_unique(answer.tool_calls, before);
  if (const auto end = end_of(open, answer)) {
    return std::optional(finish(open, std::move(answer), Trajectory{.end = *end}));
  }
  open.last = {.answer = std::move(answer), .events = {}, .attempts = ended.attempts};
  ++open.steps;
  if (open.tools == nullptr) {
    open.tools = chain_->open(open.text->id);
    open.tools->observe(open.text->conversation.messages, open.cut);
  }
  if (workers_) {
    UNDERSTUDY_CHECK(study_.store.add_step(key_of(ended.id), open.steps - 1, open.last));
  }
  return call_tools(open);
}

// A server that is down for a while must not cost the steps: they stay, for --retry-errors.
Result<std::optional<StoredDraw>> Trajectories::fail(Open& open, Failure failure) {
  if (failure.reason != FailureReason::kContextOverflow || open.steps == 0) {
    return std::optional(finish(open, std::move(failure), std::nullopt));
  }
  const DrawKey key = key_of(open.request.id);
  UNDERSTUDY_TRY(std::vector<TrajectoryStep> steps, study_.store.steps(key));
  UNDERSTUDY_CHECK(study_.store.remove_step(key, steps.size() - 1));
  Trajectory trajectory{.last_events = std::move(steps.back().events),
                        .end = Termination::kContextOverflow};
  return std::optional(finish(open, std::move(steps.back().answer), std::move(trajectory)));
}

Result<std::optional<StoredDraw>> Trajectories::call_tools(Open& open) {
  if (!workers_) return settle(open, open.tools->answer(open.last.answer.tool_calls));
  workers_->submit(
      {.id = open.request.id, .tools = open.tools.get(), .calls = open.last.answer.tool_calls});
  return std::optional<StoredDraw>();
}

std::vector<ToolWork> Trajectories::tool_results(int timeout_ms) {
  return workers_ ? workers_->take(timeout_ms) : std::vector<ToolWork>();
}

Result<std::optional<StoredDraw>> Trajectories::settle(ToolWork work) {
  Open& open = open_.at(work.id);
  // A program of the user's may know names that the logs had replaced.
  Deidentifier deidentifier =
      deidentifier_after(open.request.messages, open.request.messages.size(), open.request.tools);
  for (ToolEvent& event : work.events) event.result = deidentifier.apply(event.result);
  return settle(open, std::move(work.events));
}

Result<std::optional<StoredDraw>> Trajectories::settle(Open& open, std::vector<ToolEvent> events) {
  const DrawKey key = key_of(open.request.id);
  const auto failed = std::find_if(events.begin(), events.end(),
                                   [](const ToolEvent& event) { return !event.trouble.empty(); });
  if (failed != events.end()) {
    const auto call = static_cast<std::size_t>(failed - events.begin());
    const Termination end =
        termination_of(open.last.answer.tool_calls.at(call), open.text->conversation.tools);
    UNDERSTUDY_CHECK(study_.store.remove_step(key, open.steps - 1));
    return std::optional(finish(open, std::move(open.last.answer),
                                Trajectory{.last_events = std::move(events), .end = end}));
  }
  open.last.events = std::move(events);
  UNDERSTUDY_CHECK(study_.store.add_step(key, open.steps - 1, open.last));
  go_on(open, open.last);
  open.last = {};
  ready_.push_back(open.request.id);
  return std::optional<StoredDraw>();
}

StoredDraw Trajectories::finish(const Open& open, DrawOutcome outcome,
                                std::optional<Trajectory> trajectory) {
  StoredDraw draw{.key = key_of(open.request.id),
                  .attempts = open.attempts,
                  .outcome = std::move(outcome),
                  .window_bytes = {},
                  .trajectory = std::move(trajectory)};
  open_.erase(open.request.id);
  return draw;
}

}  // namespace understudy
