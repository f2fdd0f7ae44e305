#include "engine/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>

#include "engine/judge_grading.hpp"
#include "engine/known_cases.hpp"
#include "engine/label_file.hpp"
#include "engine/recall.hpp"
#include "engine/verification.hpp"
#include "estimate/rates.hpp"
#include "grading/open_question.hpp"

namespace understudy {
namespace {

constexpr std::string_view kAnswersKey = "audit_answers";
constexpr std::string_view kHiddenChannel = "hidden";
constexpr std::uint64_t kHiddenMin = 5;  // known cases of each behavior, where there are as many

// 60 bits of the content id: two of a million texts share a key with probability 4e-7.
std::int64_t content_key(std::uint64_t id) {
  return pack_draw_key({.arm = kKnownArm,
                        .prefix = static_cast<std::int64_t>(id >> 20),
                        .index = static_cast<std::uint32_t>(id & 0xFFFF)});
}

// What the auditor is told, and what it said.
struct Question {
  Behavior behavior;
  std::set<std::int64_t> keys = {};  ///< content keys that it is asked about
  std::int64_t grader = 0;
  std::unordered_map<std::int64_t, Verdict> verdicts = {};
};

struct RecallCase {
  std::size_t row = 0;       ///< of the readings
  std::size_t question = 0;  ///< 0: nothing is hidden
  std::int64_t key = 0;
};

class Auditing {
 public:
  Auditing(Study& study, AnswerPairs& pairs) : study_(study), pairs_(pairs), ids_(study.store) {}

  Result<std::optional<AuditReadings>> run(std::optional<std::uint64_t> ask) {
    const auto auditor = study_.config.roles.find("auditor");
    if (auditor == study_.config.roles.end()) {
      if (!ask) return std::optional<AuditReadings>();
      return unexpected(ErrorCode::kUsage, "this study has no auditor: set roles.auditor");
    }
    UNDERSTUDY_TRY(const std::uint64_t of_any, stored_count(std::string(kAnswersKey)));
    if (!ask && of_any == 0) return std::optional<AuditReadings>();
    UNDERSTUDY_TRY(behaviors_, select_behaviors(study_.config.grade.behaviors, study_.directory()));
    questions_.push_back({.behavior = open_question(behaviors_)});
    UNDERSTUDY_TRY(const std::int64_t grader,
                   judge_grader(study_.store, questions_[0].behavior, study_.config, "auditor"));
    answers_key_ = fmt::format("{} {}", kAnswersKey, grader);
    UNDERSTUDY_TRY(before_, stored_count(answers_key_));
    out_.answers = std::min(pairs_.count(), ask.value_or(before_ > 0 ? before_ : of_any));
    if (out_.answers == 0) return std::optional<AuditReadings>();
    out_.auditor = auditor->second.model;
    out_.named = behaviors_.size();
    out_.uniform = !study_.config.sample.by_risk;
    UNDERSTUDY_CHECK(choose());
    if (ask) UNDERSTUDY_CHECK(put());
    UNDERSTUDY_CHECK(read());
    return std::optional(std::move(out_));
  }

 private:
  Result<std::uint64_t> stored_count(const std::string& key) {
    UNDERSTUDY_TRY(const auto stored, study_.store.meta(key));
    std::uint64_t count = 0;
    if (stored) std::from_chars(stored->data(), stored->data() + stored->size(), count);
    return count;
  }

  Result<void> choose() {
    UNDERSTUDY_TRY(finder_, AnswerFinder::open(study_.store));
    // A pair's rank never changes: more answers are these and others.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranked;
    for (std::uint64_t id = 0; id < pairs_.count(); ++id) {
      ranked.emplace_back(hash64({"open-ended audit", study_.config.sample.seed,
                                  std::to_string(pack_draw_key(pairs_.key(id, true)))}),
                          id);
    }
    std::sort(ranked.begin(), ranked.end());
    for (std::uint64_t i = 0; i < out_.answers; ++i) sample_.push_back(ranked[i].second);
    std::sort(sample_.begin(), sample_.end());
    for (const std::uint64_t pair : sample_) {
      for (const bool candidate : {true, false}) {
        UNDERSTUDY_TRY(const std::int64_t key, add_draw(0, pairs_.key(pair, candidate)));
        sample_keys_.push_back(key);
      }
    }
    UNDERSTUDY_TRY(const Labels labels, study_labels(study_.directory()));
    UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study_));
    UNDERSTUDY_CHECK(choose_hidden(labels, units));
    return choose_known(labels, units);
  }

