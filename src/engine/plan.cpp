#include "engine/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "engine/arm_draws.hpp"
#include "engine/forecast_study.hpp"
#include "engine/judge_grading.hpp"
#include "engine/known_cases.hpp"
#include "engine/units.hpp"
#include "engine/verification_plan.hpp"
#include "estimate/estimate.hpp"
#include "estimate/power.hpp"

namespace understudy {
namespace {

constexpr double kLevel = 0.95;
constexpr double kPower = 0.8;
constexpr std::array kRatios = {0.5, 1.5, 2.0, 3.0, 5.0};
constexpr double kNextLabels = 100;
constexpr std::size_t kMeasuredPrefixes = 300;
// What is assumed where nothing was measured.
constexpr double kRubricTokens = 600;
constexpr double kListedTokens = 100;  // of each behavior on an auditor's list
constexpr double kVerdictTokens = 80;
constexpr double kKnownOfEach = 5;                // behavior, put to an auditor at least
constexpr double kFlagShare = 0.01;               // of a judge's answers, before it was asked
constexpr double kServedTokensPerSecond = 40;     // each connection
constexpr double kEmbeddedTokensPerSecond = 250;  // all together

bool is_served(const std::string& model) {
  return !model.starts_with("llama/") && !model.starts_with("recorded/");
}

struct MeanTokens {
  double prompt = 0, answer = 0;
};

// Tokens of the first prefixes in the order of work, which are a random part of all.
Result<MeanTokens> mean_tokens(Study& study, const std::vector<PrefixPlace>& prefixes) {
  UNDERSTUDY_TRY(const Tokenizer* const tokenizer, study.tokenizer());
  const auto window = study.config.window_tokens();
  MeanTokens mean;
  const std::size_t count = std::min(prefixes.size(), kMeasuredPrefixes);
  for (std::size_t i = 0; i < count; ++i) {
    UNDERSTUDY_TRY(const StoredConversation stored,
                   study.store.conversation(prefixes[i].conversation));
    const auto& messages = stored.conversation.messages;
    double prompt = static_cast<double>(tokenizer->prompt_overhead_tokens());
    // A trajectory is taken to be as long as the logged one; each of its answers sees all before.
    const std::size_t end = logged_end(messages, prefixes[i].cut, study.config.tools.max_steps);
    for (std::size_t m = 0; m <= end; ++m) {
      double tokens = static_cast<double>(tokenizer->message_tokens(messages[m]));
      if (m >= prefixes[i].cut && messages[m].role == Role::kAssistant) {
        if (window) tokens = std::min(tokens, static_cast<double>(*window));
        mean.prompt += prompt / static_cast<double>(count);
        mean.answer += tokens / static_cast<double>(count);
      }
      prompt += tokens;
    }
  }
  return mean;
}

// What one role will be asked in all, and what of it is done.
struct Asked {
  std::string role, model;
  double calls = 0, done = 0;
  MeanTokens each;
  bool measured = false;  ///< tokens from what was asked already
};

double cost_of(const StudyConfig& config, const Asked& asked, double calls) {
  const auto price = config.prices.find(asked.model);
  if (price == config.prices.end()) return 0;
  return calls *
         (asked.each.prompt * price->second.input + asked.each.answer * price->second.output) / 1e6;
}

double seconds_of(const StudyConfig& config, const Asked& asked) {
  const double left = std::max(asked.calls - asked.done, 0.0);
  const double tokens = left * asked.each.answer;
  if (!is_served(asked.model)) return tokens / kEmbeddedTokensPerSecond;
  const double connections = std::min<double>(config.replay.max_connections, std::max(left, 1.0));
  return tokens / (kServedTokensPerSecond * connections);
}

Json asked_json(const StudyConfig& config, const Asked& asked) {
  const bool priced = config.prices.contains(asked.model);
  return {{"role", asked.role},
          {"model", asked.model},
          {"calls", rounded(std::ceil(asked.calls))},
          {"calls_left", rounded(std::ceil(std::max(asked.calls - asked.done, 0.0)))},
          {"prompt_tokens", rounded(std::ceil(asked.calls * asked.each.prompt))},
          {"completion_tokens", rounded(std::ceil(asked.calls * asked.each.answer))},
          {"tokens_from", asked.measured ? "what was asked already" : "lengths in the logs"},
          {"cost", priced ? Json(rounded(cost_of(config, asked, asked.calls))) : Json()},
          {"seconds_left", rounded(seconds_of(config, asked))}};
}

// What the logs say of a behavior, if a rule could read them.
struct LoggedRate {
  std::string name;
  bool has_judge = false;
  std::optional<EventCount> deployed;
  LabelCounts labels = {};
};

class Planner {
 public:
  Planner(Study& study, std::vector<Behavior> behaviors, const PlanOptions& options)
      : study_(study), behaviors_(std::move(behaviors)), options_(options) {}

