#include "engine/benchmark_prompts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/file.hpp"
#include "base/text.hpp"
#include "engine/arm_draws.hpp"
#include "engine/graded_answer.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/record_parser.hpp"
#include "ingest/record_splitter.hpp"

namespace understudy {
namespace {

Result<Conversation> read_prompt(std::string_view line, const ErrorContext& where) {
  const std::string padded = std::string(line) + std::string(RecordSplitter::kPadding, '\0');
  const auto parsed =
      RecordParser(LogOptions{}).parse(std::string_view(padded).substr(0, line.size()));
  const auto* record = std::get_if<LogRecord>(&parsed);
  if (record == nullptr) return unexpected(ErrorCode::kInput, "not a conversation", where);
  Conversation conversation = record->conversation;
  std::vector<Message>& messages = conversation.messages;
  while (!messages.empty() && messages.back().role != Role::kUser) messages.pop_back();
  if (messages.empty()) return unexpected(ErrorCode::kInput, "no message of a user", where);
  Deidentifier().apply(conversation);
  return conversation;
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
  const auto text = file_bytes(path);
  if (!text) return unexpected(ErrorCode::kInput, "cannot be read", {path, {}, {}});
  ErrorContext where{.file = path, .line = 0, .byte_offset = 0};
  std::unordered_set<std::int64_t> seen;
  for (const std::string_view line : split(*text, '\n')) {
    where.line = *where.line + 1;
    if (!trimmed(line).empty()) {
      UNDERSTUDY_TRY(Conversation conversation, read_prompt(line, where));
      const std::int64_t key = key_of(conversation);
      if (seen.insert(key).second) benchmark.prompts_.push_back({key, std::move(conversation)});
    }
    where.byte_offset = *where.byte_offset + line.size() + 1;
  }
  if (benchmark.prompts_.empty()) {
    return unexpected(ErrorCode::kInput, "holds no prompt", {path, {}, {}});
  }
  std::sort(benchmark.prompts_.begin(), benchmark.prompts_.end(),
            [](const Prompt& a, const Prompt& b) { return a.key < b.key; });
  return benchmark;
}

const BenchmarkPrompts::Prompt& BenchmarkPrompts::prompt(std::int64_t key) const {
  const auto found =
      std::lower_bound(prompts_.begin(), prompts_.end(), key,
                       [](const Prompt& prompt, std::int64_t k) { return prompt.key < k; });
  UNDERSTUDY_ASSERT(found != prompts_.end() && found->key == key);
  return *found;
}

Result<std::vector<std::int64_t>> BenchmarkPrompts::answered(StudyStore& store) const {
  std::unordered_set<std::int64_t> stored;
  UNDERSTUDY_CHECK(
      store.for_each_draw_status(kBenchmarkArm, [&](const DrawStatus& status) -> Result<void> {
        if (!status.failed) stored.insert(pack_draw_key(status.key));
        return {};
      }));
  std::vector<std::int64_t> keys;
  for (const Prompt& prompt : prompts_) {
    if (stored.contains(prompt.key)) keys.push_back(prompt.key);
  }
  return keys;
}

Result<AnswerView> BenchmarkPrompts::answer(StudyStore& store, std::int64_t key) {
  UNDERSTUDY_TRY(draw_, store.draw(unpack_draw_key(key)));
  UNDERSTUDY_ASSERT(draw_.has_value());
  const Conversation& conversation = prompt(key).conversation;
  return drawn_answer(conversation, static_cast<std::uint32_t>(conversation.messages.size()),
                      *draw_, own_);
}

Result<void> BenchmarkPrompts::ask(Study& study) {
  UNDERSTUDY_TRY(const std::vector<std::int64_t> done, answered(study.store));
  std::vector<const Prompt*> open;
  for (const Prompt& prompt : prompts_) {
    if (!std::binary_search(done.begin(), done.end(), prompt.key)) open.push_back(&prompt);
  }
  if (open.empty()) return {};
  UNDERSTUDY_TRY(ChatModel* const model, study.model("candidate"));
  UNDERSTUDY_TRY(Spending* const spending, study.spending());
  RoleProgress progress{.role = "candidate", .done = prompts_.size() - open.size()};
  const auto next = [&]() -> Result<std::optional<ChatRequest>> {
    if (open.empty() || spending->is_reached(progress)) return std::optional<ChatRequest>();
    const Prompt& prompt = *open.back();
    open.pop_back();
    ++progress.in_flight;
    ChatRequest request;
    request.id = static_cast<std::uint64_t>(prompt.key);
    request.messages = prompt.conversation.messages;
    request.tools = prompt.conversation.tools;
    request.sampling = study.config.candidate.sampling;
    request.prefix_identity = request.id;
    request.seed = draw_seed(study.config.sample.seed, "benchmark", kBenchmarkArm, request.id, 0);
    return std::optional(std::move(request));
  };
  const auto store = [&](std::vector<ChatOutcome> outcomes) -> Result<void> {
    UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
    for (ChatOutcome& ended : outcomes) {
      --progress.in_flight;
      ++progress.done;
      StoredDraw draw{.key = unpack_draw_key(static_cast<std::int64_t>(ended.id)),
                      .attempts = ended.attempts,
                      .outcome = std::move(ended.outcome),
                      .window_bytes = {}};
      if (auto* const completion = std::get_if<Completion>(&draw.outcome)) {
        spending->add("candidate", completion->usage);
        const Conversation& before = prompt(static_cast<std::int64_t>(ended.id)).conversation;
        deidentifier_after(before.messages, before.messages.size(), before.tools)
            .apply(*completion);
        UNDERSTUDY_TRY(draw.window_bytes, window_bytes(study, *completion));
      }
      UNDERSTUDY_CHECK(study.store.add_draw(draw));
    }
    UNDERSTUDY_CHECK(spending->save(study.store));
    return transaction.commit();
  };
  const auto watch = [&](const ModelStatus& status) {
    study.world.progress.update(ProgressState{.stage = "benchmark",
                                              .done = progress.done,
                                              .total = prompts_.size(),
                                              .unit = "answers",
                                              .cost = spending->cost()}
                                    .with(status));
  };
  UNDERSTUDY_TRY(const LoopEnd end,
                 run_model_loop(*model, {.next = next, .store = store, .watch = watch},
                                study.world.clock, study.world.stop));
  if (end == LoopEnd::kDone && open.empty()) return {};
  return unexpected(ErrorCode::kPaused,
                    fmt::format("{} of {} answers to the benchmark are stored: the same command, "
                                "within the budget, goes on",
                                progress.done, prompts_.size()));
}

}  // namespace understudy