  Result<std::int64_t> add_draw(std::size_t question, const DrawKey& draw) {
    UNDERSTUDY_TRY(const std::uint64_t id, ids_.of(pack_draw_key(draw)));
    const std::int64_t key = content_key(id);
    draws_.emplace(key, draw);
    questions_[question].keys.insert(key);
    return key;
  }

  std::size_t question_without(const std::string& behavior) {
    const auto [at, is_new] = hiding_.emplace(behavior, questions_.size());
    if (is_new) questions_.push_back({.behavior = open_question(behaviors_, behavior)});
    return at->second;
  }

  // Stored answers that show a named behavior, as far as the study knows: each is asked about with
  // the behavior on the list and off it.
  Result<void> choose_hidden(const Labels& labels, const StudyUnits& units) {
    std::map<std::string, std::vector<std::pair<std::uint64_t, std::int64_t>>> ranked;
    for (const Behavior& behavior : behaviors_) {
      for (const Arm arm : {Arm::kCandidate, Arm::kDeployed}) {
        const Units& of_arm = units.screened(behavior, arm);
        UNDERSTUDY_TRY(const auto screen, screen_of(study_, behavior, arm, of_arm));
        if (!screen) continue;
        UNDERSTUDY_TRY(const auto verified,
                       verified_units(study_, behavior, arm, of_arm, *screen, labels, ids_));
        for (const VerifiedUnit& unit : verified) {
          if (!unit.present.value_or(unit.screen == Verdict::kPresent)) continue;
          const std::int64_t key = of_arm.keys.at(unit.position);
          ranked[behavior.id].emplace_back(verification_rank(study_.config, behavior, key), key);
        }
      }
    }
    for (auto& [behavior, keys] : ranked) {
      std::sort(keys.begin(), keys.end());
      const std::uint64_t most = std::max(kHiddenMin, out_.answers / (2 * ranked.size()));
      const std::size_t question = question_without(behavior);
      const std::size_t row = row_of(behavior, kHiddenChannel);
      std::set<std::int64_t> once;
      for (std::size_t i = 0; i < keys.size() && once.size() < most; ++i) {
        const DrawKey draw = unpack_draw_key(keys[i].second);
        UNDERSTUDY_TRY(const std::int64_t key, add_draw(question, draw));
        if (once.insert(key).second) add_case(row, question, key);
      }
    }
    return {};
  }

  Result<void> choose_known(const Labels& labels, const StudyUnits& units) {
    UNDERSTUDY_TRY(known_, KnownCases::load(study_.directory(), behaviors_));
    UNDERSTUDY_TRY(const FindPlaces places, locate_finds(study_.store, units, known_));
    for (const KnownCase& known : known_.all()) {
      // Examples of behavior files are clear cases: they would flatter the auditor.
      if (known.channel == kExamplesChannel) continue;
      const bool named = std::any_of(behaviors_.begin(), behaviors_.end(),
                                     [&](const Behavior& one) { return one.id == known.behavior; });
      const std::size_t question = named ? question_without(known.behavior) : 0;
      const std::size_t row = row_of(known.behavior, known.channel);
      if (!known.stored) {
        const std::int64_t key = content_key(answer_id(known.view()));
        texts_.emplace(key, &known);
        add_case(row, question, key);
      } else if (decide(labels.of(known.behavior, *known.stored)) == Decision::kAbsent) {
        continue;
      } else if (const auto& found = places.at(*known.stored); found.empty()) {
        ++out_.recall[row].cases;
        ++out_.recall[row].gone;
      } else {
        UNDERSTUDY_TRY(const std::int64_t key, add_draw(question, unpack_draw_key(found.front())));
        add_case(row, question, key);
      }
    }
    return {};
  }

