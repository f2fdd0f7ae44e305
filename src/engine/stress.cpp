#include "engine/stress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>
#include <unordered_map>

#include "base/text.hpp"
#include "discovery/situations.hpp"
#include "discovery/strata.hpp"
#include "engine/arm_draws.hpp"
#include "engine/discovery.hpp"
#include "engine/forecast_study.hpp"
#include "engine/judge_grading.hpp"
#include "engine/label_file.hpp"
#include "engine/verification.hpp"
#include "grading/request_context.hpp"
#include "grading/rule_graders.hpp"
#include "stats/count_forecast.hpp"

namespace understudy {
namespace {

constexpr double kPer = 100'000;
constexpr double kLevel = 0.95;
constexpr double kMaximumAt = 0.975;
constexpr std::size_t kTimeStrata = 4;

// The draws of one prefix, as one behavior's graders see them.
struct PrefixDraws {
  std::int64_t prefix = 0;
  std::uint64_t present = 0, graded = 0;
  DrawKey shown;  ///< the first positive one
};

// draws = graded + ungradable + not_graded + failed.
struct Repeated {
  std::uint64_t present = 0, graded = 0, draws = 0;
  std::map<std::string, std::uint64_t> failed, ungradable, not_graded;  ///< by reason

  void add(Verdict verdict) {
    if (is_not_graded(verdict)) {
      ++not_graded[std::string(verdict_name(verdict))];
    } else if (is_ungradable(verdict)) {
      ++ungradable[std::string(verdict_name(verdict))];
    } else {
      ++graded;
      present += verdict == Verdict::kPresent ? 1U : 0U;
    }
  }
};

std::string date_of(std::int64_t time_s) {
  const std::chrono::sys_seconds at{std::chrono::seconds(time_s)};
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(at)};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

// Quarters of the conversations that have a time, by days; none where all are of one day.
class TimeStrata {
 public:
  Result<void> load(StudyStore& store) {
    UNDERSTUDY_CHECK(store.for_each_frame_time(
        [&](std::int64_t conversation, std::optional<std::int64_t> time_s) -> Result<void> {
          if (time_s) dates_.emplace(conversation, date_of(*time_s));
          return {};
        }));
    std::vector<std::string> sorted;
    for (const auto& [conversation, date] : dates_) sorted.push_back(date);
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < kTimeStrata && !sorted.empty(); ++i) {
      const std::string& first = sorted[i * sorted.size() / kTimeStrata];
      if (starts_.empty() || starts_.back() != first) starts_.push_back(first);
    }
    return {};
  }
  void add_to(std::vector<std::string>& names, std::int64_t conversation) const {
    const auto date = dates_.find(conversation);
    if (starts_.size() < 2 || date == dates_.end()) return;
    const auto next = std::upper_bound(starts_.begin(), starts_.end(), date->second);
    std::string name = "logged from " + *(next - 1);
    if (next != starts_.end()) name += " to before " + *next;
    names.push_back(std::move(name));
  }

 private:
  std::unordered_map<std::int64_t, std::string> dates_;
  std::vector<std::string> starts_;
};

// Expected count in so many units, and what it will hardly exceed.
Json count_json(const Rate& rate, double units) {
  if (!rate.per_100k || !rate.lo || !rate.hi) return nullptr;
  const double hi = *rate.hi / kPer;
  const double lo = std::min(*rate.lo / kPer, hi);
  const double point = std::clamp(*rate.per_100k / kPer, lo, hi);
  Json json = {{"units", rounded(units)},
               {"expected", rounded(units * point)},
               {"lo", rounded(units * lo)},
               {"hi", rounded(units * hi)},
               {"maximum", 0},
               {"chance_of_any", 0}};
  if (hi <= 0 || units <= 0) return json;
  // Where nothing was seen, only the upper end is known: the law at it is the worst that may be.
  // The same for a rate that was chosen for being high, whose interval allows for that.
  const CountForecast worst(log_rate(hi, hi, hi, kLevel), units);
  const CountForecast law(point > 0 ? log_rate(point, lo, hi, rate.level) : LogRate{std::log(hi)},
                          units);
  const bool is_worst = point <= 0 || rate.level > kLevel;
  json["maximum"] = rounded((is_worst ? worst : law).quantile(kMaximumAt));
  json["chance_of_any"] = rounded(law.at_least(1));
  return json;
}

class StressRun {
 public:
  StressRun(Study& study, const StressOptions& options)
      : study_(study), options_(options), ids_(study.store) {}

