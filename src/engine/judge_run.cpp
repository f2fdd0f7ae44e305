// Questions about stored answers to one role, several behaviors in one where that is asked for.

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "engine/graded_answer.hpp"
#include "engine/grader_question.hpp"
#include "engine/judge_grading.hpp"

namespace understudy {
namespace {

constexpr std::uint32_t kAttemptsMax = 3;

struct Task {
  std::vector<std::size_t> behaviors;
  std::int64_t key = 0;     ///< packed DrawKey of the answer
  std::uint64_t order = 0;  ///< seeded hash: arms and behaviors come shuffled together
  std::uint32_t attempt = 0;
};

bool failed_for_now(Verdict verdict) {
  return verdict == Verdict::kNotGradedJudgeFailed || verdict == Verdict::kUngradableGraderDied ||
         verdict == Verdict::kUngradableGraderHung || verdict == Verdict::kUngradableGraderFlood ||
         verdict == Verdict::kUngradableGraderSilent;
}

class Runner {
 public:
  Runner(Study& study, const std::vector<const Behavior*>& behaviors, const JudgeRun& run)
      : study_(study), behaviors_(behaviors), run_(run) {}

  Result<std::uint64_t> run() {
    UNDERSTUDY_CHECK(collect());
    if (tasks_.empty()) return std::uint64_t{0};
    total_ = tasks_.size();
    group();
    // Taken from the back.
    std::sort(tasks_.begin(), tasks_.end(), [](const Task& a, const Task& b) {
      return std::tie(a.order, a.behaviors, a.key) > std::tie(b.order, b.behaviors, b.key);
    });
    UNDERSTUDY_TRY(finder_, AnswerFinder::open(study_.store));
    UNDERSTUDY_TRY(ChatModel* const model, grader_model());
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
                     run_model_loop(*model, loop, study_.world.clock, study_.world.stop));
      if (end == LoopEnd::kStopped) {
        return unexpected(ErrorCode::kPaused,
                          fmt::format("stopped: {} of {} verdicts are stored; the same command "
                                      "goes on",
                                      done_, total_));
      }
    } while (!tasks_.empty() && !spending_->is_reached(progress()));
    if (!tasks_.empty()) {
      const std::uint64_t left = total_ - done_;
      return unexpected(
          ErrorCode::kPaused,
          fmt::format("the budget is reached: {} of {} verdicts are stored; the {} "
                      "that are left would use {}. Raise the budget, then the same "
                      "command goes on",
                      done_, total_, left, spending_->estimate_text(progress(), left)));
    }
    study_.world.progress.finish(state());
    return asked_;
  }

 private:
  Result<void> collect() {
    for (std::size_t i = 0; i < behaviors_.size(); ++i) {
      UNDERSTUDY_TRY(const std::int64_t grader, run_.grader(*behaviors_[i]));
      graders_.push_back(grader);
      const std::vector<Arm> arms = run_.arms.empty() ? study_arms(study_.config) : run_.arms;
      for (const Arm arm : arms) UNDERSTUDY_CHECK(collect(i, arm));
    }
    return {};
  }
  Result<void> collect(std::size_t behavior, Arm arm) {
    UNDERSTUDY_TRY(const std::vector<std::int64_t> keys, run_.keys(*behaviors_[behavior], arm));
    std::unordered_set<std::int64_t> judged;
    UNDERSTUDY_CHECK(study_.store.for_each_judgement(
        graders_[behavior], arm, [&](const DrawKey& key, Verdict verdict) -> Result<void> {
          const bool again = failed_for_now(verdict) && study_.options.retry_errors;
          if (!again) judged.insert(pack_draw_key(key));
          return {};
        }));
    done_before_ += judged.size();
    for (const std::int64_t key : keys) {
      if (judged.contains(key)) continue;
      tasks_.push_back({.behaviors = {behavior},
                        .key = key,
                        .order = hash64({run_.role, study_.config.sample.seed,
                                         behaviors_[behavior]->id, std::to_string(key)})});
    }
    return {};
  }

  // Joins the questions about one answer, as many in one as may be.
  void group() {
    if (run_.behaviors_per_call < 2) return;
    std::sort(tasks_.begin(), tasks_.end(), [](const Task& a, const Task& b) {
      return std::tie(a.key, a.behaviors) < std::tie(b.key, b.behaviors);
    });
    std::vector<Task> joined;
    for (Task& task : tasks_) {
      if (joined.empty() || joined.back().key != task.key ||
          joined.back().behaviors.size() == run_.behaviors_per_call) {
        joined.push_back(std::move(task));
      } else {
        joined.back().behaviors.push_back(task.behaviors.front());
      }
    }
    tasks_ = std::move(joined);
  }

  Result<ChatModel*> grader_model() {
    if (run_.role != "command") return study_.model(run_.role);
    UNDERSTUDY_ASSERT(behaviors_.size() == 1 && study_.world.make_command);
    auto& made = study_.models["command " + behaviors_.front()->id];
    UNDERSTUDY_TRY(made, study_.world.make_command(*behaviors_.front(), study_.world.clock));
    return made.get();
  }

  [[nodiscard]] RoleProgress progress() const {
    return {.role = run_.role, .done = done_before_ + done_, .in_flight = verdicts_in_flight_};
  }

