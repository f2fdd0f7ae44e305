#pragma once
// A thread that computes answers with one llama.cpp context, on its share of the cores. Prompts
// wait in one queue for all workers; each takes what fits its caches best (prefix_slots.hpp). In
// every step each answer in the making grows by a token, and a piece of the prompts that are being
// read goes along: answers begin and end at any step, and none waits for a long prompt.

#include <llama.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/rng.hpp"
#include "model/chat_model.hpp"
#include "model/llama_vocabulary.hpp"
#include "model/prefix_slots.hpp"
#include "model/thread_choice.hpp"

namespace understudy {

/// Of prompts, in one step: enough to be computed at full speed, and few enough that the answers in
/// the making go on a few times a second.
inline constexpr std::size_t kReadTokens = 128;

struct LlamaContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using LlamaContextPointer = std::unique_ptr<llama_context, LlamaContextDeleter>;

/// A request that fits the context, as the model reads it.
struct LlamaPrompt {
  std::uint64_t request_id = 0;
  std::uint64_t seed = 0;
  std::vector<LlamaToken> tokens;  ///< at least one
  std::size_t tokens_max = 1;      ///< of the answer; the context holds prompt and answer
  double temperature = 1;
  double top_p = 1;
};

/// What the caller's thread and the workers share. Everything but `stop` is under the mutex.
struct LlamaExchange {
  mutable std::mutex mutex;
  std::condition_variable work;   ///< a prompt came, or stop
  std::condition_variable ended;  ///< an outcome came
  std::deque<LlamaPrompt> waiting;
  std::vector<std::vector<CacheSlot>> slots;  ///< by worker; the index is llama.cpp's sequence id
  std::vector<ChatOutcome> outcomes;
  std::uint64_t prompt_tokens = 0;  ///< computed: what caches held does not count
  std::uint64_t completion_tokens = 0;
  std::uint64_t placed = 0;  ///< prompts; the clock of CacheSlot::used
  std::atomic<bool> stop = false;
};

class LlamaWorker {
 public:
  /// `index`: of its slots in the exchange, as many as the context has sequences. `cores` >= 1.
  /// `reuse` false: it reads every prompt from its beginning.
  LlamaWorker(LlamaContextPointer context, const LlamaVocabulary& vocabulary, const Clock& clock,
              LlamaExchange& exchange, std::size_t index, std::size_t cores, bool reuse);
  /// Waits for the thread: the exchange's `stop` must be set, which also interrupts a computation.
  ~LlamaWorker() { thread_.join(); }
  LlamaWorker(const LlamaWorker&) = delete;
  LlamaWorker& operator=(const LlamaWorker&) = delete;

 private:
  /// One answer in the making.
  struct Answer {
    std::uint64_t request_id = 0;
    Rng rng{0};
    double temperature = 1;
    double top_p = 1;
    std::size_t tokens_max = 0;
    std::string bytes;  ///< so far
    Usage usage;
    std::int64_t started_us = 0;
  };
  /// A token of the batch after which one is chosen.
  struct Wanted {
    std::size_t slot = 0;
    std::int32_t batch_index = 0;
    LlamaToken chosen = 0;
  };

  void run();
  void take_prompts();
  // Under the exchange's mutex.
  [[nodiscard]] std::optional<Placement> place(bool has_waited) const;
  void take(const Placement& placement);
  [[nodiscard]] std::size_t reuse(const Placement& placement);
  [[nodiscard]] bool has_answers() const;
  [[nodiscard]] std::size_t tokens_to_read() const;

  void step();
  void fill_batch();
  void add(LlamaToken token, std::size_t position, std::size_t slot, bool wanted);
  [[nodiscard]] bool compute();
  void choose_tokens();
  /// Adds the chosen token to its answer; ends it if it is over.
  void advance(const Wanted& wanted);
  void finish(std::size_t slot, FinishReason reason);
  void end(std::size_t slot, DrawOutcome outcome);
  void fail_all();

  [[nodiscard]] std::vector<CacheSlot>& slots() { return exchange_.slots[index_]; }
  [[nodiscard]] const std::vector<CacheSlot>& slots() const { return exchange_.slots[index_]; }
  [[nodiscard]] llama_memory_t memory() const { return llama_get_memory(context_.get()); }

  LlamaContextPointer context_;
  const LlamaVocabulary& vocabulary_;
  const Clock& clock_;
  LlamaExchange& exchange_;
  std::size_t index_;
  ThreadChoice threads_;
  std::size_t step_threads_ = 1;  ///< of the last step
  bool reuse_;
  const llama_vocab* vocab_;
  std::vector<std::optional<Answer>> answers_;  ///< by slot

  // The batch under construction.
  std::vector<LlamaToken> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<llama_seq_id> ids_;
  std::vector<std::int32_t> id_counts_;
  std::vector<std::int8_t> wanted_flags_;
  std::vector<Wanted> wanted_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace understudy
