#include "engine/judge_grading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "engine/graded_answer.hpp"
#include "engine/known_cases.hpp"
#include "engine/units.hpp"
#include "engine/verification.hpp"
#include "grading/judge.hpp"

namespace understudy {
namespace {

constexpr std::uint32_t kAttemptsMax = 3;

struct JudgeTask {
  std::size_t behavior = 0;
  std::int64_t key = 0;     ///< packed DrawKey of the answer
  std::uint64_t order = 0;  ///< seeded hash: arms and behaviors come shuffled together
  std::uint32_t attempt = 0;
  std::size_t prefix_messages = 0;
};

GradingLayer layer_of(const Behavior& behavior, const std::string& role) {
  const bool screens = role == "judge" && is_screened_by_judge(behavior);
  return screens ? GradingLayer::kScreen : GradingLayer::kVerified;
}

// Puts one role's questions: `keys` says which answers of an arm it is asked about.
class JudgeRun {
 public:
  using Keys = std::function<Result<std::vector<std::int64_t>>(const Behavior& behavior, Arm arm)>;
  JudgeRun(Study& study, const std::vector<Behavior>& behaviors, std::string role,
           const KnownCases& known)
      : study_(study), behaviors_(behaviors), role_(std::move(role)), known_(known) {}

  Result<void> add(std::size_t behavior, const Keys& keys_of) {
    UNDERSTUDY_TRY(const std::int64_t grader,
                   judge_grader(study_.store, behaviors_[behavior], study_.config, role_));
    graders_[behavior] = grader;
    std::vector<Arm> arms = study_arms(study_.config);
    arms.push_back(kKnownArm);
    for (const Arm arm : arms) {
      UNDERSTUDY_TRY(const std::vector<std::int64_t> keys, keys_of(behaviors_[behavior], arm));
      std::unordered_set<std::int64_t> judged;
      UNDERSTUDY_CHECK(study_.store.for_each_judgement(
          grader, arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
            const bool again =
                verdict == Verdict::kNotGradedJudgeFailed && study_.options.retry_errors;
            if (!again) judged.insert(pack_draw_key(key));
            return {};
          }));
      done_before_ += judged.size();
      for (const std::int64_t key : keys) {
        if (judged.contains(key)) continue;
        tasks_.push_back({.behavior = behavior,
                          .key = key,
                          .order = hash64({role_, study_.config.sample.seed,
                                           behaviors_[behavior].id, std::to_string(key)})});
      }
    }
    return {};
  }

  Result<std::uint64_t> run() {
    if (tasks_.empty()) return std::uint64_t{0};
    // Taken from the back.
    std::sort(tasks_.begin(), tasks_.end(), [](const JudgeTask& a, const JudgeTask& b) {
      return std::tie(a.order, a.behavior, a.key) > std::tie(b.order, b.behavior, b.key);
    });
    total_ = tasks_.size();
    UNDERSTUDY_TRY(finder_, AnswerFinder::open(study_.store));
    UNDERSTUDY_TRY(ChatModel* const judge, study_.model(role_));
    UNDERSTUDY_TRY(spending_, study_.spending());
    UNDERSTUDY_TRY(const std::unique_ptr<LogSync> log, study_.start_log_sync());
    const ModelLoop loop{
        .next = [this] { return next(); },
        .store = [this](std::vector<ChatOutcome> outcomes) { return store(std::move(outcomes)); },
        .watch = [this](const ModelStatus& status) { watch(status); },
        .log = log.get()};
    // Answers that do not parse are asked for again, and a budget that seemed reached with many in
    // flight may not be: the loop runs until none are left, or it truly is.
    do {
      UNDERSTUDY_TRY(const LoopEnd end,
                     run_model_loop(*judge, loop, study_.world.clock, study_.world.stop));
      if (end == LoopEnd::kStopped) {
        return unexpected(ErrorCode::kPaused,
                          fmt::format("stopped: {} of {} verdicts are stored; `understudy run {}` "
                                      "goes on",
                                      done_, total_, study_.directory()));
      }
    } while (!tasks_.empty() && !spending_->is_reached(progress()));
    if (!tasks_.empty()) {
      const std::uint64_t left = total_ - done_;
      return unexpected(ErrorCode::kPaused,
                        fmt::format("the budget is reached: {} of {} verdicts are stored; the {} "
                                    "that are left would use {}. Raise the budget, then "
                                    "`understudy run {}` goes on",
                                    done_, total_, left, spending_->estimate_text(progress(), left),
                                    study_.directory()));
    }
    study_.world.progress.finish(state());
    return asked_;
  }