  [[nodiscard]] GraderQuestion question(const Task& task) const {
    GraderQuestion question{.role = run_.role, .behaviors = {}, .how = run_.how};
    for (const std::size_t i : task.behaviors) question.behaviors.push_back(behaviors_[i]);
    question.how.attempt += task.attempt;
    return question;
  }

  Result<std::optional<ChatRequest>> next() {
    while (!tasks_.empty()) {
      if (spending_->is_reached(progress())) break;
      Task task = std::move(tasks_.back());
      tasks_.pop_back();
      UNDERSTUDY_TRY(const AnswerView answer, answer_of(task.key));
      ChatRequest request;
      request.id = ++asked_;
      const GraderQuestion asked = question(task);
      if (const auto known = asked.put(answer, study_.config.sample.seed, request)) {
        UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
        for (const std::size_t i : task.behaviors) {
          UNDERSTUDY_CHECK(keep(i, task.key, *known, Completion{}));
        }
        UNDERSTUDY_CHECK(transaction.commit());
        --asked_;
        continue;
      }
      if (run_.role != "command") request.sampling = study_.model_config(run_.role).sampling;
      const Behavior& behavior = *asked.behaviors.front();
      request.prefix_identity =
          question_identity(behavior.id, layer_of_role(behavior, run_.role), task.key);
      request.draw_index = asked.how.attempt;
      request.seed = hash64({study_.config.sample.seed, run_.role, behavior.id,
                             std::to_string(task.key), std::to_string(asked.how.attempt)});
      verdicts_in_flight_ += task.behaviors.size();
      in_flight_.emplace(request.id, std::move(task));
      return std::optional<ChatRequest>(std::move(request));
    }
    return std::optional<ChatRequest>();
  }

  Result<AnswerView> answer_of(std::int64_t key) {
    if (run_.outside) {
      UNDERSTUDY_TRY(const std::optional<AnswerView> outside, run_.outside(key));
      if (outside) return *outside;
    }
    return finder_->find(unpack_draw_key(key));
  }

  Result<void> store(std::vector<ChatOutcome> outcomes) {
    UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
    const bool may_ask_again =
        run_.role == "judge" || run_.role == "oracle" || run_.role == "auditor";
    for (const ChatOutcome& ended : outcomes) {
      const auto found = in_flight_.find(ended.id);
      UNDERSTUDY_ASSERT(found != in_flight_.end());
      Task task = std::move(found->second);
      in_flight_.erase(found);
      verdicts_in_flight_ -= task.behaviors.size();
      if (const auto* const completion = std::get_if<Completion>(&ended.outcome)) {
        spending_->add(run_.role, completion->usage);
      }
      const GraderQuestion asked = question(task);
      UNDERSTUDY_TRY(const AnswerView answer, answer_of(task.key));
      std::vector<Verdict> verdicts = asked.read(ended.outcome, answer);
      if (answer.ended_early) {
        std::replace(verdicts.begin(), verdicts.end(), Verdict::kAbsent,
                     Verdict::kUngradableEndedEarly);
      }
      for (std::size_t i = 0; i < verdicts.size(); ++i) {
        if (may_ask_again && is_worth_asking_again(verdicts[i]) &&
            task.attempt + 1 < kAttemptsMax) {
          // Alone: what was wrong may have been the others'.
          Task again = task;
          again.behaviors = {task.behaviors[i]};
          ++again.attempt;
          tasks_.push_back(std::move(again));
          continue;
        }
        UNDERSTUDY_CHECK(
            keep(task.behaviors[i], task.key, verdicts[i], asked.part(ended.outcome, i)));
      }
    }
    UNDERSTUDY_CHECK(spending_->save(study_.store));
    return transaction.commit();
  }

  Result<void> keep(std::size_t behavior, std::int64_t key, Verdict verdict,
                    const DrawOutcome& answer) {
    ++done_;
    return study_.store.add_judgement(graders_[behavior], unpack_draw_key(key), verdict, answer);
  }

  [[nodiscard]] ProgressState state() const {
    return {.stage = run_.stage.empty() ? run_.role : run_.stage,
            .done = done_,
            .total = total_,
            .unit = "verdicts",
            .cost = spending_->cost()};
  }
  void watch(const ModelStatus& status) { study_.world.progress.update(state().with(status)); }

  Study& study_;
  const std::vector<const Behavior*>& behaviors_;
  const JudgeRun& run_;
  std::vector<std::int64_t> graders_;  ///< by behavior
  std::vector<Task> tasks_;
  std::unordered_map<std::uint64_t, Task> in_flight_;
  std::uint64_t verdicts_in_flight_ = 0;
  std::optional<AnswerFinder> finder_;
  Spending* spending_ = nullptr;
  std::uint64_t total_ = 0;        ///< verdicts
  std::uint64_t done_before_ = 0;  ///< of earlier runs
  std::uint64_t done_ = 0;
  std::uint64_t asked_ = 0;
};

}  // namespace

Result<std::uint64_t> run_judge(Study& study, const std::vector<const Behavior*>& behaviors,
                                const JudgeRun& run) {
  return Runner(study, behaviors, run).run();
}

}  // namespace understudy
