// Verdicts → rates: feeds the estimators from the store and assembles report.json.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/forecast_study.hpp"
#include "engine/judge_grading.hpp"
#include "engine/label_file.hpp"
#include "engine/placebo_deployments.hpp"
#include "engine/recall.hpp"
#include "engine/study.hpp"
#include "engine/target_traffic.hpp"
#include "engine/units.hpp"
#include "engine/verification.hpp"
#include "estimate/estimate.hpp"
#include "forecast/ledger.hpp"
#include "grading/rule_graders.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "stats/weighting.hpp"

namespace understudy {
namespace {

// One arm as the estimators see it, shared by all behaviors.
struct ArmUnits {
  Units units;
  ClusterSizes sizes;
};

ClusterSizes sizes_of(const Units& units) {
  ClusterSizes sizes;
  // A cluster's turns mostly stand together: an entry for each run takes a third of the memory.
  for (std::size_t first = 0; first < units.clusters.size();) {
    std::size_t end = first + 1;
    while (end < units.clusters.size() && units.clusters[end] == units.clusters[first] &&
           units.weight(end) == units.weight(first)) {
      ++end;
    }
    sizes.add(units.clusters[first], units.weight(first), end - first);
    first = end;
  }
  sizes.finish();
  return sizes;
}

// As many independent draws as these are worth where nothing is seen in them.
double effective_draws(const ClusterSizes& sizes) {
  return sizes.draws() == 0 ? 0 : effective(summarize(ArmVerdicts(sizes)).screen).n;
}

class EstimateRun {
 public:
  EstimateRun(Study& study, std::vector<Behavior> behaviors, Labels labels, StudyRecall recall,
              std::optional<HistoryFit> history)
      : study_(study),
        behaviors_(std::move(behaviors)),
        labels_(std::move(labels)),
        recall_(std::move(recall)),
        history_(history),
        ids_(study.store) {}

  Result<std::vector<BehaviorEstimate>> run() {
    for (const Arm arm : study_arms(study_.config)) {
      UNDERSTUDY_TRY(arms_[arm].units, units_of(study_.store, arm));
      UNDERSTUDY_CHECK(check_all_graded(study_.store, arm, arms_[arm].units));
    }
    if (std::any_of(behaviors_.begin(), behaviors_.end(), is_screened_by_judge)) {
      UNDERSTUDY_TRY(logged_prefixes_.units, logged_units_of_prefixes(study_.store));
    }
    UNDERSTUDY_CHECK(weigh());
    for (auto& [arm, made] : arms_) made.sizes = sizes_of(made.units);
    logged_prefixes_.sizes = sizes_of(logged_prefixes_.units);
    UNDERSTUDY_TRY(placebo_,
                   placebo_deployments(study_, behaviors_, arms_.at(Arm::kDeployed).units));
    std::vector<BehaviorInput> inputs;
    for (const Behavior& behavior : behaviors_) {
      BehaviorInput input;
      input.name = behavior.id;
      input.version = std::to_string(behavior.version);
      input.hash = hex(behavior.hash);
      input.recall = recall_.by_behavior[behavior.id];
      for (const auto& [arm, units] : arms_) {
        UNDERSTUDY_TRY(input.arm(arm), summary(behavior, arm));
      }
      add_replayed(input);
      inputs.push_back(std::move(input));
    }
    return estimate_behaviors(inputs,
                              {.history = history_, .anytime = study_.config.estimate.anytime});
  }

  [[nodiscard]] const std::map<Arm, ArmUnits>& arms() const { return arms_; }
  /// What fidelity compares: the stage "effective" beside the report, of the same verdicts.
  [[nodiscard]] Json effective_json() const {
    const ClusterSizes& sizes = arms_.at(Arm::kCandidate).sizes;
    Json draws;
    if (sizes.draws() > 0) {
      draws = {{"completed", sizes.draws()}, {"effective", effective_draws(sizes)}};
    }
    return {{"draws", std::move(draws)}, {"behaviors", replayed_}};
  }