  Result<Json> run() {
    // One state of the study, whoever works on it meanwhile; who draws again is alone.
    std::optional<Transaction> reading;
    if (options_.redraw == 0) {
      UNDERSTUDY_TRY(Transaction begun, study_.store.reading());
      reading.emplace(std::move(begun));
    }
    UNDERSTUDY_CHECK(load());
    worst_.reserve(behaviors_.size());
    for (std::size_t i = 0; i < behaviors_.size(); ++i) worst_.push_back(worst_of(i));
    if (options_.redraw > 0) UNDERSTUDY_CHECK(draw_again());
    UNDERSTUDY_CHECK(read_repeated());
    UNDERSTUDY_TRY(strata_, strata());
    found_ = strata_that_carry(strata_, draws_, carried_, options_.level);
    if (options_.deployment) UNDERSTUDY_CHECK(load_forecast());
    Json rows = Json::array();
    for (std::size_t i = 0; i < behaviors_.size(); ++i) {
      UNDERSTUDY_TRY(Json row, row_json(i));
      rows.push_back(std::move(row));
    }
    return Json{{"schema", "understudy.stress/1"},
                {"understudy_version", UNDERSTUDY_VERSION},
                {"unit", manifest_json(study_.config)["sample"]["unit"]},
                {"draws", units_.keys.size()},
                {"prefixes", prefixes_.size()},
                {"deployment", options_.deployment ? Json(*options_.deployment) : Json()},
                {"strata", strata_.names.size()},
                {"pairs_tested", found_.tested},
                {"level", rounded(options_.level)},
                {"interval_level", rounded(found_.interval_level)},
                {"behaviors", std::move(rows)}};
  }

