#include "engine/labeling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/rng.hpp"
#include "base/text.hpp"
#include "engine/judge_grading.hpp"
#include "engine/verification.hpp"

namespace understudy {
namespace {

// Spreadsheets hold 32,767 characters a cell; what stands nearest to the answer matters most.
constexpr std::size_t kConversationBytesMax = 30'000;

Result<std::vector<Behavior>> study_behaviors(const Study& study) {
  return select_behaviors(study.config.grade.behaviors, study.directory());
}

// The content ids of all answers that the study holds, sorted.
Result<std::vector<std::uint64_t>> all_answer_ids(Study& study) {
  std::vector<std::uint64_t> ids;
  ProgressState state{.stage = "label", .unit = "answers"};
  for (const Arm arm : study_arms(study.config)) {
    const auto visit = [&](const AnswerView& answer) -> Result<void> {
      ids.push_back(answer_id(answer));
      ++state.done;
      study.world.progress.update(state);
      return {};
    };
    UNDERSTUDY_CHECK(for_each_answer(study.store, arm, visit));
  }
  study.world.progress.finish(state);
  std::sort(ids.begin(), ids.end());
  return ids;
}

// --- The queue

enum class Worth : std::uint8_t {
  kFlag,           ///< a flag that nothing has verified
  kDispute,        ///< graders or people disagree
  kAudit,          ///< of the audit, not verified
  kVerifiedFlag,   ///< a flag that a model has verified
  kVerifiedAudit,  ///< of the audit, verified by a model
  kSecond,         ///< to be labeled by a second annotator
};

struct Candidate {
  Worth worth = Worth::kFlag;
  std::uint64_t rank = 0;
  std::uint64_t answer = 0;
  std::int64_t key = 0;
  std::size_t behavior = 0;
  bool adjudicate = false;
};

class QueueBuilder {
 public:
  QueueBuilder(Study& study, const std::vector<Behavior>& behaviors, const QueueRequest& request,
               Labels labels)
      : study_(study),
        behaviors_(behaviors),
        request_(request),
        labels_(std::move(labels)),
        ids_(study.store) {}

  Result<std::vector<Candidate>> build() {
    UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study_));
    UNDERSTUDY_CHECK(draw_audits(study_, behaviors_, units));
    for (std::size_t i = 0; i < behaviors_.size(); ++i) {
      if (!request_.behavior.empty() && behaviors_[i].id != request_.behavior) continue;
      for (const auto& [arm, all] : units.arms) {
        UNDERSTUDY_CHECK(add(i, arm, units.screened(behaviors_[i], arm)));
      }
    }
    std::sort(found_.begin(), found_.end(), [](const Candidate& a, const Candidate& b) {
      return std::tie(a.worth, a.rank, a.behavior, a.answer, a.key) <
             std::tie(b.worth, b.rank, b.behavior, b.answer, b.key);
    });
    // Equal answers, in one arm or several, are labeled once.
    std::set<std::pair<std::size_t, std::uint64_t>> taken;
    std::erase_if(found_, [&](const Candidate& one) {
      return !taken.emplace(one.behavior, one.answer).second;
    });
    return std::move(found_);
  }

 private:
  Result<void> add(std::size_t behavior, Arm arm, const Units& units) {
    const Behavior& of = behaviors_[behavior];
    UNDERSTUDY_TRY(const auto screen, screen_of(study_, of, arm, units));
    if (!screen) return {};
    UNDERSTUDY_TRY(const ModelVerdicts models, model_verdicts(study_, of, arm));
    UNDERSTUDY_TRY(const auto designed, designed_units(study_.store, *screen, arm, units));
    for (const DesignedUnit& one : designed) {
      UNDERSTUDY_CHECK(consider(behavior, one.key, one.flag, models));
    }
    return {};
  }

