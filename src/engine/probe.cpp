#include "engine/probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "engine/judge_grading.hpp"
#include "engine/verification.hpp"
#include "stats/intervals.hpp"

namespace understudy {
namespace {

constexpr double kLevel = 0.95;
// Attempts of one question are few; those of another probe begin elsewhere.
constexpr std::uint32_t kAttemptsApart = 100;

using Verdicts = std::unordered_map<std::int64_t, Verdict>;  // by key

struct Probe {
  std::string name;
  std::uint32_t runs = 1;
  bool together = false;
  JudgeOptions how = {};
};

class Prober {
 public:
  Prober(Study& study, const ProbeOptions& options)
      : study_(study),
        options_(options),
        role_(study.config.roles.contains("judge") ? "judge" : "oracle") {}

  Result<Json> run() {
    if (!study_.config.roles.contains(role_)) {
      return unexpected(ErrorCode::kUsage, "this study has no judge: set roles.judge");
    }
    UNDERSTUDY_TRY(behaviors_, select_behaviors(study_.config.grade.behaviors, study_.directory()));
    UNDERSTUDY_CHECK(choose());
    if (probed_.empty()) {
      return unexpected(ErrorCode::kUsage, fmt::format("the {} has judged nothing yet: `understudy "
                                                       "run {}` first",
                                                       role_, study_.directory()));
    }
    std::vector<Probe> probes = {{.name = "repeat", .runs = options_.repeats},
                                 {.name = "examples", .how = {.examples_reversed = true}},
                                 {.name = "format", .how = {.other_format = true}}};
    if (probed_.size() > 1) probes.push_back({.name = "together", .together = true});
    Json rows = Json::array();
    for (const Probe& probe : probes) UNDERSTUDY_CHECK(put(probe, rows));
    return Json{{"schema", "understudy.probe/1"},
                {"understudy_version", UNDERSTUDY_VERSION},
                {"role", role_},
                {"repeats", options_.repeats},
                {"rows", std::move(rows)}};
  }

 private:
  // Which answers each behavior is asked about again, and what was said of them.
  Result<void> choose() {
    for (const Behavior& behavior : behaviors_) {
      const bool asked =
          screening_role(behavior) == role_ || verifying_role(behavior, study_.config) == role_;
      if (!asked) continue;
      UNDERSTUDY_TRY(const std::int64_t grader,
                     judge_grader(study_.store, behavior, study_.config, role_));
      UNDERSTUDY_TRY(Verdicts first, verdicts_of(grader));
      std::vector<std::int64_t> present, absent;
      for (const auto& [key, verdict] : first) {
        if (verdict == Verdict::kPresent) present.push_back(key);
        if (verdict == Verdict::kAbsent) absent.push_back(key);
      }
      const auto by_rank = [&](std::int64_t a, std::int64_t b) {
        return verification_rank(study_.config, behavior, a) <
               verification_rank(study_.config, behavior, b);
      };
      std::sort(present.begin(), present.end(), by_rank);
      std::sort(absent.begin(), absent.end(), by_rank);
      const std::size_t half = (options_.answers + 1) / 2;
      const std::size_t flagged =
          std::min(present.size(),
                   std::max(half, options_.answers - std::min(options_.answers, absent.size())));
      present.resize(flagged);
      absent.resize(std::min(absent.size(), options_.answers - flagged));
      present.insert(present.end(), absent.begin(), absent.end());
      if (present.empty()) continue;
      probed_.push_back(&behavior);
      chosen_[behavior.id].insert(present.begin(), present.end());
      all_.insert(present.begin(), present.end());
      first_[behavior.id] = std::move(first);
    }
    return {};
  }

  Result<Verdicts> verdicts_of(std::int64_t grader) {
    Verdicts verdicts;
    for (const Arm arm : study_arms(study_.config)) {
      UNDERSTUDY_CHECK(study_.store.for_each_judgement(
          grader, arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
            verdicts.emplace(pack_draw_key(key), verdict);
            return {};
          }));
    }
    return verdicts;
  }

  Result<std::int64_t> grader(const Behavior& behavior, const Probe& probe, std::uint32_t run) {
    return study_.store.grader(behavior.id, GradingLayer::kProbe,
                               Sha256()
                                   .field(probe.name)
                                   .number(run)
                                   .field(as_bytes(judge_hash(behavior, study_.config, role_)))
                                   .finish());
  }

  // Of one behavior in a probe: those chosen for it; together, those chosen for any.
  std::vector<std::int64_t> keys(const Behavior& behavior, const Probe& probe, Arm arm) {
    const Verdicts& first = first_[behavior.id];
    std::vector<std::int64_t> keys;
    for (const std::int64_t key : probe.together ? all_ : chosen_[behavior.id]) {
      const auto found = first.find(key);
      const bool judged = found != first.end() && found->second <= Verdict::kPresent;
      if (judged && unpack_draw_key(key).arm == arm) keys.push_back(key);
    }
    return keys;
  }

