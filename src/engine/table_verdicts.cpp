// Verdicts that were made elsewhere, taken over into a study: the columns of a verdict table
// (`estimate --table`), with an answer named by arm, prefix and draw, or by its content id.

#include <unordered_map>
#include <unordered_set>

#include "base/text.hpp"
#include "engine/judge_grading.hpp"
#include "engine/units.hpp"
#include "engine/verification.hpp"
#include "estimate/table_reader.hpp"
#include "grading/labels.hpp"

namespace understudy {
namespace {

enum Column : std::size_t { kScreen, kId, kArm, kPrefix, kDraw, kBehavior };

struct TableVerdicts {
  std::unordered_map<std::int64_t, Verdict> by_key;
  std::unordered_map<std::uint64_t, Verdict> by_id;
};

std::optional<Verdict> verdict_of(std::string_view cell) {
  if (cell == "1" || cell == "present") return Verdict::kPresent;
  if (cell == "0" || cell == "absent") return Verdict::kAbsent;
  return cell == "ungradable" ? std::optional(Verdict::kUngradableCannotTell) : std::nullopt;
}

std::optional<Arm> arm_of(std::string_view cell) {
  for (const Arm arm : {Arm::kCandidate, Arm::kDeployed, Arm::kDeployedReplay}) {
    if (cell == arm_name(arm)) return arm;
  }
  return std::nullopt;
}

// The key of the answer that the row names by arm, prefix and draw.
Result<std::int64_t> key_of(const TableReader& table, const Units& logged) {
  const Cells cells = table.cells();
  const auto arm = arm_of(trimmed(cells[kArm]));
  const auto prefix = parse_count(trimmed(cells[kPrefix]));
  const std::string_view draw = trimmed(cells[kDraw]);
  const auto index = draw.empty() ? std::optional<std::uint64_t>(0) : parse_count(draw);
  if (!arm) {
    return table.error(
        "names no answer: give id, or arm (candidate, deployed, deployed_replay), "
        "prefix and draw");
  }
  if (!prefix || *prefix == 0 || *prefix > logged.keys.size()) {
    return table.error("this study has no prefix of this number");
  }
  if (!index || *index >= kDrawsPerPrefixMax) return table.error("draw is not a number from 0");
  if (*arm == Arm::kDeployed) return logged.keys[*prefix - 1];
  return pack_draw_key({.arm = *arm,
                        .prefix = static_cast<std::int64_t>(*prefix),
                        .index = static_cast<std::uint32_t>(*index)});
}

Result<TableVerdicts> read_table(const Behavior& behavior, const Units& logged) {
  UNDERSTUDY_TRY(TableReader table,
                 TableReader::open(behavior_folder(behavior) + "/" + behavior.table->path,
                                   {"screen", "id", "arm", "prefix", "draw", "behavior"}, 1));
  TableVerdicts verdicts;
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) return verdicts;
    const Cells cells = table.cells();
    const std::string_view name = trimmed(cells[kBehavior]);
    const std::string_view screen = trimmed(cells[kScreen]);
    if (screen.empty() || (!name.empty() && name != behavior.id)) continue;
    const auto verdict = verdict_of(screen);
    if (!verdict) return table.error("screen is not 1, 0 or ungradable");
    bool is_same = true;
    if (const std::string_view id = trimmed(cells[kId]); !id.empty()) {
      const auto answer = parse_answer_id(id);
      if (!answer) return table.error("id is not 16 hexadecimal digits");
      is_same = verdicts.by_id.emplace(*answer, *verdict).first->second == *verdict;
    } else {
      UNDERSTUDY_TRY(const std::int64_t key, key_of(table, logged));
      is_same = verdicts.by_key.emplace(key, *verdict).first->second == *verdict;
    }
    if (!is_same) return table.error("an earlier row says otherwise of the same answer");
  }
}

class TableRun {
 public:
  TableRun(Study& study, const Behavior& behavior) : study_(study), behavior_(behavior) {}

  Result<std::uint64_t> run(const Units& logged, AnswerIds& ids) {
    UNDERSTUDY_TRY(const TableVerdicts table, read_table(behavior_, logged));
    UNDERSTUDY_TRY(grader_, screen_grader(study_.store, behavior_, study_.config));
    std::uint64_t taken = 0;
    for (const Arm arm : study_arms(study_.config)) {
      UNDERSTUDY_TRY(Units units, arm == Arm::kDeployed ? logged_units_of_prefixes(study_.store)
                                                        : units_of(study_.store, arm));
      UNDERSTUDY_TRY(const std::uint64_t of_arm, take(arm, units, table, ids));
      taken += of_arm;
    }
    return taken;
  }

 private:
  Result<std::uint64_t> take(Arm arm, const Units& units, const TableVerdicts& table,
                             AnswerIds& ids) {
    std::unordered_set<std::int64_t> there;
    UNDERSTUDY_CHECK(study_.store.for_each_judgement(
        grader_, arm, [&](const DrawKey& key, Verdict) -> Result<void> {
          there.insert(pack_draw_key(key));
          return {};
        }));
    std::uint64_t taken = 0;
    for (const std::int64_t key : units.keys) {
      if (!there.insert(key).second) continue;
      std::optional<Verdict> verdict;
      if (const auto found = table.by_key.find(key); found != table.by_key.end()) {
        verdict = found->second;
      } else if (!table.by_id.empty()) {
        UNDERSTUDY_TRY(const std::uint64_t id, ids.of(key));
        const auto by_id = table.by_id.find(id);
        if (by_id != table.by_id.end()) verdict = by_id->second;
      }
      if (!verdict) continue;
      UNDERSTUDY_CHECK(
          study_.store.add_judgement(grader_, unpack_draw_key(key), *verdict, Completion{}));
      ++taken;
    }
    return taken;
  }

  Study& study_;
  const Behavior& behavior_;
  std::int64_t grader_ = 0;
};

}  // namespace

Result<std::uint64_t> take_table_verdicts(Study& study, const std::vector<Behavior>& behaviors) {
  std::uint64_t taken = 0;
  std::optional<Units> logged;
  AnswerIds ids(study.store);
  for (const Behavior& behavior : behaviors) {
    if (!behavior.table) continue;
    if (!logged) {
      UNDERSTUDY_TRY(logged, logged_units_of_prefixes(study.store));
    }
    UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
    UNDERSTUDY_TRY(const std::uint64_t more, TableRun(study, behavior).run(*logged, ids));
    UNDERSTUDY_CHECK(transaction.commit());
    taken += more;
  }
  return taken;
}

}  // namespace understudy
