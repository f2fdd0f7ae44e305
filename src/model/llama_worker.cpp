#ifdef UNDERSTUDY_HAS_LLAMA
#include "model/llama_worker.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "model/token_choice.hpp"

namespace understudy {
namespace {

/// How long an idle worker leaves a prompt to the one that holds its beginning.
constexpr std::chrono::milliseconds kPatience{100};

/// Without the beginning of a code point at the end: an answer that was cut may end in one.
std::string_view whole_code_points(std::string_view bytes) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;
    const std::size_t length = byte >= 0xF0U ? 4 : byte >= 0xE0U ? 3 : byte >= 0xC0U ? 2 : 1;
    return length > back ? bytes.substr(0, bytes.size() - back) : bytes;
  }
  return bytes;
}

std::size_t uncomputed(const CacheSlot& slot) {
  return slot.tokens.size() - slot.computed;
}

}  // namespace

LlamaWorker::LlamaWorker(LlamaContextPointer context, const LlamaVocabulary& vocabulary,
                         const Clock& clock, LlamaExchange& exchange, std::size_t index,
                         std::size_t cores, bool reuse)
    : context_(std::move(context)),
      vocabulary_(vocabulary),
      clock_(clock),
      exchange_(exchange),
      index_(index),
      threads_(cores),
      reuse_(reuse),
      vocab_(llama_model_get_vocab(llama_get_model(context_.get()))),
      answers_(slots().size()) {
  llama_set_abort_callback(
      context_.get(), [](void* stop) { return static_cast<std::atomic<bool>*>(stop)->load(); },
      &exchange_.stop);
  thread_ = std::thread([this] { run(); });
}

void LlamaWorker::run() {
  while (!exchange_.stop) {
    take_prompts();
    if (!exchange_.stop) step();
  }
}

bool LlamaWorker::has_answers() const {
  return std::any_of(answers_.begin(), answers_.end(),
                     [](const auto& answer) { return answer.has_value(); });
}

std::size_t LlamaWorker::tokens_to_read() const {
  std::size_t count = 0;
  for (const CacheSlot& slot : slots()) {
    if (slot.busy && uncomputed(slot) > 1) count += uncomputed(slot);
  }
  return count;
}

/// Takes prompts while there is room for them in the next step; waits for one if there is nothing
/// else to do.
void LlamaWorker::take_prompts() {
  std::unique_lock lock(exchange_.mutex);
  bool has_waited = false;
  while (!exchange_.stop) {
    while (tokens_to_read() < kReadTokens) {
      const auto placement = place(has_waited);
      if (!placement) break;
      take(*placement);
      has_waited = false;
    }
    if (has_answers()) return;
    if (exchange_.waiting.empty()) {
      exchange_.work.wait(lock, [&] { return exchange_.stop || !exchange_.waiting.empty(); });
    } else {
      has_waited = exchange_.work.wait_for(lock, kPatience) == std::cv_status::timeout;
    }
  }
}

std::optional<Placement> LlamaWorker::place(bool has_waited) const {
  const auto is_idle = [](const CacheSlot& slot) { return !slot.busy; };
  const auto idle = std::find_if(slots().begin(), slots().end(), is_idle);
  if (idle == slots().end() || exchange_.waiting.empty()) return std::nullopt;
  if (!reuse_) {
    const auto slot = static_cast<std::size_t>(idle - slots().begin());
    return Placement{.prompt = 0, .slot = slot, .source = slot, .common = 0};
  }
  std::vector<std::span<const LlamaToken>> waiting;
  for (const LlamaPrompt& prompt : exchange_.waiting) waiting.emplace_back(prompt.tokens);
  auto placement = place_prompt(exchange_.slots, index_, waiting);
  if (!placement && has_waited) placement = place_last_prompt(slots(), waiting);
  return placement;
}