  Result<Json> plan() {
    UNDERSTUDY_TRY(prefixes_, prefix_places(study_.store));
    UNDERSTUDY_CHECK(read_rates());
    UNDERSTUDY_CHECK(read_draws());
    UNDERSTUDY_TRY(const std::vector<LabelCounts> labels, count_labels(study_, behaviors_));
    for (std::size_t i = 0; i < rates_.size(); ++i) rates_[i].labels = labels[i];
    UNDERSTUDY_TRY(const MeanTokens tokens, mean_tokens(study_, prefixes_));
    UNDERSTUDY_CHECK(count_calls(tokens));
    UNDERSTUDY_TRY(const std::vector<HistoryRow> history, study_history(study_));
    history_ = fit_history(history);
    Json plan = {{"schema", "understudy.plan/1"},
                 {"understudy_version", UNDERSTUDY_VERSION},
                 {"manifest_hash",
                  hex(sha256(write_json(manifest_json(study_.config), JsonStyle::kCanonical)))},
                 {"unit", study_.config.sample.unit == Unit::kTurn ? "turn" : "final_turn"},
                 {"level", kLevel}};
    UNDERSTUDY_TRY(plan["prefixes"], prefixes_json());
    plan["draws"] = prefixes_.size() * study_.config.sample.draws;
    plan["roles"] = Json::array();
    for (const Asked& asked : asked_) plan["roles"].push_back(asked_json(study_.config, asked));
    plan["total"] = total_json();
    plan["floor_per_100k"] = rounded(1e5 * zero_event_upper(effective_draws_, kLevel));
    plan["behaviors"] = behaviors_json();
    plan["labels"] = labels_json();
    plan["assumptions"] = assumptions();
    return plan;
  }

 private:
  Result<void> read_rates() {
    UNDERSTUDY_TRY(const Units units, units_of(study_.store, Arm::kDeployed));
    ClusterSizes sizes;
    for (const std::uint64_t cluster : units.clusters) sizes.add(cluster);
    sizes.finish();
    for (const Behavior& behavior : behaviors_) {
      LoggedRate rate{behavior.id, behavior.judge.has_value(), std::nullopt, {}};
      if (!is_screened_by_judge(behavior)) {
        UNDERSTUDY_TRY(const std::int64_t rule, rule_grader(study_.store, behavior));
        ArmVerdicts verdicts(sizes);
        UNDERSTUDY_CHECK(study_.store.for_each_verdict_block(
            rule, Arm::kDeployed,
            [&](std::uint64_t first, std::uint64_t,
                const std::vector<SparseVerdict>& entries) -> Result<void> {
              for (const SparseVerdict& entry : entries) {
                verdicts.add(entry.verdict, {.cluster = units.clusters.at(first + entry.position)});
              }
              return {};
            }));
        rate.deployed = summarize(std::move(verdicts)).screen;
      }
      rates_.push_back(std::move(rate));
    }
    return {};
  }

  // How many independent draws the design is worth where nothing is seen.
  Result<void> read_draws() {
    UNDERSTUDY_TRY(const Units units, logged_units_of_prefixes(study_.store));
    ClusterSizes sizes;
    for (std::size_t i = 0; i < units.clusters.size(); ++i) {
      sizes.add(units.clusters[i], units.weight(i));
      users_.insert(units.clusters[i]);
    }
    sizes.finish();
    effective_draws_ = std::max(1 / summarize(ArmVerdicts(sizes)).screen.w_next, 1.0);
    return {};
  }

