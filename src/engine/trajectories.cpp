#include "engine/trajectories.hpp"

#include <utility>

namespace understudy {
namespace {

constexpr std::size_t kToolThreads = 8;
constexpr std::string_view kNotAsked = "not_asked";  // a call before it was not answered

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
  std::unique_ptr<Trajectories> made(new Trajectories(study, role, std::move(chain)));
  if (study.config.roles.contains("simulator")) {
    UNDERSTUDY_TRY(made->simulator_, study.model("simulator"));
  }
  return made;
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
  open_tools(open);
  for (TrajectoryStep& step : steps) {
    ++open.steps;
    open.attempts += step.attempts;
    add_usage(open.usage, step.answer.usage);
    open.tools->restore(step);
    if (step.events.size() < step.answer.tool_calls.size()) {
      UNDERSTUDY_ASSERT(open.steps == steps.size());
      open.last = std::move(step);
      return call_tools(open);
    }
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
  if (open.tools == nullptr) open_tools(open);
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

void Trajectories::open_tools(Open& open) {
  open.tools = chain_->open(*open.text, open.cut, open.seed);
}

// The calls of one answer, one after the other: each may change what the next one sees.
Result<std::optional<StoredDraw>> Trajectories::call_tools(Open& open) {
  const DrawKey key = key_of(open.request.id);
  const std::vector<ToolCall>& calls = open.last.answer.tool_calls;
  while (open.last.events.size() < calls.size()) {
    const ToolCall& call = calls[open.last.events.size()];
    if (workers_) {
      // The answer is kept before anything is waited for.
      UNDERSTUDY_CHECK(study_.store.add_step(key, open.steps - 1, open.last));
      workers_->submit({.id = open.request.id, .tools = open.tools.get(), .call = call});
      return std::optional<StoredDraw>();
    }
    ToolReply reply = open.tools->ask(call);
    if (std::holds_alternative<SimulatorQuestion>(reply)) {
      UNDERSTUDY_CHECK(study_.store.add_step(key, open.steps - 1, open.last));
      return take_reply(open, std::move(reply));
    }
    open.last.events.push_back(event_of(std::get<ToolAnswer>(std::move(reply))));
    if (!open.last.events.back().trouble.empty()) return give_up(open);
  }
  UNDERSTUDY_CHECK(study_.store.add_step(key, open.steps - 1, open.last));
  go_on(open, open.last);
  open.last = {};
  ready_.push_back(open.request.id);
  return std::optional<StoredDraw>();
}

// A reply of a worker or of the simulator.
Result<std::optional<StoredDraw>> Trajectories::take_reply(Open& open, ToolReply reply) {
  if (auto* const question = std::get_if<SimulatorQuestion>(&reply)) {
    questions_.emplace_back(open.request.id, std::move(*question));
    return std::optional<StoredDraw>();
  }
  ToolEvent event = event_of(std::get<ToolAnswer>(std::move(reply)));
  event.result = names_of(open).apply(event.result);
  open.last.events.push_back(std::move(event));
  return open.last.events.back().trouble.empty() ? call_tools(open) : give_up(open);
}

// A program or a model may say names that the logs had replaced. What it says twice gets the same
// name twice.
Deidentifier& Trajectories::names_of(Open& open) {
  const std::vector<Message>& before = open.request.messages;
  if (!open.names) {
    open.names = deidentifier_after(before, before.size(), open.request.tools);
  } else {
    for (std::size_t i = open.named; i < before.size(); ++i) {
      open.names->reserve(before[i].content);
      for (const ToolCall& call : before[i].tool_calls) open.names->reserve(call.arguments);
    }
  }
  open.named = before.size();
  return *open.names;
}

// The last call was answered by nobody; those behind it are not made.
Result<std::optional<StoredDraw>> Trajectories::give_up(Open& open) {
  const std::vector<ToolCall>& calls = open.last.answer.tool_calls;
  const Termination end =
      termination_of(calls.at(open.last.events.size() - 1), open.text->conversation.tools);
  while (open.last.events.size() < calls.size()) {
    open.last.events.push_back({.level = std::string(tool_level_name(ToolLevel::kNone)),
                                .trouble = std::string(kNotAsked)});
  }
  UNDERSTUDY_CHECK(study_.store.remove_step(key_of(open.request.id), open.steps - 1));
  Trajectory trajectory{.last_events = std::move(open.last.events), .end = end};
  return std::optional(finish(open, std::move(open.last.answer), std::move(trajectory)));
}

Result<ToolsDone> Trajectories::look_after_tools(int timeout_ms, bool may_ask) {
  while (may_ask && !questions_.empty() && simulator_->free_slots() > 0) {
    auto& [id, question] = questions_.front();
    ChatRequest request;
    request.id = id;
    request.messages = std::move(question.messages);
    request.sampling = study_.model_config("simulator").sampling;
    request.seed = question.seed;
    // For recorded simulators: which question this is.
    request.prefix_identity = hash64({"simulator", std::to_string(question.seed)});
    request.draw_index = question.attempt;
    simulator_->submit(std::move(request));
    questions_.pop_front();
    ++simulating_;
  }
  ToolsDone done;
  const bool works = workers_ && workers_->count() > 0;
  if (works) done.called = workers_->take(simulating_ > 0 ? 0 : timeout_ms);
  if (simulating_ > 0) {
    done.simulated = simulator_->poll(done.called.empty() ? timeout_ms : 0);
    simulating_ -= done.simulated.size();
  }
  return done;
}

Result<std::vector<StoredDraw>> Trajectories::settle(ToolsDone done) {
  std::vector<StoredDraw> ended;
  const auto take = [&](std::uint64_t id, ToolReply reply) -> Result<void> {
    UNDERSTUDY_TRY(auto draw, take_reply(open_.at(id), std::move(reply)));
    if (draw) ended.push_back(std::move(*draw));
    return {};
  };
  for (ToolWork& work : done.called) UNDERSTUDY_CHECK(take(work.id, std::move(work.reply)));
  for (ChatOutcome& outcome : done.simulated) {
    if (auto* const failure = std::get_if<Failure>(&outcome.outcome)) {
      // Like the candidate's own: the steps stay, and --retry-errors asks again.
      failure->detail = "simulator: " + failure->detail;
      ended.push_back(finish(open_.at(outcome.id), std::move(*failure), std::nullopt));
      continue;
    }
    UNDERSTUDY_CHECK(take(outcome.id, open_.at(outcome.id).tools->accept(outcome.outcome)));
  }
  return ended;
}

StoredDraw Trajectories::finish(const Open& open, DrawOutcome outcome,
                                std::optional<Trajectory> trajectory) {
  StoredDraw draw{.key = key_of(open.request.id),
                  .attempts = open.attempts,
                  .outcome = std::move(outcome),
                  .window_bytes = {},
                  .trajectory = std::move(trajectory)};
  open_.erase(static_cast<std::uint64_t>(pack_draw_key(draw.key)));
  return draw;
}

}  // namespace understudy