void LlamaWorker::take(const Placement& placement) {
  const auto place = exchange_.waiting.begin() + static_cast<std::ptrdiff_t>(placement.prompt);
  LlamaPrompt prompt = std::move(*place);
  exchange_.waiting.erase(place);
  CacheSlot& slot = slots()[placement.slot];
  UNDERSTUDY_ASSERT(!slot.busy && !prompt.tokens.empty());
  slot.computed = reuse(placement);
  slot.busy = true;
  slot.used = ++exchange_.placed;
  Answer& answer = answers_[placement.slot].emplace();
  answer.request_id = prompt.request_id;
  answer.rng = Rng(prompt.seed);
  answer.temperature = prompt.temperature;
  answer.top_p = prompt.top_p;
  answer.tokens_max = prompt.tokens_max;
  answer.usage.prompt_tokens = prompt.tokens.size();
  answer.started_us = clock_.now_us();
  slot.tokens = std::move(prompt.tokens);
}

/// Leaves in the slot what the prompt begins with; returns how many tokens that are.
std::size_t LlamaWorker::reuse(const Placement& placement) {
  const auto to = static_cast<llama_seq_id>(placement.slot);
  if (placement.source != placement.slot && placement.common > 0) {
    // llama.cpp copies whole sequences, at the beginning of the next computation.
    llama_memory_seq_cp(memory(), static_cast<llama_seq_id>(placement.source), to, -1, -1);
  }
  // Models with a running state in place of a cache cannot forget a part of it.
  const auto common = static_cast<llama_pos>(placement.common);
  if (common > 0 && llama_memory_seq_rm(memory(), to, common, -1)) return placement.common;
  llama_memory_seq_rm(memory(), to, -1, -1);
  return 0;
}

void LlamaWorker::add(LlamaToken token, std::size_t position, std::size_t slot, bool wanted) {
  if (wanted) wanted_.push_back({slot, static_cast<std::int32_t>(tokens_.size()), 0});
  tokens_.push_back(token);
  positions_.push_back(static_cast<llama_pos>(position));
  ids_.push_back(static_cast<llama_seq_id>(slot));
  id_counts_.push_back(1);
  wanted_flags_.push_back(wanted ? 1 : 0);
}

/// The next token of each answer, and of the prompts that are being read a piece: first of what
/// came first, in pieces of one size, because llama.cpp computes small ones slower and less
/// exactly. In the order of the slots: it computes neighbors together.
void LlamaWorker::fill_batch() {
  tokens_.clear();
  positions_.clear();
  ids_.clear();
  id_counts_.clear();
  wanted_flags_.clear();
  wanted_.clear();
  std::vector<std::size_t> counts(answers_.size());
  std::vector<std::size_t> reading;
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    if (!answers_[i]) continue;
    counts[i] = 1;
    if (uncomputed(slots()[i]) > 1) reading.push_back(i);
  }
  std::sort(reading.begin(), reading.end(),
            [&](std::size_t a, std::size_t b) { return slots()[a].used < slots()[b].used; });
  std::size_t room = kReadTokens;
  for (const std::size_t i : reading) {
    const std::size_t left = uncomputed(slots()[i]);
    const std::size_t pieces = room == 0 ? 0 : (left + room - 1) / room;
    counts[i] = pieces == 0 ? 0 : (left + pieces - 1) / pieces;
    room -= counts[i];
  }
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    const CacheSlot& slot = slots()[i];
    for (std::size_t n = 0; n < counts[i]; ++n) {
      const std::size_t position = slot.computed + n;
      add(slot.tokens[position], position, i, position + 1 == slot.tokens.size());
    }
  }
}

/// The logits of wanted tokens can be read afterwards.
bool LlamaWorker::compute() {
  std::vector<llama_seq_id*> id_lists;
  id_lists.reserve(ids_.size());
  for (llama_seq_id& id : ids_) id_lists.push_back(&id);
  llama_batch batch{};
  batch.n_tokens = static_cast<std::int32_t>(tokens_.size());
  batch.token = tokens_.data();
  batch.pos = positions_.data();
  batch.n_seq_id = id_counts_.data();
  batch.seq_id = id_lists.data();
  batch.logits = wanted_flags_.data();
  step_threads_ = threads_.threads();
  const auto threads = static_cast<std::int32_t>(step_threads_);
  llama_set_n_threads(context_.get(), threads, threads);
  const std::int64_t started_us = clock_.now_us();
  const bool done = llama_decode(context_.get(), batch) == 0;
  threads_.took(tokens_.size(), clock_.now_us() - started_us);
  return done;
}