  [[nodiscard]] double draws_per_arm() const {
    return static_cast<double>(prefixes_.size()) * study_.config.sample.draws;
  }

  Result<void> count_calls(const MeanTokens& tokens) {
    UNDERSTUDY_TRY(Spending* const spending, study_.spending());
    const StudyConfig& config = study_.config;
    std::vector<Arm> replayed = {Arm::kCandidate};
    if (config.deployed) replayed.push_back(Arm::kDeployedReplay);
    for (const Arm arm : replayed) {
      UNDERSTUDY_TRY(const ArmDraws draws, ArmDraws::load(study_, arm, prefixes_));
      Asked asked{draws.role(), study_.model_config(draws.role()).model,
                  static_cast<double>(draws.total()), static_cast<double>(draws.done()), tokens};
      const Usage used = spending->used(draws.role());
      if (draws.done() > 0 && used.completion_tokens > 0) {
        asked.each = {static_cast<double>(used.prompt_tokens) / asked.done,
                      static_cast<double>(used.completion_tokens) / asked.done};
        asked.measured = true;
      }
      asked_.push_back(asked);
    }
    const MeanTokens question{tokens.prompt + tokens.answer + kRubricTokens, kVerdictTokens};
    const auto arms = static_cast<double>(replayed.size());
    if (config.roles.contains("judge")) {
      UNDERSTUDY_TRY(const double calls, judge_calls(arms));
      asked_.push_back({"judge", config.roles.at("judge").model, calls, 0, question});
    }
    if (config.roles.contains("oracle")) {
      double calls = 0;
      for (const LoggedRate& rate : rates_) {
        if (!rate.has_judge) continue;
        calls += arms * replay_verification(rate).calls() + logged_verification(rate).calls();
      }
      asked_.push_back({"oracle", config.roles.at("oracle").model, calls, 0, question});
    }
    return count_discovery(tokens);
  }

  Result<void> count_discovery(const MeanTokens& tokens) {
    const auto model_of = [&](const char* role) -> Result<std::string> {
      const auto found = study_.config.roles.find(role);
      if (found != study_.config.roles.end()) return found->second.model;
      return unexpected(ErrorCode::kUsage,
                        fmt::format("this study has no {0}: set roles.{0}", role));
    };
    const auto prefixes = static_cast<double>(prefixes_.size());
    if (options_.audit) {
      UNDERSTUDY_TRY(const std::string model, model_of("auditor"));
      const auto behaviors = static_cast<double>(behaviors_.size());
      const double answers = std::min(static_cast<double>(*options_.audit), prefixes);
      // Those of both models; known cases with their behavior on the list and off it.
      const double known = std::max(answers / 2, kKnownOfEach * behaviors);
      asked_.push_back({"auditor",
                        model,
                        2 * answers + 2 * known,
                        0,
                        {tokens.prompt + tokens.answer + kRubricTokens + kListedTokens * behaviors,
                         kVerdictTokens}});
    }
    if (options_.embed) {
      UNDERSTUDY_TRY(const std::string model, model_of("embedder"));
      asked_.push_back({"embedder", model, 2 * prefixes, 0, {tokens.answer, 0}});
    }
    return {};
  }

  // What verification asks about one replayed arm: flags as often as in the logs.
  [[nodiscard]] VerificationPlan replay_verification(const LoggedRate& rate) const {
    const double share = rate.deployed ? rate.deployed->y : kFlagShare;
    return verification_plan(study_.config, draws_per_arm(), draws_per_arm() * share);
  }
  [[nodiscard]] VerificationPlan logged_verification(const LoggedRate& rate) const {
    const auto prefixes = static_cast<double>(prefixes_.size());
    if (!rate.deployed) return verification_plan(study_.config, prefixes, kFlagShare * prefixes);
    return verification_plan(study_.config, static_cast<double>(rate.deployed->n),
                             static_cast<double>(rate.deployed->k));
  }

