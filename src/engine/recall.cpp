#include "engine/recall.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <unordered_map>

#include "base/file.hpp"
#include "engine/judge_grading.hpp"
#include "estimate/side_tables.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// What the report calls the screen of a behavior.
std::string screen_name(const Behavior& behavior, const StudyConfig& config) {
  const auto role = screening_role(behavior);
  if (!role) return "rule";
  const auto model = config.roles.find(*role);
  if (model != config.roles.end()) return model->second.model;
  return has_screen(behavior, config) ? *role : std::string();
}

class RecallReader {
 public:
  RecallReader(Study& study, const std::vector<Behavior>& behaviors, const Labels& labels)
      : study_(study), behaviors_(behaviors), labels_(labels) {}

  Result<StudyRecall> read() {
    UNDERSTUDY_CHECK(read_file());
    UNDERSTUDY_TRY(known_, KnownCases::load(study_.directory(), behaviors_));
    UNDERSTUDY_CHECK(count_known());
    UNDERSTUDY_CHECK(count_finds());
    StudyRecall recall;
    for (auto& [where, channel] : counted_) {
      recall.by_behavior[std::get<0>(where)].push_back(std::move(channel));
    }
    for (const char* name : {"recall.csv", "known.jsonl"}) {
      const std::string path = study_.directory() + "/" + name;
      if (!exists(path)) continue;
      const auto text = file_bytes(path);
      if (!text) return unexpected(ErrorCode::kInput, "cannot be read", {path, {}, {}});
      recall.identity += (recall.identity.empty() ? "" : " ") + hex(sha256(*text));
    }
    return recall;
  }

 private:
  void count(const Behavior& behavior, const std::string& channel, const std::string& source_model,
             Verdict verdict, bool transferred) {
    if (verdict > Verdict::kPresent) return;  // not gradable: in the rates it is missing as well
    RecallChannel& row = counted_[{behavior.id, channel, source_model, "", ""}];
    row.channel = channel;
    row.judge = screen_name(behavior, study_.config);
    row.source_model = source_model;
    row.transferred = transferred;
    ++row.positives;
    if (verdict == Verdict::kPresent) ++row.flagged;
  }

  Result<void> read_file() {
    const std::string path = study_.directory() + "/recall.csv";
    if (!exists(path)) return {};
    UNDERSTUDY_TRY(const std::vector<RecallRow> rows, read_recall(path));
    for (const RecallRow& row : rows) {
      UNDERSTUDY_CHECK(check_behavior_name(row.behavior, behaviors_, {path, {}, {}}));
      const auto found = std::find_if(behaviors_.begin(), behaviors_.end(),
                                      [&](const Behavior& one) { return one.id == row.behavior; });
      if (found == behaviors_.end()) continue;  // not graded in this study
      RecallChannel channel = row.channel;
      const auto differs = [](const std::string& named, const std::string& here) {
        return !named.empty() && named != here;
      };
      channel.transferred = differs(channel.judge, screen_name(*found, study_.config)) ||
                            differs(channel.source_model, study_.config.candidate.model);
      channel.stale = differs(row.version, std::to_string(found->version));
      counted_[{row.behavior, channel.channel, channel.source_model, channel.judge + " (file)",
                row.version}] = std::move(channel);
    }
    return {};
  }

