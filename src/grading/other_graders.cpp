#include "grading/other_graders.hpp"

#include "base/json.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

Json message_json(std::string_view role, std::string_view content,
                  std::span<const ToolCall> tool_calls) {
  Json json = {{"role", role}, {"content", replace_invalid_utf8(content)}};
  for (const ToolCall& call : tool_calls) {
    json["tool_calls"].push_back({{"name", call.name}, {"arguments", call.arguments}});
  }
  return json;
}

}  // namespace

std::string command_line(const Behavior& behavior, const AnswerView& answer, std::uint64_t id) {
  Json messages = Json::array();
  for (const Message& message : answer.prefix) {
    Json one = message_json(role_name(message.role), message.content, message.tool_calls);
    if (!message.name.empty()) one["name"] = message.name;
    messages.push_back(std::move(one));
  }
  return write_json(
      {{"id", id},
       {"behavior", behavior.id},
       {"messages", std::move(messages)},
       {"answer", message_json(role_name(Role::kAssistant), answer.content, answer.tool_calls)},
       {"cut", answer.cut_by_window}},
      JsonStyle::kCanonical);
}

Verdict parse_command_answer(const Behavior& behavior, std::string_view line) {
  if (line.find('\n') != std::string_view::npos) return Verdict::kUngradableSeveral;
  const auto parsed = parse_json(line);
  if (!parsed || !parsed->is_object()) return Verdict::kUngradableUnparsable;
  if (const auto threshold = behavior.command->threshold) {
    const Json score = parsed->value("score", Json());
    if (!score.is_number() || score < 0 || score > 1) return Verdict::kUngradableUnparsable;
    return score.get<double>() >= *threshold ? Verdict::kPresent : Verdict::kAbsent;
  }
  const Json verdict = parsed->value("verdict", Json());
  if (verdict == "present") return Verdict::kPresent;
  if (verdict == "absent") return Verdict::kAbsent;
  return verdict == "ungradable" ? Verdict::kUngradableCannotTell : Verdict::kUngradableUnparsable;
}

Verdict command_failure(FailureReason reason) {
  switch (reason) {
    case FailureReason::kTimeout:
      return Verdict::kUngradableGraderHung;
    case FailureReason::kBodyTooLarge:
      return Verdict::kUngradableGraderFlood;
    case FailureReason::kNotJson:
      return Verdict::kUngradableUnparsable;
    case FailureReason::kUnexpectedBody:
      return Verdict::kUngradableGraderSilent;
    default:
      return Verdict::kUngradableGraderDied;
  }
}

Verdict parse_moderation_answer(const Behavior& behavior, std::string_view scores) {
  const auto parsed = parse_json(scores);
  if (!parsed || !parsed->is_object()) return Verdict::kUngradableUnparsable;
  Verdict verdict = Verdict::kAbsent;
  for (const auto& [category, threshold] : behavior.moderation->thresholds) {
    const Json score = parsed->value(category, Json());
    if (!score.is_number() || score < 0 || score > 1) return Verdict::kUngradableUnparsable;
    if (score.get<double>() >= threshold) verdict = Verdict::kPresent;
  }
  return verdict;
}

}  // namespace understudy
