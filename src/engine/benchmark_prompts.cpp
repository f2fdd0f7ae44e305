#include "engine/benchmark_prompts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "engine/arm_draws.hpp"
#include "engine/graded_answer.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {
namespace {

Result<void> make_prompt(Conversation& conversation, const ErrorContext& where) {
  std::vector<Message>& messages = conversation.messages;
  while (!messages.empty() && messages.back().role != Role::kUser) messages.pop_back();
  if (messages.empty()) return unexpected(ErrorCode::kInput, "no message of a user", where);
  Deidentifier().apply(conversation);
  return {};
}

std::int64_t key_of(const Conversation& conversation) {
  const std::uint64_t content = first64(
      content_hash(conversation.tools, conversation.messages, conversation.messages.size()));
  // 40 bits: among ten thousand prompts two share a key with probability 5e-5.
  return pack_draw_key({.arm = kBenchmarkArm,
                        .prefix = static_cast<std::int64_t>(content & ((1ULL << 40) - 1)),
                        .index = 0});
}

}  // namespace

Result<BenchmarkPrompts> BenchmarkPrompts::load(const std::string& path) {
  BenchmarkPrompts benchmark;
  UNDERSTUDY_TRY(LogReader reader, LogReader::open({.path = path, .name = path}, LogOptions{}));
  std::unordered_set<std::int64_t> seen;
  while (true) {
    UNDERSTUDY_TRY(LogItem item, reader.next());
    if (std::holds_alternative<EndOfLog>(item)) break;
    const auto* const reject = std::get_if<Reject>(&item);
    const RecordPosition at = reject ? reject->position : std::get<LogRecord>(item).position;
    const ErrorContext where{.file = path, .line = at.line, .byte_offset = at.byte_offset};
    if (reject != nullptr) {
      return unexpected(ErrorCode::kInput,
                        fmt::format("not a conversation: {}", reject_reason_name(reject->reason)),
                        where);
    }
    Conversation& conversation = std::get<LogRecord>(item).conversation;
    UNDERSTUDY_CHECK(make_prompt(conversation, where));
    const std::int64_t key = key_of(conversation);
    if (seen.insert(key).second) benchmark.prompts_.push_back({key, std::move(conversation)});
  }
  if (benchmark.prompts_.empty()) {
    return unexpected(ErrorCode::kInput, "holds no prompt", {path, {}, {}});
  }
  std::sort(benchmark.prompts_.begin(), benchmark.prompts_.end(),
            [](const Prompt& a, const Prompt& b) { return a.key < b.key; });
  return benchmark;
}

Result<BenchmarkPrompts> BenchmarkPrompts::stored(Study& study) {
  BenchmarkPrompts benchmark;
  UNDERSTUDY_CHECK(study.store.for_each_draw_status(
      kBenchmarkArm, [&](const DrawStatus& status) -> Result<void> {
        benchmark.prompts_.push_back({pack_draw_key(status.key), {}});
        return {};
      }));
  const auto same = check_arm_identity(study, kBenchmarkArm, benchmark.prompts_.size(), {});
  if (!same && same.error().code != ErrorCode::kUsage) return unexpected(same.error());
  benchmark.are_others_ = !same;
  return benchmark;
}

const BenchmarkPrompts::Prompt& BenchmarkPrompts::prompt(std::int64_t key) const {
  const auto found =
      std::lower_bound(prompts_.begin(), prompts_.end(), key,
                       [](const Prompt& prompt, std::int64_t k) { return prompt.key < k; });
  UNDERSTUDY_ASSERT(found != prompts_.end() && found->key == key);
  return *found;
}

Result<BenchmarkPrompts::Answers> BenchmarkPrompts::answers(StudyStore& store) const {
  std::unordered_map<std::int64_t, std::optional<FailureReason>> ended;
  UNDERSTUDY_CHECK(
      store.for_each_draw_status(kBenchmarkArm, [&](const DrawStatus& status) -> Result<void> {
        ended.emplace(pack_draw_key(status.key), status.failed);
        return {};
      }));
  Answers answers;
  for (const Prompt& prompt : prompts_) {
    const auto found = ended.find(prompt.key);
    if (found == ended.end()) {
      answers.open.push_back(prompt.key);
    } else if (found->second) {
      answers.failed.push_back(prompt.key);
      ++answers.reasons[std::string(failure_name(*found->second))];
    } else {
      answers.answered.push_back(prompt.key);
    }
  }
  return answers;
}

Result<AnswerView> BenchmarkPrompts::answer(StudyStore& store, std::int64_t key) {
  UNDERSTUDY_TRY(draw_, store.draw(unpack_draw_key(key)));
  UNDERSTUDY_ASSERT(draw_.has_value());
  const Conversation& conversation = prompt(key).conversation;
  return drawn_answer(conversation, static_cast<std::uint32_t>(conversation.messages.size()),
                      *draw_, own_);
}

// The candidate's answers to prompts: what ArmDraws is for prefixes.
class BenchmarkPrompts::Asking {
 public:
  Asking(Study& study, const BenchmarkPrompts& prompts) : study_(study), prompts_(prompts) {}