  Result<void> put(const Probe& probe, Json& rows) {
    std::map<std::string, std::vector<Verdicts>> again;  // by behavior, each run
    for (std::uint32_t i = 0; i < probe.runs; ++i) {
      JudgeRun run{.role = role_,
                   .behaviors_per_call = probe.together ? probed_.size() : 1,
                   .how = probe.how,
                   .stage = "probe " + probe.name};
      run.how.attempt = (i + 1) * kAttemptsApart;
      run.grader = [&, i](const Behavior& behavior) { return grader(behavior, probe, i); };
      run.keys = [&](const Behavior& behavior, Arm arm) -> Result<std::vector<std::int64_t>> {
        return keys(behavior, probe, arm);
      };
      UNDERSTUDY_TRY([[maybe_unused]] const std::uint64_t asked, run_judge(study_, probed_, run));
      for (const Behavior* const behavior : probed_) {
        UNDERSTUDY_TRY(const std::int64_t row, grader(*behavior, probe, i));
        UNDERSTUDY_TRY(Verdicts verdicts, verdicts_of(row));
        again[behavior->id].push_back(std::move(verdicts));
      }
    }
    for (const Behavior* const behavior : probed_) {
      for (const Verdict first : {Verdict::kPresent, Verdict::kAbsent}) {
        rows.push_back(row_json(*behavior, probe, first, again[behavior->id]));
      }
    }
    return {};
  }

  Json row_json(const Behavior& behavior, const Probe& probe, Verdict first,
                const std::vector<Verdicts>& runs) {
    std::uint64_t answers = 0, flipped = 0, ungradable = 0;
    for (const auto& [key, verdict] : first_[behavior.id]) {
      if (verdict != first || !runs.front().contains(key)) continue;
      bool flips = false, fails = false;
      for (const Verdicts& run : runs) {
        const auto found = run.find(key);
        if (found == run.end()) continue;
        flips = flips || (found->second <= Verdict::kPresent && found->second != first);
        fails = fails || found->second > Verdict::kPresent;
      }
      ++answers;
      flipped += flips ? 1U : 0U;
      ungradable += fails && !flips ? 1U : 0U;
    }
    Json row = {{"behavior", behavior.id}, {"probe", probe.name}, {"first", verdict_name(first)},
                {"answers", answers},      {"flipped", flipped},  {"ungradable", ungradable},
                {"share", nullptr},        {"lo", nullptr},       {"hi", nullptr}};
    if (answers > 0) {
      const auto n = static_cast<double>(answers);
      const Interval interval = wilson(static_cast<double>(flipped), n, kLevel);
      row["share"] = rounded(static_cast<double>(flipped) / n);
      row["lo"] = rounded(interval.lo);
      row["hi"] = rounded(interval.hi);
    }
    return row;
  }

  Study& study_;
  ProbeOptions options_;
  std::string role_;
  std::vector<Behavior> behaviors_;
  std::vector<const Behavior*> probed_;
  std::map<std::string, std::unordered_set<std::int64_t>> chosen_;  ///< by behavior
  std::unordered_set<std::int64_t> all_;
  std::map<std::string, Verdicts> first_;  ///< by behavior
};

}  // namespace

Result<Json> probe_judge(Study& study, const ProbeOptions& options) {
  return Prober(study, options).run();
}

std::string probe_text(const Json& probe) {
  std::string out = fmt::format(
      "Verdicts of the {} that flip when the same answer is put again (95% intervals)\n"
      "repeat: {} more times; examples: in reverse order; format: other lists, verdict first;\n"
      "together: all behaviors in one call\n\n{:<27} {:<9} {:<8} {:>8} {:>8}  {}\n",
      probe["role"].get<std::string>(), probe["repeats"].get<std::uint64_t>(), "behavior", "probe",
      "first", "answers", "flipped", "share");
  for (const Json& row : probe["rows"]) {
    if (row["answers"] == 0) continue;
    out += fmt::format("{:<27} {:<9} {:<8} {:>8} {:>8}  {:.3f} ({:.3f}–{:.3f})",
                       row["behavior"].get<std::string>(), row["probe"].get<std::string>(),
                       row["first"].get<std::string>(), row["answers"].get<std::uint64_t>(),
                       row["flipped"].get<std::uint64_t>(), row["share"].get<double>(),
                       row["lo"].get<double>(), row["hi"].get<double>());
    const auto ungradable = row["ungradable"].get<std::uint64_t>();
    out += ungradable == 0 ? "\n" : fmt::format(", {} ungradable\n", ungradable);
  }
  return out;
}

}  // namespace understudy
