#include "records/trajectory.hpp"

#include <array>

#include "records/codec.hpp"

namespace understudy {
namespace {

void put_events(Encoder& out, const std::vector<ToolEvent>& events) {
  out.number(events.size());
  for (const ToolEvent& event : events) {
    out.text(event.level).text(event.trouble).text(event.result);
    out.byte(event.repeated ? 1 : 0).number(event.contradictions);
  }
}

std::vector<ToolEvent> take_events(Decoder& in) {
  std::vector<ToolEvent> events;
  for (std::uint64_t left = in.count(); left > 0 && in.ok(); --left) {
    ToolEvent event;
    event.level = in.text();
    event.trouble = in.text();
    event.result = in.text();
    event.repeated = in.byte() != 0;
    event.contradictions = static_cast<std::uint32_t>(in.number());
    events.push_back(std::move(event));
  }
  return events;
}

Unexpected damaged() {
  return unexpected(ErrorCode::kInfrastructure, "a stored trajectory is damaged");
}

}  // namespace

std::string_view termination_name(Termination termination) {
  static constexpr std::array<std::string_view, kTerminationCount> kNames = {
      "answered",     "max_steps",          "max_tokens",
      "max_seconds",  "max_cost",           "tool_simulation_failed",
      "unknown_tool", "arguments_not_json", "context_overflow"};
  return kNames.at(static_cast<std::size_t>(termination));
}

void append_messages(const TrajectoryStep& step, std::vector<Message>& messages) {
  const std::vector<ToolCall>& calls = step.answer.tool_calls;
  UNDERSTUDY_ASSERT(step.events.size() == calls.size());
  Message answer;
  answer.role = Role::kAssistant;
  answer.content = step.answer.content;
  answer.reasoning = step.answer.reasoning;
  answer.tool_calls = calls;
  messages.push_back(std::move(answer));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Message result;
    result.role = Role::kTool;
    result.content = step.events[i].result;
    result.tool_call_id = calls[i].id;
    result.name = calls[i].name;
    messages.push_back(std::move(result));
  }
}

std::string encode_step(const TrajectoryStep& step) {
  Encoder out;
  out.number(step.attempts).text(encode_outcome(step.answer));
  put_events(out, step.events);
  return std::move(out).bytes();
}

Result<TrajectoryStep> decode_step(std::string_view bytes) {
  Decoder in(bytes);
  TrajectoryStep step;
  step.attempts = static_cast<std::uint32_t>(in.number());
  UNDERSTUDY_TRY(DrawOutcome outcome, decode_outcome(in.text()));
  step.events = take_events(in);
  auto* const answer = std::get_if<Completion>(&outcome);
  if (answer == nullptr || !in.ok() || !in.at_end()) return damaged();
  step.answer = std::move(*answer);
  return step;
}

std::string encode_end(const Trajectory& trajectory) {
  Encoder out;
  out.byte(static_cast<std::uint8_t>(trajectory.end));
  put_events(out, trajectory.last_events);
  return std::move(out).bytes();
}

Result<Trajectory> decode_end(std::string_view bytes) {
  Decoder in(bytes);
  Trajectory trajectory;
  const std::uint8_t end = in.byte();
  trajectory.last_events = take_events(in);
  if (!in.ok() || !in.at_end() || end >= kTerminationCount) return damaged();
  trajectory.end = static_cast<Termination>(end);
  return trajectory;
}

}  // namespace understudy