 private:
  [[nodiscard]] RoleProgress progress() const {
    return {.role = role_, .done = done_before_ + done_, .in_flight = in_flight_.size()};
  }

  Result<std::optional<ChatRequest>> next() {
    while (!tasks_.empty()) {
      if (spending_->is_reached(progress())) break;
      JudgeTask task = tasks_.back();
      tasks_.pop_back();
      const Behavior& behavior = behaviors_[task.behavior];
      UNDERSTUDY_TRY(const AnswerView answer, answer_of(task.key));
      const JudgeRequest asked =
          judge_request(behavior, answer, study_.config.sample.seed, task.attempt);
      if (asked.too_long) {
        UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
        UNDERSTUDY_CHECK(keep(task, Verdict::kUngradableTooLong, Completion{}));
        UNDERSTUDY_CHECK(transaction.commit());
        ++done_;
        continue;
      }
      task.prefix_messages = answer.prefix.size();
      ChatRequest request;
      request.id = ++asked_;
      request.messages = asked.messages;
      request.json_schema = asked.json_schema;
      request.sampling = study_.model_config(role_).sampling;
      request.prefix_identity = question_identity(behavior.id, layer_of(behavior, role_), task.key);
      request.draw_index = task.attempt;
      request.seed = hash64({study_.config.sample.seed, role_, behavior.id,
                             std::to_string(task.key), std::to_string(task.attempt)});
      in_flight_.emplace(request.id, task);
      return std::optional<ChatRequest>(std::move(request));
    }
    return std::optional<ChatRequest>();
  }

  Result<AnswerView> answer_of(std::int64_t key) {
    const DrawKey unpacked = unpack_draw_key(key);
    return unpacked.arm == kKnownArm ? known_.find(key)->view() : finder_->find(unpacked);
  }

  Result<void> store(std::vector<ChatOutcome> outcomes) {
    UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
    std::uint64_t finished = 0;
    for (const ChatOutcome& ended : outcomes) {
      const auto found = in_flight_.find(ended.id);
      UNDERSTUDY_ASSERT(found != in_flight_.end());
      JudgeTask task = found->second;
      in_flight_.erase(found);
      Verdict verdict = Verdict::kNotGradedJudgeFailed;
      if (const auto* completion = std::get_if<Completion>(&ended.outcome)) {
        spending_->add(role_, completion->usage);
        verdict = parse_judge_answer(behaviors_[task.behavior], completion->content,
                                     completion->finish, task.prefix_messages)
                      .verdict;
        if (is_worth_asking_again(verdict) && ++task.attempt < kAttemptsMax) {
          tasks_.push_back(task);
          continue;
        }
      }
      UNDERSTUDY_CHECK(keep(task, verdict, ended.outcome));
      ++finished;
    }
    UNDERSTUDY_CHECK(spending_->save(study_.store));
    UNDERSTUDY_CHECK(transaction.commit());
    done_ += finished;
    return {};
  }

  Result<void> keep(const JudgeTask& task, Verdict verdict, const DrawOutcome& answer) {
    return study_.store.add_judgement(graders_.at(task.behavior), unpack_draw_key(task.key),
                                      verdict, answer);
  }

  [[nodiscard]] ProgressState state() const {
    return {.stage = role_,
            .done = done_,
            .total = total_,
            .unit = "verdicts",
            .cost = spending_->cost()};
  }
  void watch(const ModelStatus& status) {
    ProgressState now = state();
    now.in_flight = status.in_flight - status.waiting;
    now.waiting = status.waiting;
    now.in_flight_max = status.concurrency_limit;
    now.limited_by = status.note;
    study_.world.progress.update(now);
  }