void LlamaWorker::step() {
  fill_batch();  // only this worker changes its slots, so that it can read them without the mutex
  if (!compute()) {
    if (!exchange_.stop) fail_all();
    return;
  }
  {
    const std::lock_guard lock(exchange_.mutex);
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      const auto slot = static_cast<std::size_t>(ids_[i]);
      ++slots()[slot].computed;
      if (slots()[slot].computed <= answers_[slot]->usage.prompt_tokens) ++exchange_.prompt_tokens;
    }
    exchange_.completion_tokens += wanted_.size();
  }
  choose_tokens();
  for (const Wanted& wanted : wanted_) advance(wanted);
}

/// On as many threads as the step before: for eight answers it takes a tenth of a step's time.
void LlamaWorker::choose_tokens() {
  const auto count = static_cast<std::size_t>(llama_vocab_n_tokens(vocab_));
  std::vector<const float*> logits;
  for (const Wanted& wanted : wanted_) {
    logits.push_back(llama_get_logits_ith(context_.get(), wanted.batch_index));
    UNDERSTUDY_ASSERT(logits.back() != nullptr);
  }
  const std::size_t threads = std::max<std::size_t>(1, std::min(step_threads_, wanted_.size() / 2));
  const auto choose = [&](std::size_t first) {
    std::vector<float> scratch;
    for (std::size_t i = first; i < wanted_.size(); i += threads) {
      Answer& answer = *answers_[wanted_[i].slot];
      wanted_[i].chosen = static_cast<LlamaToken>(choose_token(
          {logits[i], count}, answer.temperature, answer.top_p, answer.rng.uniform(), scratch));
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(choose, i);
  choose(0);
  for (std::thread& other : others) other.join();
}

void LlamaWorker::advance(const Wanted& wanted) {
  Answer& answer = *answers_[wanted.slot];
  const LlamaToken token = wanted.chosen;
  ++answer.usage.completion_tokens;
  if (llama_vocab_is_eog(vocab_, token)) return finish(wanted.slot, FinishReason::kStop);
  answer.bytes += vocabulary_.piece(token);
  // The last token that is allowed needs no computation of its own.
  if (answer.usage.completion_tokens == answer.tokens_max) {
    return finish(wanted.slot, FinishReason::kLength);
  }
  const std::lock_guard lock(exchange_.mutex);
  slots()[wanted.slot].tokens.push_back(token);
}

void LlamaWorker::finish(std::size_t slot, FinishReason reason) {
  const Answer& answer = *answers_[slot];
  Completion completion;
  completion.content = replace_invalid_utf8(whole_code_points(answer.bytes));
  completion.finish = reason;
  completion.usage = answer.usage;
  end(slot, std::move(completion));
}

/// The slot's cache stays, for a prompt that begins like it.
void LlamaWorker::end(std::size_t slot, DrawOutcome outcome) {
  const Answer& answer = *answers_[slot];
  ChatOutcome ended;
  ended.id = answer.request_id;
  ended.outcome = std::move(outcome);
  ended.latency_ms = static_cast<double>(clock_.now_us() - answer.started_us) / 1000;
  answers_[slot].reset();
  const std::lock_guard lock(exchange_.mutex);
  slots()[slot].busy = false;
  exchange_.outcomes.push_back(std::move(ended));
  exchange_.ended.notify_one();
}

void LlamaWorker::fail_all() {
  llama_memory_clear(memory(), true);
  {
    const std::lock_guard lock(exchange_.mutex);
    for (CacheSlot& slot : slots()) {
      slot.tokens.clear();
      slot.computed = 0;
    }
  }
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    if (answers_[i]) {
      end(i, Failure{FailureReason::kModelError, "llama.cpp could not compute a step"});
    }
  }
}

}  // namespace understudy
#endif