  Result<void> consider(std::size_t behavior, std::int64_t key, bool flag,
                        const ModelVerdicts& models) {
    const Behavior& of = behaviors_[behavior];
    UNDERSTUDY_TRY(const std::uint64_t answer, ids_.of(key));
    const std::span<const Label> labels = labels_.of(of.id, answer);
    const auto by_annotator = [&](const Label& label) {
      return label.annotator == request_.annotator;
    };
    if (std::any_of(labels.begin(), labels.end(), by_annotator)) return {};
    Candidate one{.rank = verification_rank(study_.config, of, key),
                  .answer = answer,
                  .key = key,
                  .behavior = behavior};
    const auto model = models.find(key);
    const bool verified = model != models.end();
    if (labels.empty()) {
      const bool disputed = verified && (model->second == Verdict::kPresent) != flag;
      one.worth = disputed   ? Worth::kDispute
                  : verified ? (flag ? Worth::kVerifiedFlag : Worth::kVerifiedAudit)
                  : flag     ? Worth::kFlag
                             : Worth::kAudit;
    } else if (decide(labels) == Decision::kTie) {
      one.worth = Worth::kDispute;
      one.adjudicate = true;
    } else if (labels.size() == 1 && !request_.annotator.empty() && chosen_for_second(of, answer)) {
      one.worth = Worth::kSecond;
    } else {
      return {};
    }
    found_.push_back(one);
    return {};
  }

  [[nodiscard]] bool chosen_for_second(const Behavior& behavior, std::uint64_t answer) const {
    const std::uint64_t stream = hash64({"second label", study_.config.sample.seed, behavior.id});
    return Rng(stream, answer).uniform() < request_.doubly;
  }

  Study& study_;
  const std::vector<Behavior>& behaviors_;
  const QueueRequest& request_;
  Labels labels_;
  AnswerIds ids_;
  std::vector<Candidate> found_;
};

// Text of a log in a terminal or a spreadsheet: line by line without what could drive either.
std::string safe_text(std::string_view text) {
  std::string out;
  for (const std::string_view line : split(text, '\n')) {
    if (!out.empty()) out += '\n';
    out += terminal_safe(line);
  }
  return out;
}

std::string calls_text(std::span<const ToolCall> calls) {
  std::string out;
  for (const ToolCall& call : calls) {
    out += fmt::format("\n[calls {} {}]", safe_text(call.name), safe_text(call.arguments));
  }
  return out;
}

// Every cell begins with a bracket: a spreadsheet takes a text that begins with = as a formula.
std::string conversation_text(std::span<const Message> messages) {
  std::string out;
  std::size_t from = messages.size();
  while (from > 0) {
    const Message& message = messages[from - 1];
    std::string text = fmt::format("[{}]\n{}{}", role_name(message.role),
                                   safe_text(message.content), calls_text(message.tool_calls));
    if (!out.empty() && out.size() + text.size() > kConversationBytesMax) break;
    out = out.empty() ? std::move(text) : fmt::format("{}\n\n{}", text, out);
    --from;
  }
  return from == 0 ? out : fmt::format("[{} earlier messages left out]\n\n{}", from, out);
}

std::string answer_text(const AnswerView& answer) {
  return fmt::format("[answer]\n{}{}{}", safe_text(answer.content), calls_text(answer.tool_calls),
                     answer.cut_by_window ? "\n[the graded part ends here]" : "");
}

// --- Status

// What is left to label, by behavior and kind.
Json left_to_label(const std::vector<Behavior>& behaviors,
                   const std::vector<Candidate>& candidates) {
  const auto count = [&](std::size_t behavior, std::initializer_list<Worth> kinds) {
    return std::count_if(candidates.begin(), candidates.end(), [&](const Candidate& one) {
      return one.behavior == behavior &&
             std::find(kinds.begin(), kinds.end(), one.worth) != kinds.end();
    });
  };
  Json left = Json::object();
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    left[behaviors[i].id] = {{"flags", count(i, {Worth::kFlag, Worth::kVerifiedFlag})},
                             {"disputes", count(i, {Worth::kDispute})},
                             {"audit", count(i, {Worth::kAudit, Worth::kVerifiedAudit})}};
  }
  return left;
}

std::string agreement_text(const Json& agreement) {
  if (agreement.is_null()) return "-";
  return fmt::format("{:.2f} ({:.2f} to {:.2f})", agreement["value"].get<double>(),
                     agreement["lo"].get<double>(), agreement["hi"].get<double>());
}

}  // namespace