  Result<double> judge_calls(double arms) const {
    const StudyConfig& config = study_.config;
    UNDERSTUDY_TRY(const KnownCases known, KnownCases::load(study_.directory(), behaviors_));
    double calls = 0;
    std::size_t screened = 0;
    for (std::size_t i = 0; i < rates_.size(); ++i) {
      const LoggedRate& rate = rates_[i];
      if (screening_role(behaviors_[i]) == "judge") {
        ++screened;
        calls += static_cast<double>(known.keys(behaviors_[i]).size());
      } else if (verifying_role(behaviors_[i], config) == "judge") {
        calls += arms * replay_verification(rate).calls() + logged_verification(rate).calls();
      }
    }
    // All drawn answers and the logged ones to the same prefixes, some behaviors in one question.
    const std::size_t together = config.grade.behaviors_per_call;
    calls += static_cast<double>((screened + together - 1) / together) *
             (arms * draws_per_arm() + static_cast<double>(prefixes_.size()));
    return calls;
  }

  Result<Json> prefixes_json() {
    UNDERSTUDY_TRY(const auto sample, study_.store.stage("sample"));
    UNDERSTUDY_ASSERT(sample.has_value());
    UNDERSTUDY_TRY(const Json drawn, parse_json(sample->detail));
    return Json{{"frame", drawn["frame"]},
                {"sampled", drawn["sampled"]},
                {"share", drawn["pi"]},
                {"clusters", users_.size()},
                {"effective_draws", rounded(effective_draws_)},
                {"design", study_.config.sample.by_risk ? "risk" : "uniform"}};
  }

  [[nodiscard]] Json total_json() const {
    double calls = 0, left = 0, prompt = 0, answer = 0, cost = 0, cost_left = 0, seconds = 0;
    Json unpriced = Json::array();
    for (const Asked& asked : asked_) {
      const double rest = std::max(asked.calls - asked.done, 0.0);
      calls += std::ceil(asked.calls);
      left += std::ceil(rest);
      prompt += asked.calls * asked.each.prompt;
      answer += asked.calls * asked.each.answer;
      cost += cost_of(study_.config, asked, asked.calls);
      cost_left += cost_of(study_.config, asked, rest);
      seconds += seconds_of(study_.config, asked);
      if (is_served(asked.model) && !study_.config.prices.contains(asked.model)) {
        unpriced.push_back(asked.model);
      }
    }
    // Without the price of a served model the cost isn't known, and is not said to be nothing.
    return {{"calls", rounded(calls)},
            {"calls_left", rounded(left)},
            {"prompt_tokens", rounded(std::ceil(prompt))},
            {"completion_tokens", rounded(std::ceil(answer))},
            {"cost", unpriced.empty() ? Json(rounded(cost)) : Json()},
            {"cost_left", unpriced.empty() ? Json(rounded(cost_left)) : Json()},
            {"unpriced", unpriced},
            {"seconds_left", rounded(seconds)}};
  }

  static RateCount effective(const EventCount& count) {
    return {count.y * count.y / count.v, count.y / count.v};
  }

  [[nodiscard]] Json behaviors_json() const {
    Json list = Json::array();
    for (const LoggedRate& rate : rates_) {
      Json entry = {{"name", rate.name},
                    {"deployed_per_100k", nullptr},
                    {"expected_events", nullptr},
                    {"power", Json::array()},
                    {"draws_to_see_twice", nullptr}};
      if (rate.deployed) entry["deployed_per_100k"] = rounded(1e5 * rate.deployed->y);
      if (rate.has_judge && study_.config.roles.contains("oracle")) {
        entry["verification"] = to_json(replay_verification(rate));
      }
      if (rate.deployed && rate.deployed->k > 0) {
        const RateCount known = effective(*rate.deployed);
        entry["expected_events"] = rounded(draws_per_arm() * rate.deployed->y);
        for (const double ratio : kRatios) {
          if (ratio * rate.deployed->y > 1) continue;
          entry["power"].push_back(
              {{"ratio", ratio},
               {"power", rounded(direction_power(known, effective_draws_, ratio, kLevel))}});
        }
        if (const auto draws = draws_for_power(known, 2, kLevel, kPower)) {
          entry["draws_to_see_twice"] = rounded(*draws * draws_per_arm() / effective_draws_);
        }
      }
      list.push_back(std::move(entry));
    }
    return list;
  }

