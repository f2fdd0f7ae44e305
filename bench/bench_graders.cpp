// How fast the rule graders are: all twelve together, megabytes of answer text a second on one
// core. Two texts: the behavior files' own examples between sentences of plain prose, generated
// here, and the packaged real conversations where script/setup has fetched them.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "grading/rule_graders.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {
namespace {

constexpr std::size_t kRealBytesMax = std::size_t{24} << 20;

struct Answer {
  std::vector<Message> prefix;
  Message answer;
};

std::vector<Behavior> ruled_behaviors() {
  Result<std::vector<Behavior>> behaviors = select_behaviors({}, "");
  return std::move(behaviors).value();
}

// Prose with every example's answer in it, so that each rule has candidates to look at closely.
std::vector<Answer> generated_answers() {
  static constexpr std::string_view kSentences[] = {
      "The first thing to check is whether the pump gets power at all.",
      "If you prefer a lighter version, replace half of the cream with stock.",
      "In 1871 the city had about forty thousand people and one railway station.",
      "You can call the function with two arguments, and the second one may be empty.",
      "Both readings are possible, but the older manuscripts support the second.",
  };
  std::vector<Answer> answers;
  Rng rng(7);
  for (const Behavior& behavior : ruled_behaviors()) {
    for (const BehaviorExample& example : behavior.examples) {
      Answer answer;
      answer.prefix = example.prefix;
      const std::uint64_t before = rng.below(20);
      for (std::uint64_t i = 0; i < before + 10; ++i) {
        if (i == before) answer.answer.content += "\n\n" + example.content + "\n\n";
        answer.answer.content += kSentences[rng.below(std::size(kSentences))];
        answer.answer.content += i % 4 == 3 ? "\n\n" : " ";
      }
      answers.push_back(std::move(answer));
    }
  }
  return answers;
}

std::vector<Answer> real_answers() {
  const std::string path =
      std::string(UNDERSTUDY_CACHE_DIR) + "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json";
  std::vector<Answer> answers;
  if (!std::filesystem::exists(path)) return answers;
  Result<LogReader> reader = LogReader::open({path, "sharegpt"}, {});
  std::size_t bytes = 0;
  while (reader && bytes < kRealBytesMax) {
    Result<LogItem> item = reader->next();
    if (!item || std::holds_alternative<EndOfLog>(*item)) break;
    const LogRecord* record = std::get_if<LogRecord>(&*item);
    if (record == nullptr) continue;
    const std::vector<Message>& messages = record->conversation.messages;
    for (const Turn& turn : turns_of(messages)) {
      if (!turn.answered || turn.cut > 8) continue;
      answers.push_back({{messages.begin(), messages.begin() + turn.cut}, messages[turn.cut]});
      bytes += messages[turn.cut].content.size();
    }
  }
  return answers;
}

void grade_all(benchmark::State& state, const std::vector<Answer>& answers) {
  if (answers.empty()) {
    state.SkipWithError("the packaged conversations are not in the cache: run script/setup");
    return;
  }
  const std::vector<Behavior> behaviors = ruled_behaviors();
  const RuleGraders graders = std::move(RuleGraders::build(behaviors)).value();
  std::vector<Verdict> verdicts(behaviors.size());
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (const Answer& answer : answers) {
      graders.grade({answer.prefix, "", answer.answer.content, answer.answer.tool_calls,
                     FinishReason::kUnknown, false},
                    verdicts);
      benchmark::DoNotOptimize(verdicts.data());
      bytes += answer.answer.content.size();
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.counters["answers"] = static_cast<double>(answers.size());
}

void BM_TwelveRulesGeneratedText(benchmark::State& state) {
  static const std::vector<Answer> answers = generated_answers();
  grade_all(state, answers);
}
BENCHMARK(BM_TwelveRulesGeneratedText)->Unit(benchmark::kMillisecond);

void BM_TwelveRulesRealText(benchmark::State& state) {
  static const std::vector<Answer> answers = real_answers();
  grade_all(state, answers);
}
// Several passes: RE2 builds its automata while it reads, a tenth of a second once for each study.
BENCHMARK(BM_TwelveRulesRealText)->Unit(benchmark::kMillisecond)->MinTime(4);

void BM_BuildGraders(benchmark::State& state) {
  const std::vector<Behavior> behaviors = ruled_behaviors();
  for (auto _ : state) benchmark::DoNotOptimize(RuleGraders::build(behaviors));
}
BENCHMARK(BM_BuildGraders)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace understudy

BENCHMARK_MAIN();