  [[nodiscard]] const std::optional<TargetTraffic>& target() const { return target_; }

  /// What lies between the logs and the traffic after launch: `shift` of report.json.
  [[nodiscard]] Json shift_json() const {
    Json target;
    if (target_) {
      const Units& candidate = arms_.at(Arm::kCandidate).units;
      const double share = kish_share(candidate.weights);
      target = target_->detail;
      target["effective_share"] = rounded(share);
      target["effective_draws"] = rounded(share * static_cast<double>(candidate.keys.size()));
    }
    return {{"target", std::move(target)}, {"placebo", placebo_.detail}};
  }

 private:
  // To the target traffic, where there is one: all arms alike.
  Result<void> weigh() {
    UNDERSTUDY_TRY(target_, target_traffic(study_));
    if (!target_) return {};
    const Units frame = arms_.at(Arm::kDeployed).units;
    for (auto& [arm, made] : arms_) weigh_by_target(*target_, frame, made.units);
    if (!logged_prefixes_.units.keys.empty()) {
      weigh_by_target(*target_, frame, logged_prefixes_.units);
    }
    return check_effective_share(arms_.at(Arm::kCandidate).units);
  }

  // Rates of the screen, as the report gives them, with the draws that they are worth.
  void add_replayed(const BehaviorInput& input) {
    const auto& replayed = input.arm(Arm::kDeployedReplay);
    const auto& logged = input.arm(Arm::kDeployed);
    if (!replayed || !logged || replayed->gradable == 0 || logged->gradable == 0) return;
    const auto json = [](const ArmSummary& arm) -> Json {
      const RateCount count = effective(arm.screen);
      return {{"hits", count.hits}, {"n", count.n}};
    };
    replayed_.push_back(
        {{"name", input.name}, {"replayed", json(*replayed)}, {"logged", json(*logged)}});
  }

  Result<ArmSummary> summary(const Behavior& behavior, Arm arm) {
    if (has_screen(behavior, study_.config)) return screen_summary(behavior, arm);
    // Nobody looked.
    ArmSummary nothing;
    nothing.draws = arms_.at(arm).units.keys.size();
    nothing.failed = arms_.at(arm).units.failed_count();
    nothing.verdicts.not_graded[std::string(verdict_name(Verdict::kNotGradedNoJudge))] =
        nothing.draws;
    return nothing;
  }

  // The screen's verdicts with what verification knows of them. A judge sees the answers to the
  // drawn prefixes, logged and fresh: those arms are in pairs.
  Result<ArmSummary> screen_summary(const Behavior& behavior, Arm arm) {
    const bool judged = is_screened_by_judge(behavior);
    const ArmUnits& of_arm = judged && arm == Arm::kDeployed ? logged_prefixes_ : arms_.at(arm);
    const Units& units = of_arm.units;
    UNDERSTUDY_TRY(const auto screen, screen_of(study_, behavior, arm, units));
    UNDERSTUDY_ASSERT(screen.has_value());
    UNDERSTUDY_TRY(const auto verified,
                   verified_units(study_, behavior, arm, units, *screen, labels_, ids_));
    ArmVerdicts verdicts(of_arm.sizes);
    verdicts.add_failed(units.failed_count());
    const auto prefix = [&](std::size_t unit) {
      return static_cast<std::uint64_t>(units.logged[unit]);
    };
    for (const VerifiedUnit& unit : verified) {
      VerdictRow row{.cluster = units.clusters.at(unit.position),
                     .weight = units.weight(unit.position),
                     .pi_oracle = unit.pi};
      if (judged) row.prefix = prefix(unit.position);
      if (unit.present) row.oracle = *unit.present ? Oracle::kPresent : Oracle::kAbsent;
      verdicts.add(unit.screen, row);
    }
    if (judged && study_.config.sample.draws == 1) {
      std::uint64_t fingerprint = 0;
      for (std::size_t i = 0; i < units.keys.size(); ++i) fingerprint += prefix_mix(prefix(i));
      verdicts.set_prefix_fingerprint(fingerprint);
    }
    ArmSummary result = summarize(std::move(verdicts));
    // The rest of the frame was not given to the judge; it completed all the same.
    const std::uint64_t rest = arms_.at(arm).units.keys.size() - units.keys.size();
    if (rest > 0) {
      result.verdicts.not_graded[std::string(verdict_name(Verdict::kNotGradedNotSelected))] += rest;
    }
    return result;
  }

