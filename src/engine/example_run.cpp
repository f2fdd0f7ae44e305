#include "engine/example_run.hpp"

#include <map>

#include "engine/grader_question.hpp"

namespace understudy {
namespace {

constexpr std::uint32_t kAttemptsMax = 3;

struct Asked {
  std::size_t example = 0;
  std::uint32_t attempt = 0;
};

AnswerView view_of(const BehaviorExample& example) {
  return {example.prefix,     example.tools,  example.content,
          example.tool_calls, example.finish, example.cut_by_window};
}

}  // namespace

Result<std::vector<ExampleOutcome>> run_examples(const Behavior& behavior, const std::string& role,
                                                 ChatModel& model, Clock& clock,
                                                 const StopRequest& stop) {
  const std::vector<BehaviorExample>& examples = behavior.examples;
  std::vector<Verdict> found(examples.size(), Verdict::kNotGradedJudgeFailed);
  std::vector<Asked> open;
  for (std::size_t i = examples.size(); i-- > 0;) open.push_back({.example = i});
  std::map<std::uint64_t, Asked> in_flight;
  std::uint64_t id = 0;
  const auto question = [&](const Asked& asked) {
    return GraderQuestion{
        .role = role, .behaviors = {&behavior}, .how = {.attempt = asked.attempt}};
  };
  const ModelLoop loop{
      .next = [&]() -> Result<std::optional<ChatRequest>> {
        while (!open.empty()) {
          const Asked asked = open.back();
          open.pop_back();
          ChatRequest request;
          request.id = ++id;
          request.draw_index = asked.attempt;
          const AnswerView view = view_of(examples[asked.example]);
          const auto known = question(asked).put(view, "behaviors test", request);
          if (known) {
            found[asked.example] = *known;
            continue;
          }
          in_flight[request.id] = asked;
          return std::optional<ChatRequest>(std::move(request));
        }
        return std::optional<ChatRequest>();
      },
      .store = [&](std::vector<ChatOutcome> outcomes) -> Result<void> {
        for (const ChatOutcome& ended : outcomes) {
          Asked asked = in_flight.at(ended.id);
          found[asked.example] =
              question(asked).read(ended.outcome, view_of(examples[asked.example])).front();
          const bool again = role != "command" && is_worth_asking_again(found[asked.example]);
          if (again && ++asked.attempt < kAttemptsMax) open.push_back(asked);
        }
        return {};
      },
      .watch = {}};
  do {
    UNDERSTUDY_TRY(const LoopEnd end, run_model_loop(model, loop, clock, stop));
    if (end == LoopEnd::kStopped) return unexpected(ErrorCode::kPaused, "stopped");
  } while (!open.empty());
  std::vector<ExampleOutcome> outcomes;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    outcomes.push_back({behavior.id, examples[i].name, behavior.file, examples[i].line,
                        examples[i].expected, found[i]});
  }
  return outcomes;
}

}  // namespace understudy
