#include "engine/awareness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "engine/answer_pairs.hpp"
#include "engine/arm_draws.hpp"
#include "engine/benchmark_prompts.hpp"
#include "engine/fidelity.hpp"
#include "engine/judge_grading.hpp"
#include "grading/instruments.hpp"
#include "grading/rule_graders.hpp"
#include "stats/clusters.hpp"
#include "stats/intervals.hpp"

namespace understudy {
namespace {

constexpr double kLevel = 0.95;
constexpr double kPer = 100'000;

struct AwareUnit {
  std::int64_t key = 0;       ///< packed DrawKey
  std::uint64_t cluster = 0;  ///< units of one stand together
  std::int64_t prefix = 0;    ///< its place in the order of work
};

struct Source {
  std::string name;
  std::vector<AwareUnit> units;
  bool has_texts = true;  ///< else the judge cannot be asked about more of them
  std::map<std::string, std::uint64_t> failed = {};  ///< answers that never came, by reason
};

std::uint64_t sum_of(const std::map<std::string, std::uint64_t>& counts) {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : counts) sum += count;
  return sum;
}

std::string reasons_text(const std::map<std::string, std::uint64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : counts) parts.push_back(fmt::format("{} {}", reason, count));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// Verdicts of one grader over users.
class Tally {
 public:
  void add(std::uint64_t cluster, Verdict verdict) {
    if (verdict > Verdict::kPresent) {
      ++(is_not_graded(verdict) ? failed_ : others_)[std::string(verdict_name(verdict))];
      return;
    }
    if (totals_.empty() || cluster != cluster_) totals_.push_back({});
    cluster_ = cluster;
    totals_.back().size += 1;
    totals_.back().hits += verdict == Verdict::kPresent ? 1 : 0;
  }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& others() const { return others_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& failed() const { return failed_; }
  [[nodiscard]] Json json() const {
    double hits = 0, n = 0;
    for (const ClusterTotal& user : totals_) {
      hits += user.hits;
      n += user.size;
    }
    Json json = {{"answers", hits}, {"n", n},        {"per_100k", nullptr},
                 {"lo", nullptr},   {"hi", nullptr}, {"ungradable", others_}};
    if (!failed_.empty()) json["not_graded"] = failed_;
    if (n == 0) return json;
    const double effect = totals_.size() > 1 ? design_effect(totals_) : 1;
    const Interval interval = clopper_pearson(hits / effect, n / effect, kLevel);
    json["per_100k"] = rounded(hits / n * kPer);
    json["lo"] = rounded(interval.lo * kPer);
    json["hi"] = rounded(interval.hi * kPer);
    return json;
  }

 private:
  std::vector<ClusterTotal> totals_;
  std::uint64_t cluster_ = 0;
  std::map<std::string, std::uint64_t> others_;
  std::map<std::string, std::uint64_t> failed_;  // of the grader: asked again, it may be graded
};

std::string cell(const Json& rate) {
  if (rate["per_100k"].is_null()) return "–";
  return fmt::format("{:.0f} of {:.0f}: {} ({}–{})", rate["answers"].get<double>(),
                     rate["n"].get<double>(), rate_text(rate["per_100k"].get<double>() / kPer),
                     rate_text(rate["lo"].get<double>() / kPer),
                     rate_text(rate["hi"].get<double>() / kPer));
}

class AwarenessRun {
 public:
  AwarenessRun(Study& study, const AwarenessOptions& options) : study_(study), options_(options) {}

  Result<Json> run() {
    if (options_.judged > 0 && !has_judge()) {
      return unexpected(ErrorCode::kUsage, "this study has no judge: set roles.judge");
    }
    UNDERSTUDY_CHECK(load_sources());
    if (options_.judged > 0) UNDERSTUDY_CHECK(ask_judge());
    UNDERSTUDY_TRY(finder_, AnswerFinder::open(study_.store));
    Json figures = {{"columns", {"answers of", "say so (rule, English)", "treat it so (judge)"}},
                    {"rows", Json::array()}};
    std::uint64_t judged = 0, ungradable = 0, other_languages = 0;
    std::uint64_t not_graded = 0;
    std::vector<std::string> lines = {
        "production was no test: its rates are what rule and judge take for one by mistake, at "
        "most"};
    for (const Source& source : sources_) {
      UNDERSTUDY_TRY(const Tally rule, rule_rate(source));
      UNDERSTUDY_TRY(const Tally judge, judge_rate(source));
      Json entry = rule.json();
      entry["judge"] = judge.json();
      figures["rows"].push_back({source.name, cell(entry), cell(entry["judge"])});
      judged += entry["judge"]["n"].get<std::uint64_t>();
      ungradable += sum_of(judge.others());
      other_languages += sum_of(rule.others());
      not_graded += sum_of(judge.failed());
      if (!source.failed.empty()) entry["failed"] = source.failed;
      figures[source.name] = std::move(entry);
    }
    lines.push_back(
        fmt::format("the rule's phrases are English: {} answers in other languages are "
                    "ungradable(language), and not counted",
                    other_languages));
    lines.push_back(judge_line(judged, ungradable, not_graded));
    const std::uint64_t unanswered = add_benchmark_lines(lines);
    figures["failed"] = {{"verdicts", not_graded}, {"benchmark_answers", unanswered}};
    figures["judged_by"] = has_judge() ? Json(study_.config.roles.at("judge").model) : Json();
    figures["lines"] = std::move(lines);
    return figures;
  }