  Study& study_;
  std::vector<Behavior> behaviors_;
  Labels labels_;
  StudyRecall recall_;
  std::optional<HistoryFit> history_;
  AnswerIds ids_;
  std::map<Arm, ArmUnits> arms_;
  ArmUnits logged_prefixes_;
  std::optional<TargetTraffic> target_;
  Json replayed_ = Json::array();
  PlaceboDeployments placebo_;
};

Json draw_counts(const Units& units) {
  return {{"requested", units.keys.size() + units.failed_count()},
          {"completed", units.keys.size()},
          {"failed", units.failed}};
}

// How trajectories ended, and which level of the chain answered their tool calls.
Result<void> count_trajectories(StudyStore& store, Arm arm, Json& counts) {
  std::map<std::string, std::uint64_t> ended, answered, troubles;
  std::uint64_t answers = 0, contradictions = 0;
  const auto count = [&](const std::vector<ToolEvent>& events) {
    for (const ToolEvent& event : events) {
      ++answered[event.level];
      if (!event.trouble.empty()) ++troubles[event.trouble];
      contradictions += event.contradictions;
    }
  };
  UNDERSTUDY_CHECK(store.for_each_draw(arm, [&](const StoredDraw& draw) -> Result<void> {
    if (!draw.trajectory) return {};
    ++ended[std::string(termination_name(draw.trajectory->end))];
    answers += draw.trajectory->steps.size() + 1;
    for (const TrajectoryStep& step : draw.trajectory->steps) count(step.events);
    count(draw.trajectory->last_events);
    return {};
  }));
  counts["ended"] = ended;
  counts["answers"] = answers;
  counts["tool_calls"] = answered;
  counts["tool_troubles"] = troubles;
  counts["tool_contradictions"] = contradictions;
  return {};
}

Result<Json> counts_json(Study& study, const std::map<Arm, ArmUnits>& arms) {
  UNDERSTUDY_TRY(const auto ingest, study.store.stage("ingest"));
  UNDERSTUDY_TRY(const auto sample, study.store.stage("sample"));
  UNDERSTUDY_ASSERT(ingest && sample);
  UNDERSTUDY_TRY(const Json read, parse_json(ingest->detail));
  UNDERSTUDY_TRY(const Json drawn, parse_json(sample->detail));
  std::uint64_t turns = drawn["frame"].get<std::uint64_t>();
  for (const auto& [reason, count] : drawn["excluded"].items()) turns += count.get<std::uint64_t>();
  Json draws = Json::object();
  for (const auto& [arm, of_arm] : arms) {
    Json& counts = draws[std::string(arm_name(arm))];
    counts = draw_counts(of_arm.units);
    if (study.config.tools.are_replayed() && arm != Arm::kDeployed) {
      UNDERSTUDY_CHECK(count_trajectories(study.store, arm, counts));
    }
  }
  return Json{{"conversations",
               {{"read", read["read"]},
                {"eligible", read["eligible"]},
                {"excluded", read["excluded"]},
                {"rejected", read["rejected"]},
                {"clusters", read["clusters"]},
                {"in_frame_clusters", arms.at(Arm::kDeployed).sizes.clusters()}}},
              {"deidentified", read["deidentified"]},
              {"prefixes",
               {{"turns", turns},
                {"frame", drawn["frame"]},
                {"excluded", drawn["excluded"]},
                {"sampled", drawn["sampled"]},
                {"pi", drawn["pi"]}}},
              {"draws", draws}};
}

Result<Json> manifest(Study& study, const std::vector<Behavior>& behaviors, const Labels& labels,
                      const StudyRecall& recall, std::span<const HistoryRow> history) {
  UNDERSTUDY_TRY(const auto ingest, study.store.stage("ingest"));
  UNDERSTUDY_TRY(const Json read, parse_json(ingest->detail));
  Json json = manifest_json(study.config);
  json["content"] = read["content"];
  json["deidentifier"] = kDeidentifierVersion;
  json["rule_engine"] = kRuleEngineVersion;
  json["tokenizer"] = study.tokenizer_name();
  for (const Behavior& behavior : behaviors) json["behaviors"][behavior.id] = hex(behavior.hash);
  if (!recall.identity.empty()) json["recall"] = recall.identity;
  if (!labels.empty()) json["labels"] = hex(sha256(label_csv(labels)));
  if (!labels.empty() || study.config.roles.contains("oracle")) {
    json["audit"] = study.config.grade.audit;
    json["oracle_budget"] = study.config.grade.oracle_budget_or_default();
  }
  if (!history.empty()) json["history"] = hex(sha256(ledger_csv(history)));
  return json;
}

Result<Json> study_json(Study& study, const std::vector<Behavior>& behaviors) {
  const StudyConfig& config = study.config;
  std::string name = study.directory();
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  name = name.substr(name.find_last_of('/') + 1);
  const auto rules =
      std::count_if(behaviors.begin(), behaviors.end(),
                    [](const Behavior& behavior) { return !is_screened_by_judge(behavior); });
  const auto judged = [&](std::string_view role) {
    return std::count_if(behaviors.begin(), behaviors.end(), [&](const Behavior& behavior) {
      return screening_role(behavior) == role && has_screen(behavior, config);
    });
  };
  UNDERSTUDY_TRY(const std::string logged, study.store.logged_models());
  const std::string deployed = !logged.empty()             ? logged
                               : config.logs.model.empty() ? "logged answers"
                                                           : config.logs.model;
  Json arms = {{"deployed", {{"model", deployed}}},
               {"candidate", {{"model", config.candidate.model}}}};
  if (config.deployed) arms["deployed_replay"] = {{"model", config.deployed->model}};
  return Json{
      {"name", name},
      {"seed", config.sample.seed},
      {"level", 0.95},
      {"window_tokens", config.window_tokens() ? Json(*config.window_tokens()) : Json()},
      {"prefix_tokens_max",
       config.sample.prefix_tokens_max ? Json(*config.sample.prefix_tokens_max) : Json()},
      {"draws_per_prefix", config.sample.draws},
      {"design", config.sample.by_risk ? "Poisson, weighted by a risk score of the logged answers"
                                       : "simple random without replacement"},
      {"cluster", config.logs.cluster.empty() ? "as the log format has it" : config.logs.cluster},
      {"graders",
       {{"rules", rules}, {"judges", judged("judge")}, {"rule_engine", kRuleEngineVersion}}},
      {"arms", arms}};
}

Json limits_json(const Study& study, const std::map<Arm, ArmUnits>& arms, const Json& placebo) {
  Json limits = Json::array();
  const auto add = [&](std::string_view code, std::string text) {
    limits.push_back({{"code", code}, {"text", std::move(text)}});
  };
  const double n = effective_draws(arms.at(Arm::kCandidate).sizes);
  add("no_log", "uses that no log holds, because the new model brings them");
  add("floor", fmt::format("anything rarer than 1 in {:.0f} here: that many draws may miss it",
                           std::max(std::floor(n / 3), 1.0)));
  add("reactions",
      "how users react to the new answers: each prefix is the old model's conversation");
  if (placebo["log_sd"].is_number()) {
    add("drift",
        fmt::format("drift after the logs end: a period of {} days missed a later one by ×{:.2f} "
                    "(one standard deviation) beyond chance; these intervals are of the logs' own "
                    "time, `forecast` allows for drift",
                    placebo["period_days"].get<std::uint64_t>(),
                    std::exp(placebo["log_sd"].get<double>())));
  }
  if (study.config.tools.are_replayed()) {
    add("tools",
        fmt::format("what an agent does after {} answers, or after a tool call that nothing here "
                    "could answer: what is not seen by then is unknown, not absent",
                    study.config.tools.max_steps));
  }
  if (const auto window = study.config.window_tokens()) {
    add("window", fmt::format("what an answer says after its first {} tokens: both models are "
                              "graded on the same number",
                              *window));
    if (!study.tokenizer_name().starts_with("llama/")) {
      add("estimated_tokens",
          "tokens are estimated (3 bytes each for the window, 4 for limits): "
          "the model's tokenizer is not to be had");
    }
  }
  if (const auto longest = study.config.sample.prefix_tokens_max) {
    add("long_prefixes",
        fmt::format("conversations beyond {} tokens: they are counted out, for both models",
                    *longest));
  }
  return limits;
}

struct Estimated {
  Json report;
  Json effective;  // EstimateRun::effective_json
};

Result<Estimated> estimated(Study& study) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  for (const Arm arm : study_arms(study.config)) {
    UNDERSTUDY_TRY(const auto graded, study.store.stage(fmt::format("grade:{}", arm_name(arm))));
    if (!graded)
      return unexpected(ErrorCode::kUsage, "nothing is graded yet: `understudy grade` first");
  }
  UNDERSTUDY_TRY(const Labels labels, study_labels(study.directory()));
  UNDERSTUDY_TRY(const StudyRecall recall, study_recall(study, behaviors, labels));
  UNDERSTUDY_TRY(const std::vector<HistoryRow> history, study_history(study));
  EstimateRun run(study, behaviors, labels, recall, fit_history(history));
  UNDERSTUDY_TRY(const std::vector<BehaviorEstimate> estimates, run.run());
  UNDERSTUDY_TRY(Json made_of, manifest(study, behaviors, labels, recall, history));
  if (run.target()) made_of["target"] = hex(run.target()->content);
  Json report = {{"schema", "understudy.report/1"},
                 {"understudy_version", UNDERSTUDY_VERSION},
                 {"manifest_hash", hex(sha256(write_json(made_of, JsonStyle::kCanonical)))},
                 {"unit", made_of["sample"]["unit"]},
                 {"error_split", nullptr},
                 {"behaviors", Json::array()}};
  UNDERSTUDY_TRY(report["counts"], counts_json(study, run.arms()));
  UNDERSTUDY_TRY(report["study"], study_json(study, behaviors));
  report["shift"] = run.shift_json();
  report["limits"] = limits_json(study, run.arms(), report["shift"]["placebo"]);
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    Json behavior = to_json(estimates[i]);
    behavior["title"] = behaviors[i].title;
    behavior["definition"] = behaviors[i].definition;
    behavior["group"] = group_name(behaviors[i].group);
    behavior["decided_by"] = decided_by_name(behaviors[i].decided_by);
    report["behaviors"].push_back(std::move(behavior));
  }
  return Estimated{std::move(report), run.effective_json()};
}

}  // namespace

Result<Json> estimated_report(Study& study) {
  UNDERSTUDY_TRY(Estimated now, estimated(study));
  return std::move(now.report);
}

Result<StageOutcome> estimate_stage(Study& study) {
  UNDERSTUDY_TRY(auto now, estimated(study));
  auto& [report, effective] = now;
  const Digest fingerprint = sha256(write_json(report, JsonStyle::kCanonical));
  UNDERSTUDY_TRY(const auto before, stored_detail(study.store, "estimate", fingerprint));
  UNDERSTUDY_TRY(const auto effective_before, stored_detail(study.store, "effective", fingerprint));
  if (before && effective_before)
    return StageOutcome{.up_to_date = true, .detail = std::move(report)};
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_CHECK(store_stage(study.store, "estimate", fingerprint, report));
  UNDERSTUDY_CHECK(store_stage(study.store, "effective", fingerprint, effective));
  UNDERSTUDY_CHECK(transaction.commit());
  return StageOutcome{.up_to_date = false, .detail = std::move(report)};
}

}  // namespace understudy