Result<LabelImport> import_labels(Study& study, const std::string& path, LabelDefaults defaults) {
  UNDERSTUDY_TRY(const std::vector<Behavior> graded, study_behaviors(study));
  std::vector<std::string> names;
  for (const Behavior& behavior : graded) names.push_back(behavior.id);
  for (const Behavior& behavior : built_in_behaviors()) names.push_back(behavior.id);
  if (!defaults.behavior.empty() &&
      std::find(names.begin(), names.end(), defaults.behavior) == names.end()) {
    return unexpected(ErrorCode::kUsage,
                      "--behavior: no such behavior" + did_you_mean(defaults.behavior, names));
  }
  if (defaults.behavior.empty() && graded.size() == 1) defaults.behavior = graded.front().id;
  UNDERSTUDY_TRY(LabelFile file, read_label_file(path, defaults, names));
  UNDERSTUDY_TRY(const Labels before, study_labels(study.directory()));
  UNDERSTUDY_TRY(const std::vector<std::uint64_t> ids, all_answer_ids(study));

  LabelImport done{.unlabeled = file.unlabeled, .bad = std::move(file.bad)};
  std::vector<Label> all(before.all().begin(), before.all().end());
  for (LabelRow& row : file.rows) {
    const Label* const there = before.find(row.label);
    if (there != nullptr && there->target == row.label.target) {
      ++done.known;
    } else if (there != nullptr) {
      done.bad.push_back(
          {row.where, "this annotator labeled this answer otherwise before: use a later round"});
    } else if (!std::binary_search(ids.begin(), ids.end(), row.label.answer)) {
      done.bad.push_back({row.where, "no answer in this study has this id"});
    } else {
      all.push_back(std::move(row.label));
      ++done.added;
    }
  }
  std::sort(done.bad.begin(), done.bad.end(), [](const BadRow& a, const BadRow& b) {
    return a.where.byte_offset < b.where.byte_offset;
  });
  if (done.added > 0) {
    UNDERSTUDY_CHECK(write_study_labels(study.directory(), Labels(std::move(all))));
  }
  return done;
}

Json to_json(const LabelImport& done) {
  Json bad = Json::array();
  for (const BadRow& row : done.bad) {
    bad.push_back({{"file", row.where.file},
                   {"line", row.where.line.value_or(0)},
                   {"byte_offset", row.where.byte_offset.value_or(0)},
                   {"reason", row.reason}});
  }
  return {{"schema", "understudy.label_import/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"added", done.added},
          {"already_there", done.known},
          {"without_target", done.unlabeled},
          {"rejected", std::move(bad)}};
}

Result<std::vector<QueueItem>> label_queue(Study& study, const QueueRequest& request) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors, study_behaviors(study));
  std::vector<std::string> names;
  for (const Behavior& behavior : behaviors) names.push_back(behavior.id);
  if (!request.behavior.empty() &&
      std::find(names.begin(), names.end(), request.behavior) == names.end()) {
    return unexpected(ErrorCode::kUsage, "--behavior: this study does not grade it" +
                                             did_you_mean(request.behavior, names));
  }
  UNDERSTUDY_TRY(Labels labels, study_labels(study.directory()));
  UNDERSTUDY_TRY(const std::vector<Candidate> candidates,
                 QueueBuilder(study, behaviors, request, std::move(labels)).build());
  UNDERSTUDY_TRY(AnswerFinder finder, AnswerFinder::open(study.store));
  std::vector<QueueItem> items;
  for (const Candidate& one : candidates) {
    if (items.size() == request.size) break;
    UNDERSTUDY_TRY(const AnswerView answer, finder.find(unpack_draw_key(one.key)));
    items.push_back({.answer = one.answer,
                     .behavior = behaviors[one.behavior].id,
                     .adjudicate = one.adjudicate,
                     .conversation = conversation_text(answer.prefix),
                     .text = answer_text(answer)});
  }
  return items;
}

