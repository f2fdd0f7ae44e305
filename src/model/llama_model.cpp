#ifdef UNDERSTUDY_HAS_LLAMA
#include "model/llama_model.hpp"

#include <llama.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "base/hash.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "model/llama_vocabulary.hpp"
#include "model/token_choice.hpp"

namespace understudy {
namespace {

constexpr std::uint32_t kBatchTokens = 512;  ///< of a prompt, in one computation
constexpr std::size_t kContextStep = 256;    ///< llama.cpp rounds contexts up to this

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ModelPointer = std::unique_ptr<llama_model, ModelDeleter>;
using ContextPointer = std::unique_ptr<llama_context, ContextDeleter>;

/// What a request gets where it does not say.
struct SamplingDefaults {
  double temperature = 1;
  double top_p = 1;
};

struct Limits {
  std::size_t context_tokens = 0;  ///< of one sequence
  std::size_t sequences = 0;       ///< of one worker
};

/// What the caller's thread and the workers share. Everything but `stop` is under the mutex.
struct Exchange {
  std::mutex mutex;
  std::condition_variable work;   ///< a request came, or stop
  std::condition_variable ended;  ///< an outcome came
  std::vector<ChatOutcome> outcomes;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests = 0;
  std::atomic<bool> stop = false;
};

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

/// One answer in the making.
struct Sequence {
  std::uint64_t request_id = 0;
  Rng rng{0};
  double temperature = 1;
  double top_p = 1;
  std::size_t tokens_max = 0;  ///< of the answer
  std::string bytes;           ///< of the answer so far
  Usage usage;
  LlamaToken next = 0;       ///< chosen, not yet computed with
  std::size_t position = 0;  ///< of `next`
  std::int64_t started_us = 0;
};

/// A worker thread and its context. Requests that were given to it wait in `waiting`.
class Worker {
 public:
  Worker(ContextPointer context, const LlamaVocabulary& vocabulary, SamplingDefaults defaults,
         Limits limits, const Clock& clock, Exchange& exchange)
      : context_(std::move(context)),
        vocabulary_(vocabulary),
        defaults_(defaults),
        limits_(limits),
        clock_(clock),
        exchange_(exchange),
        vocab_(llama_model_get_vocab(llama_get_model(context_.get()))),
        sequences_(limits.sequences) {
    llama_set_abort_callback(
        context_.get(), [](void* stop) { return static_cast<std::atomic<bool>*>(stop)->load(); },
        &exchange_.stop);
    thread_ = std::thread([this] { run(); });
  }
  ~Worker() { thread_.join(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Under the exchange's mutex.
  std::deque<ChatRequest> waiting;
  std::size_t load = 0;  ///< waiting and in the making

 private:
  void run();
  void admit(ChatRequest request);
  void step();
  /// Computes; the logits of tokens whose `wanted` flag is set can be read afterwards.
  [[nodiscard]] bool compute();
  void add(LlamaToken token, std::size_t position, std::size_t sequence, bool wanted);
  /// Chooses the next token from the logits of the batch's entry; ends the sequence if it is over.
  void advance(std::size_t sequence, std::int32_t batch_index);
  void finish(std::size_t sequence, FinishReason reason);
  /// Drops the sequence from the attention cache.
  void forget(std::size_t sequence) {
    llama_memory_seq_rm(llama_get_memory(context_.get()), static_cast<llama_seq_id>(sequence), -1,
                        -1);
  }
  void end(std::uint64_t request_id, std::int64_t started_us, DrawOutcome outcome);
  void fail_all();

  ContextPointer context_;
  const LlamaVocabulary& vocabulary_;
  SamplingDefaults defaults_;
  Limits limits_;
  const Clock& clock_;
  Exchange& exchange_;
  const llama_vocab* vocab_;
  std::vector<std::optional<Sequence>> sequences_;  ///< the index is llama.cpp's sequence id
  std::vector<float> scratch_;

  // The batch under construction.
  std::vector<LlamaToken> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<llama_seq_id> ids_;
  std::vector<std::int32_t> id_counts_;
  std::vector<std::int8_t> wanted_;

  std::thread thread_;  // last: it uses all of the above
};

void Worker::add(LlamaToken token, std::size_t position, std::size_t sequence, bool wanted) {
  tokens_.push_back(token);
  positions_.push_back(static_cast<llama_pos>(position));
  ids_.push_back(static_cast<llama_seq_id>(sequence));
  id_counts_.push_back(1);
  wanted_.push_back(wanted ? 1 : 0);
}

bool Worker::compute() {
  std::vector<llama_seq_id*> id_lists;
  id_lists.reserve(ids_.size());
  for (llama_seq_id& id : ids_) id_lists.push_back(&id);
  llama_batch batch{};
  batch.n_tokens = static_cast<std::int32_t>(tokens_.size());
  batch.token = tokens_.data();
  batch.pos = positions_.data();
  batch.n_seq_id = id_counts_.data();
  batch.seq_id = id_lists.data();
  batch.logits = wanted_.data();
  const bool done = llama_decode(context_.get(), batch) == 0;
  tokens_.clear();
  positions_.clear();
  ids_.clear();
  id_counts_.clear();
  wanted_.clear();
  return done;
}

void Worker::run() {
  while (!exchange_.stop) {
    std::vector<ChatRequest> admitted;
    {
      std::unique_lock lock(exchange_.mutex);
      const bool idle = std::none_of(sequences_.begin(), sequences_.end(),
                                     [](const auto& sequence) { return sequence.has_value(); });
      if (idle) exchange_.work.wait(lock, [&] { return exchange_.stop || !waiting.empty(); });
      while (!waiting.empty()) {
        admitted.push_back(std::move(waiting.front()));
        waiting.pop_front();
      }
    }
    for (ChatRequest& request : admitted) admit(std::move(request));
    if (!exchange_.stop) step();
  }
}

/// Reads the prompt into a free sequence and chooses the first token of the answer.
void Worker::admit(ChatRequest request) {
  const std::int64_t started_us = clock_.now_us();
  const auto refuse = [&](FailureReason reason, std::string detail) {
    end(request.id, started_us, Failure{reason, std::move(detail)});
  };
  const bool has_tools =
      !request.tools.empty() ||
      std::any_of(request.messages.begin(), request.messages.end(), [](const Message& message) {
        return message.role == Role::kTool || !message.tool_calls.empty();
      });
  if (has_tools) return refuse(FailureReason::kBadRequest, "llama/… takes no tools");
  const auto prompt = vocabulary_.prompt(request.messages);
  if (!prompt) return refuse(FailureReason::kBadRequest, prompt.error().message);
  const std::size_t room =
      limits_.context_tokens - std::min(limits_.context_tokens, prompt->size());
  const std::size_t tokens_max = request.sampling.max_tokens.value_or(room);
  if (prompt->empty() || room == 0 || tokens_max > room) {
    return refuse(FailureReason::kContextOverflow,
                  std::to_string(prompt->size()) + " prompt tokens and " +
                      std::to_string(request.sampling.max_tokens.value_or(1)) +
                      " for the answer; the context holds " +
                      std::to_string(limits_.context_tokens));
  }

  const auto free = std::find(sequences_.begin(), sequences_.end(), std::nullopt);
  UNDERSTUDY_ASSERT(free != sequences_.end());
  const auto sequence = static_cast<std::size_t>(free - sequences_.begin());
  for (std::size_t begin = 0; begin < prompt->size(); begin += kBatchTokens) {
    const std::size_t end = std::min(prompt->size(), begin + kBatchTokens);
    for (std::size_t i = begin; i < end; ++i) {
      add((*prompt)[i], i, sequence, i + 1 == prompt->size());
    }
    if (!compute()) {
      forget(sequence);
      return refuse(FailureReason::kModelError, "llama.cpp could not compute the prompt");
    }
  }
  {
    const std::lock_guard lock(exchange_.mutex);
    exchange_.prompt_tokens += prompt->size();
  }
  Sequence& made = free->emplace();
  made.request_id = request.id;
  made.rng = Rng(request.seed);
  made.temperature = request.sampling.temperature.value_or(defaults_.temperature);
  made.top_p = request.sampling.top_p.value_or(defaults_.top_p);
  made.tokens_max = tokens_max;
  made.usage.prompt_tokens = prompt->size();
  made.position = prompt->size();
  made.started_us = started_us;
  advance(sequence, -1);
}

/// One token for each sequence.
void Worker::step() {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    if (!sequences_[i]) continue;
    add(sequences_[i]->next, sequences_[i]->position, i, true);
    ++sequences_[i]->position;
    order.push_back(i);
  }
  if (order.empty()) return;
  if (!compute()) {
    if (!exchange_.stop) fail_all();
    return;
  }
  {
    const std::lock_guard lock(exchange_.mutex);
    exchange_.completion_tokens += order.size();
  }
  for (std::size_t i = 0; i < order.size(); ++i) advance(order[i], static_cast<std::int32_t>(i));
}

void Worker::advance(std::size_t sequence, std::int32_t batch_index) {
  Sequence& answer = *sequences_[sequence];
  if (answer.usage.completion_tokens == answer.tokens_max) {
    return finish(sequence, FinishReason::kLength);
  }
  const float* logits = llama_get_logits_ith(context_.get(), batch_index);
  UNDERSTUDY_ASSERT(logits != nullptr);
  const auto count = static_cast<std::size_t>(llama_vocab_n_tokens(vocab_));
  const auto token = static_cast<LlamaToken>(choose_token(
      {logits, count}, answer.temperature, answer.top_p, answer.rng.uniform(), scratch_));
  ++answer.usage.completion_tokens;
  if (llama_vocab_is_eog(vocab_, token)) return finish(sequence, FinishReason::kStop);
  answer.bytes += vocabulary_.piece(token);
  answer.next = token;
  // The last token that is allowed needs no computation of its own.
  if (answer.usage.completion_tokens == answer.tokens_max) {
    finish(sequence, FinishReason::kLength);
  }
}

void Worker::finish(std::size_t sequence, FinishReason reason) {
  Sequence& answer = *sequences_[sequence];
  Completion completion;
  completion.content = replace_invalid_utf8(whole_code_points(answer.bytes));
  completion.finish = reason;
  completion.usage = answer.usage;
  forget(sequence);
  end(answer.request_id, answer.started_us, std::move(completion));
  sequences_[sequence].reset();
}

void Worker::end(std::uint64_t request_id, std::int64_t started_us, DrawOutcome outcome) {
  ChatOutcome ended;
  ended.id = request_id;
  ended.outcome = std::move(outcome);
  ended.latency_ms = static_cast<double>(clock_.now_us() - started_us) / 1000;
  const std::lock_guard lock(exchange_.mutex);
  --load;
  exchange_.outcomes.push_back(std::move(ended));
  exchange_.ended.notify_one();
}

void Worker::fail_all() {
  llama_memory_clear(llama_get_memory(context_.get()), true);
  for (std::optional<Sequence>& sequence : sequences_) {
    if (!sequence) continue;
    end(sequence->request_id, sequence->started_us,
        Failure{FailureReason::kModelError, "llama.cpp could not compute a token"});
    sequence.reset();
  }
}

class LlamaModel final : public ChatModel {
 public:
  LlamaModel(ModelPointer model, std::unique_ptr<LlamaVocabulary> vocabulary,
             std::vector<ContextPointer> contexts, SamplingDefaults defaults, Limits limits,
             const Clock& clock)
      : model_(std::move(model)), vocabulary_(std::move(vocabulary)), limits_(limits) {
    for (ContextPointer& context : contexts) {
      workers_.push_back(std::make_unique<Worker>(std::move(context), *vocabulary_, defaults,
                                                  limits, clock, exchange_));
    }
  }
  ~LlamaModel() override {
    {
      const std::lock_guard lock(exchange_.mutex);
      exchange_.stop = true;
    }
    exchange_.work.notify_all();
  }

