#include "environment/tool_world.hpp"

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
  }
  UNDERSTUDY_ASSERT(false);
}

// ---- the world ----

void ToolWorld::observe(const ToolCall& call, const std::optional<std::string>& result) {
  const std::string canonical = rules_.canonical(call);
  if (result && rules_.effect(call.name) == ToolEffect::kRead) {
    given_.insert_or_assign(state_.question(canonical), ToolAnswer{.level = ToolLevel::kRecorded,
                                                                   .result = *result,
                                                                   .trouble = ToolTrouble::kNone});
  }
  state_.took(rules_, call, canonical, result);
  ++calls_;
}

void ToolWorld::restore(const ToolCall& call, const ToolAnswer& answer) {
  const std::string canonical = rules_.canonical(call);
  if (rules_.effect(call.name) == ToolEffect::kRead) {
    given_.emplace(state_.question(canonical), answer);
  }
  if (answer.level != ToolLevel::kInjected) state_.took(rules_, call, canonical, answer.result);
  ++calls_;
}

ToolAnswer ToolWorld::call(const ToolCall& call) {
  const std::string canonical = rules_.canonical(call);
  const Digest key = state_.question(canonical);
  const bool reads = rules_.effect(call.name) == ToolEffect::kRead;
  if (const auto known = given_.find(key); reads && known != given_.end()) {
    ++calls_;
    ToolAnswer again = known->second;
    again.repeated = true;
    return again;
  }
  const ToolQuestion question{
      .call = call, .canonical = canonical, .state = state_, .number = calls_++};
  for (ToolSource* source : sources_) {
    std::optional<ToolAnswer> answer = source->answer(question);
    if (!answer) continue;
    if (answer->level == ToolLevel::kNone) return *std::move(answer);
    if (reads) given_.emplace(key, *answer);
    // A failure that was injected has not reached the world.
    if (answer->level != ToolLevel::kInjected) state_.took(rules_, call, canonical, answer->result);
    source->taken(state_);
    return *std::move(answer);
  }
  return {};
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
