#include "environment/tool_world.hpp"

#include <utility>

#include "base/assert.hpp"

namespace understudy {

std::string_view tool_level_name(ToolLevel level) {
  switch (level) {
    case ToolLevel::kRecorded:
      return "recorded";
    case ToolLevel::kKeyed:
      return "keyed";
    case ToolLevel::kServer:
      return "server";
    case ToolLevel::kCommand:
      return "command";
    case ToolLevel::kInjected:
      return "injected";
    case ToolLevel::kNone:
      return "none";
    case ToolLevel::kConnector:
      return "connector";
    case ToolLevel::kSimulated:
      return "simulated";
  }
  UNDERSTUDY_ASSERT(false);
}

std::string_view tool_trouble_name(ToolTrouble trouble) {
  switch (trouble) {
    case ToolTrouble::kNone:
      return "none";
    case ToolTrouble::kNoSource:
      return "no_source";
    case ToolTrouble::kServerDied:
      return "server_died";
    case ToolTrouble::kServerHung:
      return "server_hung";
    case ToolTrouble::kServerFlooded:
      return "server_flooded";
    case ToolTrouble::kServerBroken:
      return "server_broken";
    case ToolTrouble::kSandboxRefused:
      return "sandbox_refused";
    case ToolTrouble::kServerRedirected:
      return "server_redirected";
    case ToolTrouble::kSimulationFailed:
      return "tool_simulation_failed";
    case ToolTrouble::kSimulatorRefused:
      return "simulator_refused";
    case ToolTrouble::kSimulatorAsked:
      return "simulator_asked";
    case ToolTrouble::kSimulatorUnavailable:
      return "simulator_unavailable";
  }
  UNDERSTUDY_ASSERT(false);
}

// ---- the world ----

void ToolWorld::observe(const ToolCall& call, const std::optional<std::string>& result) {
  const std::string canonical = rules_.canonical(call);
  const Digest asked_in = state_.digest();
  const Digest key = state_.question(canonical);
  state_.took(rules_, call, canonical, result);
  const bool changed = state_.digest() != asked_in;
  if (result) {
    if (!changed) {
      given_.insert_or_assign(key, ToolAnswer{.level = ToolLevel::kRecorded,
                                              .result = *result,
                                              .trouble = ToolTrouble::kNone});
    }
    if (facts_) facts_->take(call, *result, changed);
  }
  if (simulator_ != nullptr) simulator_->happened(call, result);
  ++calls_;
}

void ToolWorld::restore(const ToolCall& call, const ToolAnswer& answer) {
  const Open open{.call = call, .canonical = rules_.canonical(call), .number = calls_++};
  (void)settle(open, answer, nullptr);
}

ToolReply ToolWorld::ask(const ToolCall& call) {
  UNDERSTUDY_ASSERT(!open_);
  Open open{.call = call, .canonical = rules_.canonical(call), .number = calls_++};
  if (const auto known = given_.find(state_.question(open.canonical)); known != given_.end()) {
    ToolAnswer again = known->second;
    again.repeated = true;
    again.contradictions = 0;
    if (simulator_ != nullptr) simulator_->happened(call, again.result);
    return again;
  }
  const ToolQuestion question = question_of(open);
  for (ToolSource* source : sources_) {
    std::optional<ToolAnswer> answer = source->answer(question);
    if (!answer) continue;
    if (answer->level == ToolLevel::kNone) return *std::move(answer);
    return settle(open, *std::move(answer), source);
  }
  if (simulator_ == nullptr) return ToolAnswer{};
  SimulatorQuestion asked = simulator_->question(question);
  open_ = std::move(open);
  return asked;
}

ToolReply ToolWorld::accept(const DrawOutcome& outcome) {
  UNDERSTUDY_ASSERT(open_.has_value() && simulator_ != nullptr);
  ToolReply reply = simulator_->read(question_of(*open_), outcome);
  ToolAnswer* const answer = std::get_if<ToolAnswer>(&reply);
  if (answer == nullptr) return reply;
  const Open open = *std::exchange(open_, std::nullopt);
  if (answer->level == ToolLevel::kNone) return reply;
  return settle(open, std::move(*answer), nullptr);
}

ToolAnswer ToolWorld::call(const ToolCall& call) {
  ToolReply reply = ask(call);
  ToolAnswer* const answer = std::get_if<ToolAnswer>(&reply);
  UNDERSTUDY_ASSERT(answer != nullptr);
  return std::move(*answer);
}

// What follows from an answer that was taken, whoever gave it.
ToolAnswer ToolWorld::settle(const Open& open, ToolAnswer answer, ToolSource* source) {
  const Digest key = state_.question(open.canonical);
  const Digest asked_in = state_.digest();
  const bool injected = answer.level == ToolLevel::kInjected;
  // A failure that was injected has not reached the world.
  if (!injected) state_.took(rules_, open.call, open.canonical, answer.result);
  const bool changed = state_.digest() != asked_in;
  if (facts_) answer.contradictions = facts_->take(open.call, answer.result, changed);
  const bool reads = rules_.effect(open.call.name) == ToolEffect::kRead;
  // A change that was made to fail may be tried again.
  if (reads || (!changed && !injected)) given_.emplace(key, answer);
  if (source != nullptr) source->taken(state_);
  if (simulator_ != nullptr) simulator_->happened(open.call, answer.result);
  return answer;
}

// ---- what was logged ----

namespace {

std::optional<ToolAnswer> found_answer(ToolLevel level,
                                       const std::optional<RecordedCalls::Found>& found) {
  if (!found) return std::nullopt;
  return ToolAnswer{
      .level = level, .result = std::string(found->result), .trouble = ToolTrouble::kNone};
}

}  // namespace

std::optional<ToolAnswer> RecordedSource::answer(const ToolQuestion& question) {
  return found_answer(
      ToolLevel::kRecorded,
      calls_.in_trajectory(trajectory_, question.state.question(question.canonical)));
}

std::optional<ToolAnswer> KeyedSource::answer(const ToolQuestion& question) {
  return found_answer(
      ToolLevel::kKeyed,
      calls_.elsewhere(trajectory_, question.state.question(question.canonical), donors_));
}

// ---- worlds of their own ----

std::optional<ToolAnswer> StatefulSource::answer(const ToolQuestion& question) {
  if (!knows(question.call.name)) return std::nullopt;
  if (broken_ != ToolTrouble::kNone) return ToolAnswer{.trouble = broken_};
  ToolAnswer answer = attempt(question);
  if (answer.level == ToolLevel::kNone && answer.trouble != ToolTrouble::kSandboxRefused) {
    restart();
    told_ = 0;
    answer = attempt(question);
  }
  if (answer.level == ToolLevel::kNone) broken_ = answer.trouble;
  return answer;
}

ToolAnswer StatefulSource::attempt(const ToolQuestion& question) {
  const std::vector<ToolCall>& changes = question.state.changes();
  for (; told_ < changes.size(); ++told_) {
    if (!knows(changes[told_].name)) continue;
    if (ToolAnswer answer = perform(changes[told_]); answer.level == ToolLevel::kNone) {
      return answer;
    }
  }
  return perform(question.call);
}

}  // namespace understudy