  [[nodiscard]] bool has_answers() const { return !sources_.empty(); }

 private:
  [[nodiscard]] bool has_judge() const { return study_.config.roles.contains("judge"); }

  [[nodiscard]] std::string judge_line(std::uint64_t judged, std::uint64_t ungradable,
                                       std::uint64_t failed) const {
    if (!has_judge()) return "no judge is named (roles.judge): no answer was put to one";
    const std::uint64_t asked = judged + ungradable + failed;
    if (asked == 0) {
      return "the judge has not been asked: `--judge 200` puts 200 answers of each kind to it";
    }
    std::string line =
        fmt::format("the judge gave no verdict on {} of {} answers", ungradable + failed, asked);
    if (failed > 0) {
      line +=
          fmt::format(", on {} because it failed: `--judge N --retry-errors` asks again", failed);
    }
    return line;
  }

  // How many of the benchmark's prompts have no answer.
  std::uint64_t add_benchmark_lines(std::vector<std::string>& lines) const {
    if (!benchmark_ || benchmark_->count() == 0) {
      lines.emplace_back("no benchmark's prompts are given to compare with (--benchmark FILE)");
      return 0;
    }
    if (benchmark_->are_others()) {
      lines.push_back(
          fmt::format("the {} stored answers to a benchmark are another model's, or to "
                      "other settings, than [candidate] has now: they are not shown",
                      benchmark_->count()));
      return 0;
    }
    const Source& source = sources_.back();
    if (!source.has_texts) {
      lines.emplace_back(
          "the benchmark's answers are those stored, of any file: its prompts are in the file, and "
          "only with it (--benchmark FILE) is more asked");
    }
    const std::uint64_t failed = sum_of(source.failed);
    if (failed > 0) {
      lines.push_back(
          fmt::format("{} of the {} prompts of the benchmark have no answer ({}): "
                      "`--benchmark FILE --retry-errors` asks again",
                      failed, benchmark_->count(), reasons_text(source.failed)));
    }
    return failed;
  }

  Result<void> load_sources() {
    for (const Arm arm : {Arm::kCandidate, Arm::kDeployedReplay}) {
      UNDERSTUDY_TRY(const AnswerPairs pairs, AnswerPairs::open(study_.store, arm));
      if (pairs.count() == 0) continue;
      if (sources_.empty()) sources_.push_back(source_of("production", pairs, false));
      sources_.push_back(source_of(
          arm == Arm::kCandidate ? "candidate, replayed" : "deployed, replayed", pairs, true));
    }
    return load_benchmark();
  }

  // Without its file, what is stored of it: the rule looks at the answer alone.
  Result<void> load_benchmark() {
    const bool has_texts = !options_.benchmark.empty();
    if (has_texts) {
      UNDERSTUDY_TRY(benchmark_, BenchmarkPrompts::load(options_.benchmark));
      UNDERSTUDY_CHECK(benchmark_->ask(study_));
    } else {
      UNDERSTUDY_TRY(benchmark_, BenchmarkPrompts::stored(study_));
      if (benchmark_->count() == 0 || benchmark_->are_others()) return {};
    }
    UNDERSTUDY_TRY(BenchmarkPrompts::Answers answers, benchmark_->answers(study_.store));
    Source source{.name = "candidate, benchmark", .units = {}, .has_texts = has_texts};
    source.failed = std::move(answers.reasons);
    for (const std::int64_t key : answers.answered) {
      source.units.push_back({.key = key,
                              .cluster = static_cast<std::uint64_t>(key),
                              .prefix = unpack_draw_key(key).prefix});
    }
    sources_.push_back(std::move(source));
    return {};
  }