 private:
  Result<void> load() {
    UNDERSTUDY_TRY(units_, units_of(study_.store, Arm::kCandidate));
    UNDERSTUDY_CHECK(check_all_graded(study_.store, Arm::kCandidate, units_));
    UNDERSTUDY_TRY(prefixes_, prefix_places(study_.store));
    UNDERSTUDY_TRY(const std::vector<Behavior> all,
                   select_behaviors(study_.config.grade.behaviors, study_.directory()));
    for (const std::string& name : options_.behaviors) {
      const auto is_it = [&](const Behavior& behavior) { return behavior.id == name; };
      if (std::any_of(all.begin(), all.end(), is_it)) continue;
      std::vector<std::string> names;
      for (const Behavior& behavior : all) names.push_back(behavior.id);
      return unexpected(ErrorCode::kUsage,
                        "the study does not grade this behavior" + did_you_mean(name, names));
    }
    for (const Behavior& behavior : all) {
      const auto& wanted = options_.behaviors;
      if (wanted.empty() || std::find(wanted.begin(), wanted.end(), behavior.id) != wanted.end()) {
        behaviors_.push_back(behavior);
      }
    }
    for (std::size_t i = 0; i < units_.keys.size(); ++i) order_.push_back(i);
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return units_.clusters[a] < units_.clusters[b];
    });
    for (const std::size_t unit : order_) {
      draws_.prefix.push_back(prefix_of(unit));
      draws_.cluster.push_back(units_.clusters[unit]);
      draws_.weight.push_back(units_.weight(unit));
    }
    UNDERSTUDY_TRY(const Labels labels, study_labels(study_.directory()));
    for (const Behavior& behavior : behaviors_) UNDERSTUDY_CHECK(load(behavior, labels));
    return {};
  }

  [[nodiscard]] std::size_t prefix_of(std::size_t unit) const {
    return static_cast<std::size_t>(unpack_draw_key(units_.keys[unit]).prefix - 1);
  }

  // What is said of each draw of the candidate, in the order of draws_.
  Result<void> load(const Behavior& behavior, const Labels& labels) {
    std::vector<Carried> by_unit(units_.keys.size(), Carried::kUnknown);
    if (has_screen(behavior, study_.config)) {
      UNDERSTUDY_TRY(const auto screen, screen_of(study_, behavior, Arm::kCandidate, units_));
      UNDERSTUDY_ASSERT(screen.has_value());
      UNDERSTUDY_TRY(const auto verified, verified_units(study_, behavior, Arm::kCandidate, units_,
                                                         *screen, labels, ids_));
      std::fill(by_unit.begin(), by_unit.end(), Carried::kNo);
      for (const VerifiedUnit& unit : verified) {
        if (unit.screen == Verdict::kAbsent) continue;  // of the audit
        const bool flagged = unit.screen == Verdict::kPresent;
        by_unit[unit.position] = !flagged                      ? Carried::kUnknown
                                 : unit.present.value_or(true) ? Carried::kYes
                                                               : Carried::kNo;
      }
    }
    std::vector<Carried> carried;
    for (const std::size_t unit : order_) carried.push_back(by_unit[unit]);
    carried_.push_back(std::move(carried));
    return {};
  }

  [[nodiscard]] std::vector<PrefixDraws> worst_of(std::size_t behavior) const {
    std::map<std::int64_t, PrefixDraws> by_prefix;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      const Carried carried = carried_[behavior][i];
      if (carried == Carried::kUnknown) continue;
      const DrawKey key = unpack_draw_key(units_.keys[order_[i]]);
      PrefixDraws& draws = by_prefix[key.prefix];
      draws.prefix = key.prefix;
      ++draws.graded;
      if (carried == Carried::kYes && draws.present++ == 0) draws.shown = key;
    }
    std::vector<PrefixDraws> worst;
    for (const auto& [prefix, draws] : by_prefix) {
      if (draws.present > 0) worst.push_back(draws);
    }
    // Equal ones in the order of work, which is a random one.
    std::stable_sort(worst.begin(), worst.end(), [](const PrefixDraws& a, const PrefixDraws& b) {
      return std::tie(b.present, a.graded) < std::tie(a.present, b.graded);
    });
    if (worst.size() > options_.worst) worst.resize(options_.worst);
    return worst;
  }

  Result<void> draw_again() {
    // It would give the first draws again.
    if (study_.config.candidate.model.starts_with("recorded/")) {
      return unexpected(ErrorCode::kUsage, "a recorded candidate has no further answers to give");
    }
    std::vector<std::int64_t> chosen;
    for (const auto& of_behavior : worst_) {
      for (const PrefixDraws& draws : of_behavior) chosen.push_back(draws.prefix);
    }
    if (chosen.empty()) return {};
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    UNDERSTUDY_TRY(ArmDraws draws,
                   ArmDraws::load_repeated(study_, prefixes_, chosen, options_.redraw));
    UNDERSTUDY_TRY([[maybe_unused]] const AskedDraws asked, ask_open_draws(study_, draws));
    return judge_again();
  }

  // Keys of the completed further draws on a behavior's worst prefixes.
  Result<std::vector<std::int64_t>> repeated_keys(std::size_t behavior) {
    std::vector<std::int64_t> keys;
    UNDERSTUDY_CHECK(for_each_repeated(behavior, [&](const DrawStatus& status) {
      if (!status.failed) keys.push_back(pack_draw_key(status.key));
    }));
    return keys;
  }

  Result<void> for_each_repeated(std::size_t behavior,
                                 const std::function<void(const DrawStatus&)>& visit) {
    return study_.store.for_each_draw_status(
        kRepeatedArm, [&](const DrawStatus& status) -> Result<void> {
          const auto is_it = [&](const PrefixDraws& w) { return w.prefix == status.key.prefix; };
          const auto& worst = worst_[behavior];
          if (std::any_of(worst.begin(), worst.end(), is_it)) visit(status);
          return {};
        });
  }

  Result<void> judge_again() {
    for (std::size_t i = 0; i < behaviors_.size(); ++i) {
      const auto role = screening_role(behaviors_[i]);
      if (!role || role == "table" || !has_screen(behaviors_[i], study_.config)) continue;
      JudgeRun run{.role = *role};
      run.arms = {kRepeatedArm};
      run.grader = [&](const Behavior& behavior) {
        return screen_grader(study_.store, behavior, study_.config);
      };
      run.keys = [&](const Behavior&, Arm) { return repeated_keys(i); };
      UNDERSTUDY_TRY([[maybe_unused]] const std::uint64_t asked,
                     run_judge(study_, {&behaviors_[i]}, run));
    }
    return {};
  }

  Result<void> read_repeated() {
    UNDERSTUDY_TRY(const RuleGraders rules, RuleGraders::build(behaviors_));
    UNDERSTUDY_TRY(finder_, AnswerFinder::open(study_.store));
    std::vector<Verdict> verdicts(behaviors_.size());
    repeated_.resize(behaviors_.size());
    for (std::size_t i = 0; i < behaviors_.size(); ++i) {
      UNDERSTUDY_TRY(const std::vector<std::int64_t> keys, repeated_keys(i));
      UNDERSTUDY_CHECK(for_each_repeated(i, [&](const DrawStatus& status) {
        Repeated& again = repeated_[i][status.key.prefix];
        ++again.draws;
        if (status.failed) ++again.failed[std::string(failure_name(*status.failed))];
      }));
      std::unordered_map<std::int64_t, Verdict> judged;
      if (!rules.has_rule(i) && has_screen(behaviors_[i], study_.config)) {
        UNDERSTUDY_TRY(const std::int64_t grader,
                       screen_grader(study_.store, behaviors_[i], study_.config));
        UNDERSTUDY_CHECK(study_.store.for_each_judgement(
            grader, kRepeatedArm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
              judged.emplace(pack_draw_key(key), verdict);
              return {};
            }));
      }
      for (const std::int64_t key : keys) {
        Verdict verdict = Verdict::kNotGradedNoJudge;
        if (rules.has_rule(i)) {
          UNDERSTUDY_TRY(const AnswerView answer, finder_->find(unpack_draw_key(key)));
          rules.grade(answer, verdicts);
          verdict = verdicts[i];
        } else if (const auto found = judged.find(key); found != judged.end()) {
          verdict = found->second;
        }
        repeated_[i][unpack_draw_key(key).prefix].add(verdict);
      }
    }
    return {};
  }

  Result<Strata> strata() {
    TimeStrata times;
    UNDERSTUDY_CHECK(times.load(study_.store));
    FeatureExtractor extractor;
    StrataBuilder builder;
    std::optional<StoredConversation> stored;
    for (const PrefixPlace& place : prefixes_) {
      if (!stored || stored->id != place.conversation) {
        UNDERSTUDY_TRY(stored, study_.store.conversation(place.conversation));
      }
      AnswerView request;
      request.prefix = {stored->conversation.messages.data(), place.cut};
      request.tools = stored->conversation.tools;
      std::vector<std::string> names = situations_of(extractor, request);
      times.add_to(names, place.conversation);
      builder.add(std::move(names));
    }
    return builder.finish();
  }

  Result<void> load_forecast() {
    UNDERSTUDY_TRY(report_, estimated_report(study_));
    UNDERSTUDY_TRY(const std::vector<HistoryRow> history, study_history(study_));
    spread_ = study_spread(study_, report_, fit_history(history));
    std::unordered_map<std::uint64_t, std::uint64_t> units;
    std::uint64_t all = 0, most = 0;
    const bool by_turn = study_.config.sample.unit == Unit::kTurn;
    UNDERSTUDY_CHECK(study_.store.for_each_frame_cluster(
        [&](std::int64_t, std::uint64_t cluster, const std::vector<FrameTurn>& turns) {
          const std::uint64_t count = by_turn ? turns.size() : 1;
          all += count;
          most = std::max(most, units[cluster] += count);
          return Result<void>();
        }));
    if (all > 0) largest_share_ = static_cast<double>(most) / static_cast<double>(all);
    return {};
  }

  Json deployment_json(std::size_t behavior) const {
    const auto& rows = report_["behaviors"];
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Json& one) {
      return one["name"] == behaviors_[behavior].id;
    });
    if (row == rows.end()) return nullptr;
    const auto units = static_cast<double>(*options_.deployment);
    const Rate rate = predictive_rate(rate_from_json((*row)["forecast"]), spread_);
    Json json = count_json(rate, units);
    if (json.is_null()) return json;
    json["largest_cluster"] = count_json(rate, units * largest_share_);
    json["largest_cluster"]["share"] = rounded(largest_share_);
    json["worst_stratum_flags"] = nullptr;
    const std::vector<StratumRate>& strata = found_.behaviors[behavior];
    const auto worst = std::max_element(
        strata.begin(), strata.end(), [](const auto& a, const auto& b) { return a.rate < b.rate; });
    if (worst == strata.end()) return json;
    Rate inside;
    inside.per_100k = worst->rate * kPer;
    inside.lo = worst->interval_of_all.lo * kPer;
    inside.hi = worst->interval_of_all.hi * kPer;
    inside.level = found_.interval_of_all_level;
    Json flags = count_json(predictive_rate(inside, spread_), units * worst->share);
    flags["name"] = strata_.names[worst->stratum];
    flags["interval_level"] = rounded(inside.level);
    json["worst_stratum_flags"] = std::move(flags);
    return json;
  }

  Result<Json> worst_json(std::size_t behavior, const PrefixDraws& draws) {
    UNDERSTUDY_TRY(const std::uint64_t id, ids_.of(pack_draw_key(draws.shown)));
    UNDERSTUDY_TRY(const AnswerView answer, finder_->find(draws.shown));
    Json json = {{"prefix", draws.prefix},
                 {"draws", draws.graded},
                 {"present", draws.present},
                 {"id", answer_id_text(id)},
                 {"user_text", utf8_prefix(last_user_text(answer.prefix), kTranscriptBytes)},
                 {"answer", readable_answer(answer)},
                 {"repeated", nullptr}};
    const auto found = repeated_[behavior].find(draws.prefix);
    if (found == repeated_[behavior].end()) return json;
    const Repeated& again = found->second;
    json["repeated"] = {{"draws", again.draws},
                        {"failed", again.failed},
                        {"ungradable", again.ungradable},
                        {"not_graded", again.not_graded},
                        {"graded", again.graded},
                        {"present", again.present},
                        {"share", nullptr},
                        {"lo", nullptr},
                        {"hi", nullptr}};
    if (again.graded == 0) return json;
    const auto n = static_cast<double>(again.graded);
    const Interval interval = clopper_pearson(static_cast<double>(again.present), n, kLevel);
    json["repeated"]["share"] = rounded(static_cast<double>(again.present) / n);
    json["repeated"]["lo"] = rounded(interval.lo);
    json["repeated"]["hi"] = rounded(interval.hi);
    return json;
  }

  Result<Json> row_json(std::size_t behavior) {
    const std::vector<Carried>& carried = carried_[behavior];
    const auto count = [&](Carried what) {
      return static_cast<std::uint64_t>(std::count(carried.begin(), carried.end(), what));
    };
    Json strata = Json::array();
    for (const StratumRate& rate : found_.behaviors[behavior]) {
      strata.push_back({{"name", strata_.names[rate.stratum]},
                        {"draws", rate.draws},
                        {"present", rate.present},
                        {"share", rounded(rate.share)},
                        {"per_100k", rounded(rate.rate * kPer)},
                        {"lo", rounded(rate.interval.lo * kPer)},
                        {"hi", rounded(rate.interval.hi * kPer)},
                        {"elsewhere_per_100k", rounded(rate.rate_outside * kPer)},
                        {"p_value", rounded(rate.p_value)},
                        {"p_adjusted", rounded(rate.adjusted)}});
    }
    Json worst = Json::array();
    for (const PrefixDraws& draws : worst_[behavior]) {
      UNDERSTUDY_TRY(Json one, worst_json(behavior, draws));
      worst.push_back(std::move(one));
    }
    const std::uint64_t graded = carried.size() - count(Carried::kUnknown);
    return Json{{"name", behaviors_[behavior].id},
                {"graded", graded},
                {"present", graded > 0 ? Json(count(Carried::kYes)) : Json()},
                {"strata", std::move(strata)},
                {"worst", std::move(worst)},
                {"deployment", options_.deployment ? deployment_json(behavior) : Json()}};
  }

  Study& study_;
  const StressOptions& options_;
  AnswerIds ids_;
  std::optional<AnswerFinder> finder_;
  std::vector<PrefixPlace> prefixes_;
  std::vector<Behavior> behaviors_;
  Units units_;
  std::vector<std::size_t> order_;               ///< units, clusters together
  StratumDraws draws_;                           ///< in this order
  std::vector<std::vector<Carried>> carried_;    ///< by behavior; in this order
  std::vector<std::vector<PrefixDraws>> worst_;  ///< by behavior
  std::vector<std::map<std::int64_t, Repeated>> repeated_;
  Strata strata_;
  StrataFound found_;
  Json report_;
  PredictiveSpread spread_;
  double largest_share_ = 0;
};

}  // namespace

Result<Json> stress(Study& study, const StressOptions& options) {
  return StressRun(study, options).run();
}

bool redraws_failed(const Json& document) {
  for (const Json& behavior : document.at("behaviors")) {
    for (const Json& draws : behavior.at("worst")) {
      const Json& again = draws.at("repeated");
      if (again.is_null()) continue;
      if (!again.at("failed").empty() || !again.at("not_graded").empty()) return true;
    }
  }
  return false;
}

}  // namespace understudy