  // A behavior's case counts once, whichever channels it came by.
  void add_case(std::size_t row, std::size_t question, std::int64_t key) {
    questions_[question].keys.insert(key);
    questions_[0].keys.insert(key);
    if (!cases_of_[out_.recall[row].behavior].insert(key).second) return;
    cases_.push_back({row, question, key});
  }

  std::size_t row_of(const std::string& behavior, std::string_view channel) {
    const auto [at, is_new] =
        rows_.emplace(std::pair(behavior, std::string(channel)), out_.recall.size());
    if (is_new) out_.recall.push_back({.behavior = behavior, .channel = std::string(channel)});
    return at->second;
  }

  Result<AnswerView> answer_of(std::int64_t key) {
    if (const auto text = texts_.find(key); text != texts_.end()) return text->second->view();
    return finder_->find(draws_.at(key));
  }

  Result<void> put() {
    {
      UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
      UNDERSTUDY_CHECK(study_.store.set_meta(kAnswersKey, std::to_string(out_.answers)));
      UNDERSTUDY_CHECK(
          study_.store.set_meta(answers_key_, std::to_string(std::max(before_, out_.answers))));
      UNDERSTUDY_CHECK(transaction.commit());
    }
    JudgeRun run{.role = "auditor"};
    std::vector<const Behavior*> asked;
    std::map<std::string, const Question*> by_id;
    for (const Question& question : questions_) {
      asked.push_back(&question.behavior);
      by_id.emplace(question.behavior.id, &question);
    }
    run.arms = {kKnownArm};
    run.outside = [this](std::int64_t key) -> Result<std::optional<AnswerView>> {
      UNDERSTUDY_TRY(const AnswerView answer, answer_of(key));
      return std::optional(answer);
    };
    run.grader = [this](const Behavior& behavior) {
      return judge_grader(study_.store, behavior, study_.config, "auditor");
    };
    run.keys = [&](const Behavior& behavior, Arm) -> Result<std::vector<std::int64_t>> {
      const std::set<std::int64_t>& wanted = by_id.at(behavior.id)->keys;
      return std::vector<std::int64_t>(wanted.begin(), wanted.end());
    };
    UNDERSTUDY_TRY([[maybe_unused]] const std::uint64_t count, run_judge(study_, asked, run));
    return {};
  }