  [[nodiscard]] std::string identity() const override { return vocabulary_->identity(); }
  [[nodiscard]] const Tokenizer* tokenizer() const override { return vocabulary_.get(); }

  [[nodiscard]] std::size_t free_slots() const override {
    const std::lock_guard lock(exchange_.mutex);
    return limits_.sequences * workers_.size() - in_flight();
  }

  void submit(ChatRequest request) override {
    const std::lock_guard lock(exchange_.mutex);
    Worker& least =
        **std::min_element(workers_.begin(), workers_.end(),
                           [](const auto& a, const auto& b) { return a->load < b->load; });
    UNDERSTUDY_ASSERT(least.load < limits_.sequences);
    ++least.load;
    ++exchange_.requests;
    least.waiting.push_back(std::move(request));
    exchange_.work.notify_all();
  }

  [[nodiscard]] std::vector<ChatOutcome> poll(int timeout_ms) override {
    std::unique_lock lock(exchange_.mutex);
    if (exchange_.outcomes.empty() && in_flight() > 0) {
      exchange_.ended.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                               [&] { return !exchange_.outcomes.empty(); });
    }
    return std::exchange(exchange_.outcomes, {});
  }

  [[nodiscard]] ModelStatus status() const override {
    const std::lock_guard lock(exchange_.mutex);
    ModelStatus status;
    status.in_flight = in_flight();
    status.concurrency_limit = limits_.sequences * workers_.size();
    status.prompt_tokens = exchange_.prompt_tokens;
    status.completion_tokens = exchange_.completion_tokens;
    status.requests_sent = exchange_.requests;
    return status;
  }

