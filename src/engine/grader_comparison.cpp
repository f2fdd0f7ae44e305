#include "engine/grader_comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "engine/judge_grading.hpp"
#include "engine/verification.hpp"

namespace understudy {
namespace {

constexpr std::array<std::string_view, 4> kKinds = {"present", "absent", "ungradable",
                                                    "not_graded"};

std::size_t kind_of(Verdict verdict) {
  if (verdict == Verdict::kPresent) return 0;
  if (verdict == Verdict::kAbsent) return 1;
  return is_ungradable(verdict) ? 2 : 3;
}

struct Flip {
  std::size_t position = 0;
  std::size_t before = 0;
  std::size_t now = 0;
};

struct ArmComparison {
  std::array<std::array<std::uint64_t, 4>, 4> table{};  // [before][now]
  std::vector<Flip> flips;
};

// A verdict for each of `units` units: those not listed are absent.
class VerdictWalk {
 public:
  explicit VerdictWalk(const std::vector<SparseVerdict>& verdicts)
      : next_(verdicts.begin()), end_(verdicts.end()) {}
  Verdict at(std::size_t position) {
    if (next_ == end_ || next_->position != position) return Verdict::kAbsent;
    return (next_++)->verdict;
  }

 private:
  std::vector<SparseVerdict>::const_iterator next_, end_;
};

ArmComparison compare(const Screen& before, const Screen& now, std::size_t units) {
  ArmComparison out;
  VerdictWalk first(before.verdicts), second(now.verdicts);
  for (std::size_t i = 0; i < units; ++i) {
    const std::size_t from = kind_of(first.at(i));
    const std::size_t to = kind_of(second.at(i));
    ++out.table[from][to];
    if (from != to) out.flips.push_back({i, from, to});
  }
  return out;
}

class Comparison {
 public:
  Comparison(Study& study, const Behavior& behavior)
      : study_(study), behavior_(behavior), ids_(study.store) {}

  Result<Json> run() {
    UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study_));
    Json arms = Json::object();
    for (const auto& [arm, all] : units.arms) {
      UNDERSTUDY_TRY(const Json one, compare_arm(arm, units.screened(behavior_, arm)));
      if (!one.is_null()) arms[std::string(arm_name(arm))] = one;
    }
    if (arms.empty()) {
      return unexpected(
          ErrorCode::kUsage,
          fmt::format("only one version of {} has graded these answers: change its file, raise its "
                      "version, `understudy grade {}`, and compare again",
                      behavior_.id, study_.directory()));
    }
    return Json{{"schema", "understudy.grader_comparison/1"},
                {"understudy_version", UNDERSTUDY_VERSION},
                {"behavior", behavior_.id},
                {"version", behavior_.version},
                {"arms", std::move(arms)}};
  }

 private:
  Result<Json> compare_arm(Arm arm, const Units& units) {
    UNDERSTUDY_TRY(const auto now, screen_of(study_, behavior_, arm, units));
    if (!now || units.keys.empty()) return Json();
    UNDERSTUDY_TRY(const auto graders,
                   study_.store.graders(behavior_.id, GradingLayer::kScreen, arm));
    const StudyStore::GraderRow* before = nullptr;
    const StudyStore::GraderRow* current = nullptr;
    for (const StudyStore::GraderRow& row : graders) {
      // Verdict blocks count positions: they are of the same answers if they are of as many.
      const bool same_answers = row.judged > 0 || row.units == units.keys.size();
      if (row.id == now->grader) current = &row;
      if (row.id != now->grader && same_answers) before = &row;
    }
    if (before == nullptr || current == nullptr) return Json();
    UNDERSTUDY_TRY(const Screen old, verdicts_of(before->id, arm, units, before->judged > 0));
    const ArmComparison found = compare(old, *now, units.keys.size());
    Json table = Json::object();
    for (std::size_t from = 0; from < kKinds.size(); ++from) {
      for (std::size_t to = 0; to < kKinds.size(); ++to) {
        table[std::string(kKinds[from])][std::string(kKinds[to])] = found.table[from][to];
      }
    }
    Json flips = Json::array();
    for (const Flip& flip : found.flips) {
      UNDERSTUDY_TRY(const std::uint64_t id, ids_.of(units.keys[flip.position]));
      flips.push_back(
          {{"id", answer_id_text(id)}, {"before", kKinds[flip.before]}, {"now", kKinds[flip.now]}});
    }
    return Json{{"before", hex(before->hash)},  {"now", hex(current->hash)},
                {"answers", units.keys.size()}, {"changed", found.flips.size()},
                {"table", std::move(table)},    {"flips", std::move(flips)}};
  }

  Result<Screen> verdicts_of(std::int64_t grader, Arm arm, const Units& units, bool judged) {
    return judged ? judge_verdicts(study_.store, grader, arm, units)
                  : rule_verdicts(study_.store, grader, arm);
  }

  Study& study_;
  const Behavior& behavior_;
  AnswerIds ids_;
};

}  // namespace

Result<Json> compare_graders(Study& study, const std::string& behavior) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  std::vector<std::string> names;
  for (const Behavior& one : behaviors) {
    if (one.id == behavior) return Comparison(study, one).run();
    names.push_back(one.id);
  }
  return unexpected(ErrorCode::kUsage,
                    "this study does not grade such a behavior" + did_you_mean(behavior, names));
}

std::string comparison_text(const Json& comparison, std::size_t flips) {
  std::string out = fmt::format("{} v{}\n", comparison["behavior"].get<std::string>(),
                                comparison["version"].get<std::uint64_t>());
  for (const auto& [arm, one] : comparison["arms"].items()) {
    const auto answers = one["answers"].get<std::uint64_t>();
    const auto changed = one["changed"].get<std::uint64_t>();
    out += fmt::format("\n{}: {} answers, grader {} before, {} now\n", arm, with_commas(answers),
                       one["before"].get<std::string>().substr(0, 8),
                       one["now"].get<std::string>().substr(0, 8));
    for (const auto from : kKinds) {
      for (const auto to : kKinds) {
        const auto count = one["table"][std::string(from)][std::string(to)].get<std::uint64_t>();
        if (count == 0) continue;
        out += fmt::format("  {} {:>10} → {:<10} {:>11}\n", from == to ? ' ' : '*', from, to,
                           with_commas(count));
      }
    }
    out += fmt::format("  {} of {} changed\n", with_commas(changed), with_commas(answers));
    std::size_t shown = 0;
    for (const Json& flip : one["flips"]) {
      if (shown++ == flips) break;
      out += fmt::format("    {}  {} → {}\n", flip["id"].get<std::string>(),
                         flip["before"].get<std::string>(), flip["now"].get<std::string>());
    }
    if (changed > flips) out += fmt::format("    … and {} more (--json)\n", changed - flips);
  }
  return out;
}

}  // namespace understudy