  Result<void> read() {
    for (Question& question : questions_) {
      UNDERSTUDY_TRY(question.grader,
                     judge_grader(study_.store, question.behavior, study_.config, "auditor"));
      UNDERSTUDY_CHECK(study_.store.for_each_judgement(
          question.grader, kKnownArm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
            question.verdicts.emplace(pack_draw_key(key), verdict);
            return {};
          }));
    }
    for (std::size_t i = 0; i < sample_.size(); ++i) {
      UNDERSTUDY_TRY(const bool candidate, read_answer(sample_[i], true, sample_keys_[2 * i]));
      UNDERSTUDY_TRY(const bool logged, read_answer(sample_[i], false, sample_keys_[2 * i + 1]));
      if (candidate && logged) out_.pairs.push_back(sample_[i]);
    }
    for (const RecallCase& one : cases_) count(one);
    return {};
  }

  [[nodiscard]] std::optional<Verdict> verdict_of(std::size_t question, std::int64_t key) const {
    const auto found = questions_[question].verdicts.find(key);
    return found == questions_[question].verdicts.end() ? std::nullopt
                                                        : std::optional(found->second);
  }

  [[nodiscard]] static bool is_decided(const std::optional<Verdict>& verdict) {
    return verdict && *verdict <= Verdict::kPresent;
  }

  // Of AuditCounts or AuditRecallRow.
  static void count_reason(Verdict verdict, auto& counts) {
    auto& reasons = is_ungradable(verdict) ? counts.ungradable : counts.not_graded;
    ++reasons[std::string(verdict_name(verdict))];
  }

  // Whether it has a verdict.
  Result<bool> read_answer(std::uint64_t pair, bool candidate, std::int64_t key) {
    AuditCounts& counts = candidate ? out_.candidate : out_.logged;
    ++counts.asked;
    const auto verdict = verdict_of(0, key);
    if (!verdict) {
      ++counts.left;
    } else if (*verdict == Verdict::kAbsent) {
      ++counts.nothing;
    } else if (*verdict != Verdict::kPresent) {
      count_reason(*verdict, counts);
    } else {
      ++counts.noted;
      UNDERSTUDY_TRY(AuditNote note, note_of(key));
      note.pair = pair;
      note.candidate = candidate;
      out_.notes.push_back(std::move(note));
    }
    if (verdict && candidate) out_.read.push_back({pair, is_decided(verdict)});
    return is_decided(verdict);
  }

  Result<AuditNote> note_of(std::int64_t key) {
    const Question& question = questions_[0];
    UNDERSTUDY_TRY(const auto stored,
                   study_.store.judge_answer(question.grader, unpack_draw_key(key)));
    UNDERSTUDY_TRY(const AnswerView answer, answer_of(key));
    const auto* const said = stored ? std::get_if<Completion>(&*stored) : nullptr;
    if (said == nullptr) return unexpected(ErrorCode::kInfrastructure, "a stored note is damaged");
    const JudgeVerdict verdict =
        parse_judge_answer(question.behavior, said->content, said->finish, answer.prefix.size());
    AuditNote note;
    note.description = verdict.description;
    for (const Evidence& evidence : verdict.evidence) {
      note.messages.push_back(evidence.where == EvidenceWhere::kAnswer ? answer.prefix.size() + 1
                                                                       : evidence.index + 1);
    }
    return note;
  }

  void count(const RecallCase& one) {
    AuditRecallRow& row = out_.recall[one.row];
    ++row.cases;
    const auto hidden = verdict_of(one.question, one.key);
    const auto listed = verdict_of(0, one.key);
    if (!hidden || !listed) {
      ++row.left;
    } else if (one.question != 0 && listed == Verdict::kPresent) {
      ++row.undecided;
    } else {
      // Without a verdict it was read and not found.
      ++row.known;
      const auto& lacks = is_decided(hidden) ? listed : hidden;
      if (!is_decided(lacks)) {
        count_reason(*lacks, row);
      } else {
        row.found += hidden == Verdict::kPresent ? 1U : 0U;
      }
    }
  }

  Study& study_;
  AnswerPairs& pairs_;
  AnswerIds ids_;
  std::optional<AnswerFinder> finder_;
  std::vector<Behavior> behaviors_;
  KnownCases known_;
  std::vector<Question> questions_;  ///< the first has the whole list
  std::map<std::string, std::size_t> hiding_;
  std::map<std::pair<std::string, std::string>, std::size_t> rows_;
  std::vector<std::uint64_t> sample_;      ///< pairs, ascending
  std::vector<std::int64_t> sample_keys_;  ///< of each: candidate, logged
  std::vector<RecallCase> cases_;
  std::map<std::string, std::set<std::int64_t>> cases_of_;  ///< by behavior: keys
  std::string answers_key_;                                 ///< of this auditor with this list
  std::uint64_t before_ = 0;                                ///< the most that it was asked
  std::unordered_map<std::int64_t, DrawKey> draws_;         ///< by content key
  std::unordered_map<std::int64_t, const KnownCase*> texts_;
  AuditReadings out_;
};

}  // namespace

Result<std::optional<AuditReadings>> audit(Study& study, AnswerPairs& pairs,
                                           std::optional<std::uint64_t> ask) {
  return Auditing(study, pairs).run(ask);
}

}  // namespace understudy