 private:
  /// Under the mutex.
  [[nodiscard]] std::size_t in_flight() const {
    std::size_t count = 0;
    for (const auto& worker : workers_) count += worker->load;
    return count;
  }

  ModelPointer model_;
  std::unique_ptr<LlamaVocabulary> vocabulary_;
  Limits limits_;
  mutable Exchange exchange_;
  std::vector<std::unique_ptr<Worker>> workers_;  // last: they use all of the above
};

void start_llama() {
  static const bool kStarted = [] {
    // Its log goes to stderr, a page for every model, between our lines of progress.
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    llama_backend_init();
    return true;
  }();
  UNDERSTUDY_ASSERT(kStarted);
}

Result<std::string> file_digest(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Sha256 hash;
  std::vector<char> block(1U << 20U);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0) {
    hash.bytes({block.data(), static_cast<std::size_t>(in.gcount())});
  }
  if (!in.eof()) return unexpected(ErrorCode::kUsage, "cannot read the model file", {path, {}, {}});
  return hex(hash.finish());
}

/// A number that the model file's author put there for sampling.
double recommended(const llama_model* model, llama_model_meta_key key, double otherwise) {
  std::array<char, 64> text{};
  const char* name = llama_model_meta_key_str(key);
  if (name == nullptr || llama_model_meta_val_str(model, name, text.data(), text.size()) <= 0) {
    return otherwise;
  }
  double value = otherwise;
  const std::string_view digits = text.data();
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

Limits choose_limits(const llama_model* model, const LlamaOptions& options, std::size_t workers) {
  const auto count = [](std::int32_t n) { return static_cast<std::size_t>(std::max(n, 1)); };
  Limits limits;
  limits.context_tokens = std::min(options.context_tokens, count(llama_model_n_ctx_train(model)));
  const std::size_t heads = count(llama_model_n_head(model));
  // A key and a value of two bytes for each layer and head that has its own.
  const std::size_t bytes_per_token = std::size_t{4} * count(llama_model_n_layer(model)) *
                                      count(llama_model_n_head_kv(model)) *
                                      (count(llama_model_n_embd(model)) / heads);
  const std::size_t fit = options.cache_bytes_max / (bytes_per_token * limits.context_tokens);
  limits.sequences = std::max<std::size_t>(1, std::min(options.parallel, fit) / workers);
  return limits;
}

ContextPointer make_context(llama_model* model, Limits limits) {
  llama_context_params params = llama_context_default_params();
  const std::size_t rounded =
      (limits.context_tokens + kContextStep - 1) / kContextStep * kContextStep;
  params.n_ctx = static_cast<std::uint32_t>(rounded * limits.sequences);
  params.n_seq_max = static_cast<std::uint32_t>(limits.sequences);
  params.n_batch = kBatchTokens;
  params.n_ubatch = kBatchTokens;
  params.n_outputs_max = static_cast<std::uint32_t>(limits.sequences);
  params.n_threads = 1;
  params.n_threads_batch = 1;
  params.kv_unified = false;  // attention over one's own tokens and not over all sequences'
  params.no_perf = true;
  return ContextPointer(llama_init_from_model(model, params));
}

}  // namespace

bool has_llama() {
  return true;
}

Result<std::unique_ptr<ChatModel>> make_llama_model(std::string_view name,
                                                    const LlamaOptions& options,
                                                    const Clock& clock) {
  UNDERSTUDY_ASSERT(options.parallel > 0 && options.context_tokens > 0);
  UNDERSTUDY_TRY(const std::string path, llama_weights_path(name, options.cache_dir));
  UNDERSTUDY_TRY(const std::string digest, file_digest(path));
  start_llama();
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  ModelPointer model(llama_model_load_from_file(path.c_str(), params));
  if (!model) {
    return unexpected(ErrorCode::kUsage,
                      "llama.cpp cannot load this file: it is not a GGUF model, is damaged, or is "
                      "of a kind that this version does not know",
                      {path, {}, {}});
  }
  auto vocabulary =
      LlamaVocabulary::open(model.get(), "llama/" + std::string(name) + " sha256:" + digest);
  if (!vocabulary) {
    Error error = std::move(vocabulary).error();
    error.where.file = path;
    return unexpected(std::move(error));
  }
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t wanted = options.workers > 0 ? options.workers : cores;
  const std::size_t workers = std::min(wanted, options.parallel);
  const Limits limits = choose_limits(model.get(), options, workers);
  std::vector<ContextPointer> contexts;
  for (std::size_t i = 0; i < workers; ++i) {
    contexts.push_back(make_context(model.get(), limits));
    if (!contexts.back()) {
      return unexpected(ErrorCode::kInfrastructure,
                        "llama.cpp could not set up the model: is there too little memory?",
                        {path, {}, {}});
    }
  }
  const SamplingDefaults defaults{recommended(model.get(), LLAMA_MODEL_META_KEY_SAMPLING_TEMP, 1),
                                  recommended(model.get(), LLAMA_MODEL_META_KEY_SAMPLING_TOP_P, 1)};
  return std::unique_ptr<ChatModel>(std::make_unique<LlamaModel>(
      std::move(model), std::move(*vocabulary), std::move(contexts), defaults, limits, clock));
}

}  // namespace understudy
#endif
