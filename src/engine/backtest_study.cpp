#include "engine/backtest_study.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "engine/judge_grading.hpp"
#include "engine/placebo_deployments.hpp"
#include "engine/units.hpp"
#include "engine/verification.hpp"
#include "forecast/backtest.hpp"

namespace understudy {
namespace {

constexpr std::int64_t kPeriodsMin = 3;

// An arm's answers with what the rules say of them, and when their conversations took place.
Result<BacktestAnswers> answers_of(Study& study, const std::vector<Behavior>& behaviors, Arm arm) {
  UNDERSTUDY_TRY(const Units units, units_of(study.store, arm));
  BacktestAnswers answers{
      .clusters = units.clusters, .weights = units.weights, .periods = {}, .verdicts = {}};
  if (study.config.placebo.period_days > 0) {
    Units logged = units;
    if (!units.logged.empty()) logged.keys = units.logged;
    UNDERSTUDY_TRY(answers.periods,
                   periods_of(study.store, logged, study.config.placebo.period_days));
  }
  for (const Behavior& behavior : behaviors) {
    UNDERSTUDY_TRY(const std::int64_t grader, rule_grader(study.store, behavior));
    UNDERSTUDY_TRY(const Screen screen, rule_verdicts(study.store, grader, arm));
    std::vector<Verdict> verdicts(units.keys.size(), Verdict::kAbsent);
    for (const SparseVerdict& entry : screen.verdicts) {
      verdicts.at(static_cast<std::size_t>(entry.position)) = entry.verdict;
    }
    answers.verdicts.push_back(std::move(verdicts));
  }
  return answers;
}

// The cuts' scores, and how it was cut.
Json scores_of(const BacktestInput& input, const StudyConfig& config, std::uint64_t cuts) {
  std::int64_t periods = 0;
  for (const std::int64_t period : input.candidate.periods) periods = std::max(periods, period + 1);
  Backtest backtest(input.behaviors);
  const bool in_time = periods >= kPeriodsMin;
  const std::int64_t length = config.placebo.horizon;
  if (in_time) {
    const auto latest = static_cast<std::int64_t>(cuts);
    for (std::int64_t at = std::max<std::int64_t>(1, periods - latest); at < periods; ++at) {
      backtest.add(backtest_cut(input, time_cut(input, at, length)));
    }
  } else {
    for (std::uint64_t cut = 1; cut <= cuts; ++cut) {
      backtest.add(backtest_cut(input, random_halves(input, cut)));
    }
  }
  Json scores = to_json(backtest.result());
  scores["cut_by"] = in_time ? "time" : "halves";
  scores["answers"] = input.candidate.clusters.size();
  scores["text"] = backtest_table(backtest.result());
  return scores;
}

Result<std::vector<Behavior>> ruled_behaviors(const Study& study) {
  UNDERSTUDY_TRY(std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  std::erase_if(behaviors, is_screened_by_judge);
  if (behaviors.empty()) {
    return unexpected(ErrorCode::kUsage,
                      "backtest reads rules' verdicts, and no behavior of grade.behaviors has a "
                      "rule");
  }
  return behaviors;
}

Result<void> grade_logs(Study& study) {
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_CHECK(grade_logged_answers(study));
  return transaction.commit();
}

}  // namespace

Result<Json> backtest_study(Study& study, const BacktestOptions& options) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors, ruled_behaviors(study));
  UNDERSTUDY_TRY([[maybe_unused]] const StageOutcome ingested, ingest_stage(study));
  UNDERSTUDY_TRY([[maybe_unused]] const StageOutcome sampled, sample_stage(study));
  std::vector<std::string> names;
  for (const Behavior& behavior : behaviors) names.push_back(behavior.id);
  if (options.logged_only) {
    UNDERSTUDY_CHECK(grade_logs(study));
  } else {
    UNDERSTUDY_TRY([[maybe_unused]] const StageOutcome replayed, replay_stage(study));
    UNDERSTUDY_TRY([[maybe_unused]] const StageOutcome graded, grade_stage(study));
  }
  const Json config = manifest_json(study.config);
  Json document = {{"schema", "understudy.backtest/1"},
                   {"understudy_version", UNDERSTUDY_VERSION},
                   {"manifest_hash", hex(sha256(write_json(config, JsonStyle::kCanonical)))},
                   {"unit", config["sample"]["unit"]},
                   {"replayed", nullptr}};
  UNDERSTUDY_TRY(BacktestAnswers logged, answers_of(study, behaviors, Arm::kDeployed));
  BacktestInput own{names, std::move(logged), std::nullopt};
  document["logged"] = scores_of(own, study.config, options.cuts);
  if (options.logged_only) return document;
  UNDERSTUDY_TRY(BacktestAnswers candidate, answers_of(study, behaviors, Arm::kCandidate));
  BacktestInput replayed{names, std::move(candidate), std::move(own.candidate)};
  if (study.config.deployed) {
    UNDERSTUDY_TRY(replayed.deployed, answers_of(study, behaviors, Arm::kDeployedReplay));
  }
  document["replayed"] = scores_of(replayed, study.config, options.cuts);
  document["replayed"]["candidate"] = study.config.candidate.model;
  document["replayed"]["persistence"] =
      study.config.deployed ? study.config.deployed->model : std::string("logged answers");
  return document;
}

std::string backtest_text(const Json& document) {
  const auto how = [](const Json& scores) {
    return fmt::format("{} cuts {}, {} answers", scores["cuts"].get<std::uint64_t>(),
                       scores["cut_by"] == "time"
                           ? "in time: what came before forecasts what came next"
                           : "in halves by a hash of who wrote: one population, no shift",
                       with_commas(scores["answers"].get<std::uint64_t>()));
  };
  const Json& logged = document["logged"];
  std::string text = fmt::format("the logged answers forecast themselves ({})\n{}", how(logged),
                                 logged["text"].get<std::string>());
  const Json& replayed = document["replayed"];
  if (replayed.is_null()) return text;
  return text + fmt::format("\n{} replayed, persistence is the rate of {} ({})\n{}",
                            terminal_safe(replayed["candidate"].get<std::string>()),
                            terminal_safe(replayed["persistence"].get<std::string>()),
                            how(replayed), replayed["text"].get<std::string>());
}

}  // namespace understudy