  Result<void> count_known() {
    UNDERSTUDY_TRY(const RuleGraders rules, RuleGraders::build(behaviors_));
    std::vector<Verdict> by_rule(behaviors_.size());
    for (std::size_t i = 0; i < behaviors_.size(); ++i) {
      const Behavior& behavior = behaviors_[i];
      std::unordered_map<std::int64_t, Verdict> judged;
      if (is_screened_by_judge(behavior)) {
        if (screen_name(behavior, study_.config).empty()) continue;
        UNDERSTUDY_TRY(const std::int64_t grader,
                       screen_grader(study_.store, behavior, study_.config));
        UNDERSTUDY_CHECK(study_.store.for_each_judgement(
            grader, kKnownArm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
              judged.emplace(pack_draw_key(key), verdict);
              return {};
            }));
      }
      for (const KnownCase& known : known_.all()) {
        if (known.behavior != behavior.id || known.stored) continue;
        Verdict verdict = Verdict::kNotGradedNotSelected;
        if (!is_screened_by_judge(behavior)) {
          rules.grade(known.view(), by_rule);
          verdict = by_rule[i];
        } else if (const auto found = judged.find(known.key); found != judged.end()) {
          verdict = found->second;
        }
        count(behavior, known.channel, known.source_model, verdict,
              known.source_model != study_.config.candidate.model);
      }
    }
    return {};
  }

  Result<void> count_finds() {
    const auto is_find = [](const KnownCase& known) { return known.stored.has_value(); };
    if (std::none_of(known_.all().begin(), known_.all().end(), is_find)) return {};
    UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study_));
    UNDERSTUDY_TRY(places_, locate_finds(study_.store, units, known_));
    for (const Behavior& behavior : behaviors_) {
      for (const auto& [arm, all] : units.arms) {
        UNDERSTUDY_CHECK(count_finds(behavior, arm, units.screened(behavior, arm)));
      }
    }
    return {};
  }

  Result<void> count_finds(const Behavior& behavior, Arm arm, const Units& units) {
    std::unordered_map<std::int64_t, std::size_t> wanted;  // by key: the case
    for (std::size_t i = 0; i < known_.all().size(); ++i) {
      const KnownCase& known = known_.all()[i];
      if (!known.stored || known.behavior != behavior.id) continue;
      if (decide(labels_.of(behavior.id, *known.stored)) == Decision::kAbsent) continue;
      // Equal answers are one find.
      for (const std::int64_t key : places_[*known.stored]) {
        if (unpack_draw_key(key).arm != arm) continue;
        wanted.emplace(key, i);
        break;
      }
    }
    if (wanted.empty()) return {};
    UNDERSTUDY_TRY(const auto screen, screen_of(study_, behavior, arm, units));
    if (!screen) return {};
    const std::string model = arm == Arm::kCandidate  ? study_.config.candidate.model
                              : arm == Arm::kDeployed ? study_.config.logs.model
                                                      : study_.config.deployed->model;
    auto next = screen->verdicts.begin();
    for (std::size_t i = 0; i < units.keys.size(); ++i) {
      while (next != screen->verdicts.end() && next->position < i) ++next;
      const auto found = wanted.find(units.keys[i]);
      if (found == wanted.end()) continue;
      const bool here = next != screen->verdicts.end() && next->position == i;
      count(behavior, known_.all()[found->second].channel, model,
            here ? next->verdict : Verdict::kAbsent, arm != Arm::kCandidate);
    }
    return {};
  }

  Study& study_;
  const std::vector<Behavior>& behaviors_;
  const Labels& labels_;
  KnownCases known_;
  FindPlaces places_;
  // By behavior, channel, source model, and for rows of the file judge and version.
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>,
           RecallChannel>
      counted_;
};

}  // namespace

Result<FindPlaces> locate_finds(StudyStore& store, const StudyUnits& units,
                                const KnownCases& known) {
  FindPlaces places;
  for (const KnownCase& one : known.all()) {
    if (one.stored) places[*one.stored];
  }
  if (places.empty()) return places;
  for (const auto& [arm, of_arm] : units.arms) {
    std::size_t position = 0;
    UNDERSTUDY_CHECK(for_each_answer(store, arm, [&](const AnswerView& answer) -> Result<void> {
      const auto found = places.find(answer_id(answer));
      if (found != places.end()) found->second.push_back(of_arm.keys.at(position));
      ++position;
      return {};
    }));
  }
  return places;
}

Result<StudyRecall> study_recall(Study& study, const std::vector<Behavior>& behaviors,
                                 const Labels& labels) {
  return RecallReader(study, behaviors, labels).read();
}

}  // namespace understudy
