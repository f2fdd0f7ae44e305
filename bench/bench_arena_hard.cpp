// Forecasts of real models that ran on real prompts: arena-hard's 500 questions, answered by three
// GPT models. For each ordered pair (old, new), rule-graded behaviors of the new model are forecast
// from one half of the questions, with the old model's rate there as what is known, and verified on
// the other half. Twenty splits. Splitting has no shift: both halves are one population, so this
// shows intervals and shrinkage at small counts, and nothing about time.
//
// The dataset is not part of the project: it is looked for in ../shared/data/arena_hard.
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "forecast/backtest.hpp"
#include "grading/behavior.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

constexpr std::array<const char*, 3> kModels = {"gpt-3.5-turbo-0125", "gpt-4-0613", "gpt-4-0314"};
constexpr std::uint64_t kSplits = 20;

BacktestAnswers graded(const std::string& path, const RuleGraders& rules) {
  BacktestAnswers answers;
  answers.verdicts.resize(rules.size());
  std::vector<Verdict> verdicts(rules.size());
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Json record = std::move(parse_json(line)).value();
    std::vector<Message> prefix(1);
    prefix[0].content = record["messages"][0]["content"].get<std::string>();
    const auto answer = record["messages"][1]["content"]["answer"].get<std::string>();
    rules.grade({prefix, "", answer, {}, FinishReason::kUnknown, false}, verdicts);
    answers.clusters.push_back(hash64({record["uid"].get<std::string>()}));
    for (std::size_t b = 0; b < verdicts.size(); ++b) answers.verdicts[b].push_back(verdicts[b]);
  }
  return answers;
}

int run() {
  const std::string folder = std::string(UNDERSTUDY_SOURCE_DIR) +
                             "/../shared/data/arena_hard/data/arena-hard-v0.1/model_answer";
  if (!std::filesystem::is_directory(folder)) {
    fmt::print("skipped: ../shared/data/arena_hard is not there\n");
    return 0;
  }
  std::vector<Behavior> behaviors = std::move(select_behaviors({}, "")).value();
  const RuleGraders rules = std::move(RuleGraders::build(behaviors)).value();
  std::vector<std::string> names;
  for (const Behavior& behavior : behaviors) names.push_back(behavior.id);
  std::vector<BacktestAnswers> answers;
  for (const char* model : kModels) {
    answers.push_back(graded(fmt::format("{}/{}.jsonl", folder, model), rules));
  }
  Backtest all(names);
  for (std::size_t x = 0; x < kModels.size(); ++x) {
    for (std::size_t y = 0; y < kModels.size(); ++y) {
      if (x == y) continue;
      const BacktestInput input{names, answers[x], answers[y]};
      Backtest pair(names);
      for (std::uint64_t split = 1; split <= kSplits; ++split) {
        const auto cut = backtest_cut(input, random_halves(input, split));
        pair.add(cut);
        all.add(cut);
      }
      const BacktestResult result = pair.result();
      fmt::print(
          "{:<20} -> {:<20} coverage {:.1f}% of {}, median error {:.2f}x, persistence "
          "{:.2f}x over {}\n",
          kModels[y], kModels[x],
          100.0 * static_cast<double>(result.all.covered) / static_cast<double>(result.all.scored),
          result.all.scored, result.all.median_sme.value_or(0),
          result.all.persistence_median_sme.value_or(0), result.against_persistence);
    }
  }
  fmt::print("\nall six pairs, {} splits in halves (a split has no shift: one population)\n{}",
             kSplits, backtest_table(all.result()));
  return 0;
}

}  // namespace
}  // namespace understudy

int main() {
  return understudy::run();
}