  Study& study_;
  const std::vector<Behavior>& behaviors_;
  std::string role_;
  const KnownCases& known_;
  std::map<std::size_t, std::int64_t> graders_;
  std::vector<JudgeTask> tasks_;
  std::unordered_map<std::uint64_t, JudgeTask> in_flight_;
  std::optional<AnswerFinder> finder_;
  Spending* spending_ = nullptr;
  std::uint64_t total_ = 0;
  std::uint64_t done_before_ = 0;  ///< verdicts of earlier runs
  std::uint64_t done_ = 0;
  std::uint64_t asked_ = 0;
};

}  // namespace

std::uint64_t question_identity(std::string_view behavior, GradingLayer layer, std::int64_t key) {
  return hash64({behavior, std::to_string(static_cast<int>(layer)), std::to_string(key)});
}

bool is_screened_by_judge(const Behavior& behavior) {
  return behavior.decided_by == DecidedBy::kJudge;
}

std::optional<std::string> verifying_role(const Behavior& behavior, const StudyConfig& config) {
  if (!behavior.judge) return std::nullopt;  // no rubric
  if (config.roles.contains("oracle")) return "oracle";
  const bool judge_is_free = !is_screened_by_judge(behavior);
  return judge_is_free && config.roles.contains("judge") ? std::optional<std::string>("judge")
                                                         : std::nullopt;
}

Result<std::int64_t> judge_grader(StudyStore& store, const Behavior& behavior,
                                  const StudyConfig& config, const std::string& role) {
  return store.grader(
      behavior.id, layer_of(behavior, role),
      Sha256()
          .field(role)
          .field(kJudgeTemplateVersion)
          .field(as_bytes(behavior.hash))
          .field(write_json(manifest_json(config)["roles"][role], JsonStyle::kCanonical))
          .finish());
}

Result<std::uint64_t> screen_by_judge(Study& study, const std::vector<Behavior>& behaviors) {
  UNDERSTUDY_TRY(const KnownCases known, KnownCases::load(study.directory(), behaviors));
  JudgeRun run(study, behaviors, "judge", known);
  const auto all = [&](const Behavior& behavior, Arm arm) -> Result<std::vector<std::int64_t>> {
    if (arm == kKnownArm) return known.keys(behavior);
    UNDERSTUDY_TRY(Units units, arm == Arm::kDeployed ? logged_units_of_prefixes(study.store)
                                                      : units_of(study.store, arm));
    return std::move(units.keys);
  };
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    if (is_screened_by_judge(behaviors[i])) UNDERSTUDY_CHECK(run.add(i, all));
  }
  return run.run();
}

Result<std::uint64_t> verify_by_model(Study& study, const std::vector<Behavior>& behaviors) {
  UNDERSTUDY_TRY(const bool audited, needs_audit(study));
  const bool has_oracle = study.config.roles.contains("oracle");
  if (!audited && !study.config.roles.contains("judge")) return std::uint64_t{0};
  UNDERSTUDY_TRY(const StudyUnits units, StudyUnits::load(study));
  if (audited) UNDERSTUDY_CHECK(draw_audits(study, behaviors, units));
  const auto flags_and_audit = [&](const Behavior& behavior,
                                   Arm arm) -> Result<std::vector<std::int64_t>> {
    if (arm == kKnownArm) return std::vector<std::int64_t>();  // nobody asks whether they are
    const Units& of_screen = units.screened(behavior, arm);
    std::vector<std::int64_t> keys;
    UNDERSTUDY_TRY(const auto screen, screen_of(study, behavior, arm, of_screen));
    if (!screen) return keys;
    UNDERSTUDY_TRY(const auto designed, designed_units(study.store, *screen, arm, of_screen));
    for (const DesignedUnit& one : designed) {
      // The judge verifies flags alone; an audit may be people's.
      if (one.flag || has_oracle) keys.push_back(one.key);
    }
    return keys;
  };
  const std::string role = has_oracle ? "oracle" : "judge";
  const KnownCases none;
  JudgeRun run(study, behaviors, role, none);
  for (std::size_t i = 0; i < behaviors.size(); ++i) {
    if (verifying_role(behaviors[i], study.config) != role) continue;
    UNDERSTUDY_CHECK(run.add(i, flags_and_audit));
  }
  return run.run();
}

}  // namespace understudy