  static Source source_of(std::string name, const AnswerPairs& pairs, bool replayed) {
    Source source{.name = std::move(name), .units = {}};
    for (std::uint64_t id = 0; id < pairs.count(); ++id) {
      source.units.push_back({.key = pack_draw_key(pairs.key(id, replayed)),
                              .cluster = pairs.cluster(id),
                              .prefix = pairs.key(id, true).prefix});
    }
    return source;
  }

  Result<void> ask_judge() {
    JudgeRun run{.role = "judge"};
    run.stage = "awareness";
    run.arms = {Arm::kDeployed, Arm::kCandidate, Arm::kDeployedReplay, kBenchmarkArm};
    run.grader = [&](const Behavior& behavior) {
      return study_.store.grader(behavior.id, GradingLayer::kProbe, judge_digest());
    };
    run.keys = [&](const Behavior&, Arm arm) -> Result<std::vector<std::int64_t>> {
      for (const Source& source : sources_) {
        if (source.units.empty() || unpack_draw_key(source.units.front().key).arm != arm) continue;
        if (source.has_texts) return first_keys(source);
      }
      return std::vector<std::int64_t>();
    };
    run.outside = [&](std::int64_t key) -> Result<std::optional<AnswerView>> {
      if (unpack_draw_key(key).arm != kBenchmarkArm) return std::optional<AnswerView>();
      UNDERSTUDY_TRY(const AnswerView view, benchmark_->answer(study_.store, key));
      return std::optional(view);
    };
    UNDERSTUDY_TRY([[maybe_unused]] const std::uint64_t asked,
                   run_judge(study_, {&awareness_behavior()}, run));
    return {};
  }

  [[nodiscard]] std::vector<std::int64_t> first_keys(const Source& source) const {
    std::vector<AwareUnit> units = source.units;
    std::stable_sort(units.begin(), units.end(),
                     [](const AwareUnit& a, const AwareUnit& b) { return a.prefix < b.prefix; });
    if (units.size() > options_.judged) units.resize(options_.judged);
    std::vector<std::int64_t> keys;
    for (const AwareUnit& unit : units) keys.push_back(unit.key);
    return keys;
  }

  [[nodiscard]] Digest judge_digest() const {
    return judge_hash(awareness_behavior(), study_.config, "judge");
  }

  Result<AnswerView> answer_of(std::int64_t key) {
    const DrawKey unpacked = unpack_draw_key(key);
    if (unpacked.arm == kBenchmarkArm) return benchmark_->answer(study_.store, key);
    return finder_->find(unpacked);
  }

  Result<Tally> rule_rate(const Source& source) {
    UNDERSTUDY_TRY(const RuleGraders rules, RuleGraders::build({&awareness_behavior(), 1}));
    Tally tally;
    for (const AwareUnit& unit : source.units) {
      UNDERSTUDY_TRY(const AnswerView answer, answer_of(unit.key));
      Verdict verdict = Verdict::kAbsent;
      rules.grade(answer, {&verdict, 1});
      tally.add(unit.cluster, verdict);
    }
    return tally;
  }

  // A study that is only read has no row for a judge that was never asked.
  Result<Tally> judge_rate(const Source& source) {
    Tally tally;
    if (!has_judge() || source.units.empty()) return tally;
    const Arm arm = unpack_draw_key(source.units.front().key).arm;
    UNDERSTUDY_TRY(const auto graders,
                   study_.store.graders(awareness_behavior().id, GradingLayer::kProbe, arm));
    std::unordered_map<std::int64_t, Verdict> judged;
    for (const StudyStore::GraderRow& grader : graders) {
      if (grader.hash != judge_digest()) continue;
      UNDERSTUDY_CHECK(study_.store.for_each_judgement(
          grader.id, arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
            judged.emplace(pack_draw_key(key), verdict);
            return {};
          }));
    }
    for (const AwareUnit& unit : source.units) {
      const auto found = judged.find(unit.key);
      if (found != judged.end()) tally.add(unit.cluster, found->second);
    }
    return tally;
  }

  Study& study_;
  const AwarenessOptions& options_;
  std::vector<Source> sources_;
  std::optional<BenchmarkPrompts> benchmark_;
  std::optional<AnswerFinder> finder_;
};

}  // namespace

Result<Json> awareness(Study& study, const AwarenessOptions& options) {
  AwarenessRun run(study, options);
  UNDERSTUDY_TRY(Json part, run.run());
  part["part"] = "awareness";
  part["title"] = "Answers that treat the situation as a test";
  part["measured"] = run.has_answers();
  if (!run.has_answers()) part["why_not"] = "no model has answered yet";
  return part;
}

}  // namespace understudy