std::string queue_csv(const std::vector<QueueItem>& items, const std::string& annotator) {
  std::string out = "id,behavior,annotator,target,round,conversation,answer\n";
  for (const QueueItem& item : items) {
    out += fmt::format("{},{},{},,{},{},{}\n", answer_id_text(item.answer), csv_cell(item.behavior),
                       csv_cell(annotator), round_name(item.adjudicate ? kAdjudication : 1),
                       csv_cell(item.conversation), csv_cell(item.text));
  }
  return out;
}

Json to_json(const std::vector<QueueItem>& items) {
  Json list = Json::array();
  for (const QueueItem& item : items) {
    list.push_back({{"id", answer_id_text(item.answer)},
                    {"behavior", item.behavior},
                    {"round", round_name(item.adjudicate ? kAdjudication : 1)},
                    {"conversation", item.conversation},
                    {"answer", item.text}});
  }
  return {{"schema", "understudy.label_queue/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"queue", std::move(list)}};
}

Result<Json> label_status(Study& study) {
  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors, study_behaviors(study));
  UNDERSTUDY_TRY(const Labels labels, study_labels(study.directory()));
  UNDERSTUDY_TRY(const std::vector<std::uint64_t> ids, all_answer_ids(study));
  std::set<std::string> annotators;
  std::uint64_t elsewhere = 0;
  std::vector<std::string> names;  // of behaviors that have labels
  for (const Label& label : labels.all()) {
    annotators.insert(label.annotator);
    if (names.empty() || names.back() != label.behavior) names.push_back(label.behavior);
    if (!std::binary_search(ids.begin(), ids.end(), label.answer)) ++elsewhere;
  }
  Json list = Json::array();
  for (const std::string& name : names) {
    const std::uint64_t seed = hash64({"agreement", study.config.sample.seed, name});
    list.push_back(to_json(label_agreement(labels.of(name), seed)));
  }
  const QueueRequest everything{
      .behavior = {}, .annotator = {}, .size = static_cast<std::size_t>(-1), .doubly = 0};
  UNDERSTUDY_TRY(const std::vector<Candidate> candidates,
                 QueueBuilder(study, behaviors, everything, labels).build());
  return Json{
      {"schema", "understudy.labels/1"}, {"understudy_version", UNDERSTUDY_VERSION},
      {"labels", labels.all().size()},   {"attached", labels.all().size() - elsewhere},
      {"without_answer", elsewhere},     {"annotators", annotators.size()},
      {"behaviors", std::move(list)},    {"left_to_label", left_to_label(behaviors, candidates)}};
}

std::string label_status_text(const Json& status) {
  const auto number = [](const Json& json) { return with_commas(json.get<std::uint64_t>()); };
  std::string out = fmt::format("{} labels by {} annotators; {} belong to answers of this study",
                                number(status["labels"]), number(status["annotators"]),
                                number(status["attached"]));
  out += fmt::format(", {} to texts that it does not hold\n", number(status["without_answer"]));
  if (!status["behaviors"].empty()) {
    out += fmt::format("\n{:<27} {:>7} {:>8} {:>6} {:>4}  {:<22} {}\n", "", "labels", "answers",
                       "twice", "tie", "Cohen's kappa", "Krippendorff's alpha");
  }
  for (const Json& one : status["behaviors"]) {
    out += fmt::format("{:<27} {:>7} {:>8} {:>6} {:>4}  {:<22} {}\n",
                       terminal_safe(one["name"].get<std::string>()), number(one["labels"]),
                       number(one["answers"]), number(one["labeled_twice"]),
                       number(one["to_adjudicate"]), agreement_text(one["cohen_kappa"]),
                       agreement_text(one["krippendorff_alpha"]));
  }
  out += fmt::format("\n{:<27} {:>7} {:>8} {:>6}\n", "left to label", "flags", "disputes", "audit");
  for (const auto& [name, left] : status["left_to_label"].items()) {
    out += fmt::format("{:<27} {:>7} {:>8} {:>6}\n", name, number(left["flags"]),
                       number(left["disputes"]), number(left["audit"]));
  }
  return out;
}

}  // namespace understudy
