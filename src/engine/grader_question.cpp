#include "engine/grader_question.hpp"

#include "grading/other_graders.hpp"

namespace understudy {

std::optional<Verdict> GraderQuestion::put(const AnswerView& answer, std::string_view secret,
                                           ChatRequest& request) const {
  Message message;
  if (role == "command") {
    message.content = command_line(*behaviors.front(), answer, request.id);
    request.messages = {std::move(message)};
    return std::nullopt;
  }
  if (role == "moderation") {
    if (answer.content.empty()) return Verdict::kUngradableNoText;
    message.content = answer.content;
    request.messages = {std::move(message)};
    return std::nullopt;
  }
  JudgeRequest asked = judge_request(behaviors, answer, secret, how);
  if (asked.too_long) return Verdict::kUngradableTooLong;
  request.messages = std::move(asked.messages);
  request.json_schema = std::move(asked.json_schema);
  return std::nullopt;
}

std::vector<Verdict> GraderQuestion::read(const DrawOutcome& outcome,
                                          const AnswerView& answer) const {
  std::vector<Verdict> verdicts(behaviors.size(), Verdict::kNotGradedJudgeFailed);
  const auto* const completion = std::get_if<Completion>(&outcome);
  if (completion == nullptr) {
    if (role == "command") verdicts.front() = command_failure(std::get<Failure>(outcome).reason);
    return verdicts;
  }
  if (role == "command") {
    verdicts.front() = parse_command_answer(*behaviors.front(), completion->content);
  } else if (role == "moderation") {
    for (std::size_t i = 0; i < behaviors.size(); ++i) {
      verdicts[i] = parse_moderation_answer(*behaviors[i], completion->content);
    }
  } else {
    const std::vector<JudgeVerdict> judged = parse_judge_answer(
        behaviors, completion->content, completion->finish, answer.prefix.size());
    for (std::size_t i = 0; i < behaviors.size(); ++i) {
      const bool copies = repeats_transcript(judged[i].description, answer);
      verdicts[i] = copies ? Verdict::kUngradableEcho : judged[i].verdict;
    }
  }
  return verdicts;
}

DrawOutcome GraderQuestion::part(const DrawOutcome& outcome, std::size_t behavior) const {
  const auto* const completion = std::get_if<Completion>(&outcome);
  if (completion == nullptr || behaviors.size() == 1) return outcome;
  Completion part = *completion;
  if (role != "moderation") part.content = judge_answer_part(*behaviors[behavior], part.content);
  if (behavior > 0) part.usage = {};
  return part;
}

}  // namespace understudy