  // Where the next hundred human labels narrow an answer most: among the flags that are expected,
  // or among what the rule passes. A thing of which no example was logged counts at the floor.
  [[nodiscard]] Json labels_json() const {
    struct Gain {
      double gain;
      Json entry;
    };
    std::vector<Gain> gains;
    const auto add = [&](const std::string& name, const char* among, double labels, double now,
                         double after) {
      gains.push_back({std::log(now / after),
                       {{"behavior", name},
                        {"among", among},
                        {"labels", rounded(labels)},
                        {"hi_over_lo_now", rounded(now)},
                        {"hi_over_lo_after", rounded(after)}}});
    };
    for (const LoggedRate& rate : rates_) {
      if (!rate.deployed) continue;
      const LabelCounts& have = rate.labels;
      const double flags = std::floor(draws_per_arm() * rate.deployed->y) +
                           static_cast<double>(rate.deployed->k) - have.flags;
      const double labels = std::min(flags, kNextLabels);
      const double right = (have.flags_present + 0.5) / (have.flags + 1);
      if (labels >= 1) {
        add(rate.name, "flags", labels, flag_label_spread(have.flags_present, have.flags),
            flag_label_spread(have.flags_present + labels * right, have.flags + labels));
      }
      const double seen =
          std::min(std::max(rate.deployed->y, zero_event_upper(effective_draws_, 0.5)), 0.5);
      add(rate.name, "passed", kNextLabels, passed_label_spread(seen, have.passed),
          passed_label_spread(seen, have.passed + kNextLabels));
    }
    std::stable_sort(gains.begin(), gains.end(),
                     [](const Gain& a, const Gain& b) { return a.gain > b.gain; });
    Json list = Json::array();
    for (Gain& gain : gains) list.push_back(std::move(gain.entry));
    return list;
  }

  [[nodiscard]] Json assumptions() const {
    Json list = Json::array();
    list.push_back("the candidate behaves as often as the deployed model, unless a ratio is named");
    list.push_back(
        fmt::format("time: {} tokens a second on each connection of a server, {} in all "
                    "embedded",
                    kServedTokensPerSecond, kEmbeddedTokensPerSecond));
    if (history_) {
      list.push_back(fmt::format(
          "history: what replay does to the deployed model and to the candidate goes together with "
          "correlation {:.2f} on {} past rates (0.6 on 20 are needed): draws of [deployed] {}",
          history_->correlation(), history_->pairs,
          history_->pivots() ? "sharpen the forecast"
                             : "would not sharpen the forecast, draws of the candidate do"));
    }
    if (study_.config.roles.contains("judge")) {
      list.push_back(
          fmt::format("a question to the judge: the transcript and {} tokens; its "
                      "answer: {} tokens",
                      kRubricTokens, kVerdictTokens));
    }
    list.push_back(
        "labels: of the next, as many flags are right as so far (half, where none is labeled); "
        "nothing is found among the rest");
    if (options_.audit) {
      list.push_back(
          fmt::format("the auditor: each answer once, as many known cases as there may be, and {} "
                      "tokens for each behavior on its list",
                      kListedTokens));
    }
    if (study_.config.roles.contains("oracle")) {
      list.push_back(fmt::format("the oracle: where only a judge can flag, it flags {:.0f}%",
                                 100 * kFlagShare));
    }
    return list;
  }

  Study& study_;
  std::vector<Behavior> behaviors_;
  PlanOptions options_;
  std::vector<PrefixPlace> prefixes_;
  std::vector<LoggedRate> rates_;
  std::vector<Asked> asked_;
  std::set<std::uint64_t> users_;
  std::optional<HistoryFit> history_;
  double effective_draws_ = 1;
};

}  // namespace

Result<Json> plan_study(Study& study, const PlanOptions& options) {
  UNDERSTUDY_CHECK(ingest_stage(study));
  UNDERSTUDY_CHECK(sample_stage(study));
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_CHECK(grade_logged_answers(study));
  UNDERSTUDY_CHECK(transaction.commit());
  UNDERSTUDY_TRY(std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  return Planner(study, std::move(behaviors), options).plan();
}

}  // namespace understudy