  Result<void> run() {
    UNDERSTUDY_CHECK(count());
    UNDERSTUDY_CHECK(check_identity({}));
    if (open_.empty()) return {};
    UNDERSTUDY_TRY(ChatModel* const model, study_.model("candidate"));
    UNDERSTUDY_CHECK(check_identity(model->identity()));
    UNDERSTUDY_TRY(spending_, study_.spending());
    const ModelLoop loop{
        .next = [this] { return next(); },
        .store = [this](std::vector<ChatOutcome> ended) { return store(std::move(ended)); },
        .watch = [this](const ModelStatus& status) { watch(status); }};
    // What is in flight is counted at the mean of what is done: a budget that seemed reached may
    // not be once it has come in.
    LoopEnd end = LoopEnd::kDone;
    do {
      UNDERSTUDY_TRY(end, run_model_loop(*model, loop, study_.world.clock, study_.world.stop));
    } while (end == LoopEnd::kDone && !open_.empty() && !spending_->is_reached(progress()));
    if (end == LoopEnd::kDone && open_.empty()) return {};
    return unexpected(ErrorCode::kPaused,
                      fmt::format("{} of {} answers to the benchmark are stored: the same command, "
                                  "within the budget, goes on",
                                  done_, prompts_.count()));
  }

 private:
  Result<void> count() {
    UNDERSTUDY_TRY(Answers answers, prompts_.answers(study_.store));
    open_ = std::move(answers.open);
    if (study_.options.retry_errors) {
      open_.insert(open_.end(), answers.failed.begin(), answers.failed.end());
    }
    done_ = prompts_.count() - open_.size();
    UNDERSTUDY_TRY(asked_, ended_draws(study_.store, kBenchmarkArm));
    // What the candidate has used was for all of these.
    UNDERSTUDY_TRY(replayed_, ended_draws(study_.store, Arm::kCandidate));
    UNDERSTUDY_TRY(const std::uint64_t repeated, ended_draws(study_.store, kRepeatedArm));
    elsewhere_ = asked_ - std::min(asked_, done_) + replayed_ + repeated;
    return {};
  }

  // Of the model that gave the replayed answers beside which these are shown, and of one.
  Result<void> check_identity(const std::optional<std::string>& model) {
    if (replayed_ > 0) {
      UNDERSTUDY_CHECK(check_arm_identity(study_, Arm::kCandidate, replayed_, model));
    }
    return check_arm_identity(study_, kBenchmarkArm, asked_, model);
  }

  [[nodiscard]] RoleProgress progress() const {
    return {.role = "candidate", .done = done_ + elsewhere_, .in_flight = in_flight_};
  }

  Result<std::optional<ChatRequest>> next() {
    if (open_.empty() || spending_->is_reached(progress())) return std::optional<ChatRequest>();
    const Prompt& prompt = prompts_.prompt(open_.back());
    open_.pop_back();
    ++in_flight_;
    ChatRequest request = request_to(study_.config.candidate, prompt.conversation.messages,
                                     prompt.conversation.tools);
    request.id = static_cast<std::uint64_t>(prompt.key);
    request.prefix_identity = request.id;
    request.seed = draw_seed(study_.config.sample.seed, "benchmark", kBenchmarkArm, request.id, 0);
    return std::optional(std::move(request));
  }

  Result<void> store(std::vector<ChatOutcome> outcomes) {
    UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
    for (ChatOutcome& ended : outcomes) {
      --in_flight_;
      ++done_;
      StoredDraw draw{.key = unpack_draw_key(static_cast<std::int64_t>(ended.id)),
                      .attempts = ended.attempts,
                      .outcome = std::move(ended.outcome),
                      .window_bytes = {}};
      if (auto* const completion = std::get_if<Completion>(&draw.outcome)) {
        spending_->add("candidate", completion->usage);
        const Conversation& before =
            prompts_.prompt(static_cast<std::int64_t>(ended.id)).conversation;
        deidentifier_after(before.messages, before.messages.size(), before.tools)
            .apply(*completion);
        UNDERSTUDY_TRY(draw.window_bytes, window_bytes(study_, *completion));
      }
      UNDERSTUDY_CHECK(study_.store.add_draw(draw));
    }
    UNDERSTUDY_CHECK(spending_->save(study_.store));
    return transaction.commit();
  }

  void watch(const ModelStatus& status) {
    study_.world.progress.update(ProgressState{.stage = "benchmark",
                                               .done = done_,
                                               .total = prompts_.count(),
                                               .unit = "answers",
                                               .cost = spending_->cost()}
                                     .with(status));
  }

  Study& study_;
  const BenchmarkPrompts& prompts_;
  Spending* spending_ = nullptr;
  std::vector<std::int64_t> open_;
  std::uint64_t done_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t asked_ = 0;      ///< in this arm, of any file
  std::uint64_t replayed_ = 0;   ///< in the candidate's
  std::uint64_t elsewhere_ = 0;  ///< by the same role, not of these prompts
};

Result<void> BenchmarkPrompts::ask(Study& study) const {
  return Asking(study, *this).run();
}

}  // namespace understudy
