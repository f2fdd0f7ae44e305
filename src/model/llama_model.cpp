#ifdef UNDERSTUDY_HAS_LLAMA
#include "model/llama_model.hpp"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <fstream>
#include <numeric>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>

#include "base/assert.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "model/llama_vocabulary.hpp"
#include "model/llama_worker.hpp"

namespace understudy {
namespace {

constexpr std::size_t kContextStep = 256;  ///< llama.cpp rounds contexts up to this
constexpr std::size_t kWorkerCores = 4;    ///< more threads would wait more than they compute
/// Prompts to read that are worth a word in the progress: some seconds' work.
constexpr std::size_t kReadingNoteTokens = 1000;

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
using ModelPointer = std::unique_ptr<llama_model, ModelDeleter>;

/// What a request gets where it does not say.
struct SamplingDefaults {
  double temperature = 1;
  double top_p = 1;
};

/// How the memory is divided.
struct Limits {
  std::size_t context_tokens = 0;      ///< prompt and answer of one sequence
  std::vector<std::size_t> sequences;  ///< by worker
  [[nodiscard]] std::size_t total() const {
    return std::accumulate(sequences.begin(), sequences.end(), std::size_t{0});
  }
};

std::size_t cores() {
  return std::max(1U, std::thread::hardware_concurrency());
}

class LlamaModel final : public ChatModel {
 public:
  LlamaModel(ModelPointer model, std::unique_ptr<LlamaVocabulary> vocabulary,
             std::vector<LlamaContextPointer> contexts, SamplingDefaults defaults, Limits limits,
             bool reuse, const Clock& clock)
      : model_(std::move(model)),
        vocabulary_(std::move(vocabulary)),
        defaults_(defaults),
        limits_(std::move(limits)) {
    for (const std::size_t count : limits_.sequences) exchange_.slots.emplace_back(count);
    const std::size_t cores_each = std::max<std::size_t>(1, cores() / contexts.size());
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      workers_.push_back(std::make_unique<LlamaWorker>(std::move(contexts[i]), *vocabulary_, clock,
                                                       exchange_, i, cores_each, reuse));
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
  [[nodiscard]] std::size_t free_slots() const override { return requests_max() - in_flight_; }

  void submit(ChatRequest request) override {
    UNDERSTUDY_ASSERT(in_flight_ < requests_max());
    ++in_flight_;
    ++requests_;
    const std::uint64_t id = request.id;
    auto prompt = read(request);
    const std::lock_guard lock(exchange_.mutex);
    if (auto* outcome = std::get_if<DrawOutcome>(&prompt)) {
      exchange_.outcomes.push_back({.id = id, .outcome = std::move(*outcome)});
      return;
    }
    exchange_.waiting.push_back(std::get<LlamaPrompt>(std::move(prompt)));
    exchange_.work.notify_all();
  }

  [[nodiscard]] std::vector<ChatOutcome> poll(int timeout_ms) override {
    std::unique_lock lock(exchange_.mutex);
    if (in_flight_ > 0) {
      exchange_.ended.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                               [&] { return !exchange_.outcomes.empty(); });
    }
    in_flight_ -= exchange_.outcomes.size();
    return std::exchange(exchange_.outcomes, {});
  }

  [[nodiscard]] ModelStatus status() const override {
    const std::lock_guard lock(exchange_.mutex);
    ModelStatus status;
    status.in_flight = in_flight_;
    status.concurrency_limit = requests_max();
    status.prompt_tokens = exchange_.prompt_tokens;
    status.completion_tokens = exchange_.completion_tokens;
    status.requests_sent = requests_;
    std::size_t to_read = 0;
    for (const auto& slots : exchange_.slots) {
      for (const CacheSlot& slot : slots) to_read += slot.tokens.size() - slot.computed;
    }
    if (to_read >= kReadingNoteTokens) {
      status.note = fmt::format("reads prompts: {} tokens to go", with_commas(to_read));
    }
    return status;
  }

 private:
  /// Sequences and those that wait for one.
  [[nodiscard]] std::size_t requests_max() const { return limits_.total() + kLlamaWaitingMax; }

  /// The request as the model reads it, or the outcome that needs no reading.
  [[nodiscard]] std::variant<LlamaPrompt, DrawOutcome> read(const ChatRequest& request) const {
    const bool has_tools =
        !request.tools.empty() ||
        std::any_of(request.messages.begin(), request.messages.end(), [](const Message& message) {
          return message.role == Role::kTool || !message.tool_calls.empty();
        });
    if (has_tools) return Failure{FailureReason::kBadRequest, "llama/… takes no tools"};
    auto tokens = vocabulary_->prompt(request.messages);
    if (!tokens) return Failure{FailureReason::kBadRequest, tokens.error().message};
    const SamplingOptions& sampling = request.sampling;
    const std::size_t size = tokens->size();
    const std::size_t room = limits_.context_tokens - std::min(limits_.context_tokens, size);
    const std::size_t tokens_max = sampling.max_tokens.value_or(room);
    if (size == 0 || room == 0 || tokens_max > room) {
      return Failure{FailureReason::kContextOverflow,
                     fmt::format("{} prompt tokens and {} for the answer; the context holds {}",
                                 size, sampling.max_tokens.value_or(1), limits_.context_tokens)};
    }
    if (tokens_max == 0) {
      Completion nothing;
      nothing.finish = FinishReason::kLength;
      nothing.usage.prompt_tokens = size;
      return DrawOutcome(std::move(nothing));
    }
    return LlamaPrompt{.request_id = request.id,
                       .seed = request.seed,
                       .tokens = std::move(*tokens),
                       .tokens_max = tokens_max,
                       .temperature = sampling.temperature.value_or(defaults_.temperature),
                       .top_p = sampling.top_p.value_or(defaults_.top_p)};
  }

  ModelPointer model_;
  std::unique_ptr<LlamaVocabulary> vocabulary_;
  SamplingDefaults defaults_;
  Limits limits_;
  std::size_t in_flight_ = 0;  ///< submitted, not yet given back by poll
  std::uint64_t requests_ = 0;
  LlamaExchange exchange_;
  std::vector<std::unique_ptr<LlamaWorker>> workers_;  // last: they use all of the above
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

/// What the model file says under this name; empty where it says nothing.
std::string metadata(const llama_model* model, const std::string& name) {
  std::array<char, 64> text{};
  const std::int32_t size = llama_model_meta_val_str(model, name.c_str(), text.data(), text.size());
  return size > 0 ? text.data() : "";
}

/// A number that the model file holds under this name; nothing where it holds none.
template <class Number>
std::optional<Number> metadata_number(const llama_model* model, const std::string& name) {
  const std::string digits = metadata(model, name);
  Number value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

/// What the model file's author advises for sampling.
SamplingDefaults recommended(const llama_model* model) {
  const auto number = [&](llama_model_meta_key key) {
    const char* name = llama_model_meta_key_str(key);
    return name == nullptr ? std::nullopt : metadata_number<double>(model, name);
  };
  SamplingDefaults defaults;
  const auto temperature = number(LLAMA_MODEL_META_KEY_SAMPLING_TEMP);
  if (temperature && *temperature >= 0) defaults.temperature = *temperature;
  const auto top_p = number(LLAMA_MODEL_META_KEY_SAMPLING_TOP_P);
  if (top_p && *top_p > 0 && *top_p <= 1) defaults.top_p = *top_p;
  return defaults;
}

std::size_t rounded_context(std::size_t tokens) {
  return (tokens + kContextStep - 1) / kContextStep * kContextStep;
}

/// Of one token in the attention cache: a key and a value of two bytes for each dimension of each
/// layer's key-value heads. Models whose layers share them, or keep a state instead, take less.
std::size_t cache_bytes_per_token(const llama_model* model) {
  const auto count = [](std::int32_t n) { return static_cast<std::size_t>(std::max(n, 1)); };
  const std::size_t usual = count(llama_model_n_embd(model)) / count(llama_model_n_head(model));
  const std::string kind = metadata(model, "general.architecture");
  const auto size = [&](const char* name) -> std::size_t {
    const auto known = metadata_number<std::uint32_t>(model, kind + ".attention." + name);
    return std::max<std::size_t>(1, known.value_or(usual));
  };
  return 2 * count(llama_model_n_layer(model)) * count(llama_model_n_head_kv(model)) *
         (size("key_length") + size("value_length"));
}

/// As many sequences as are wanted and fit; where not even one fits, a shorter context.
Result<Limits> choose_limits(const llama_model* model, const LlamaOptions& options) {
  const std::size_t token_bytes = cache_bytes_per_token(model);
  const std::size_t budget_tokens = options.cache_bytes_max / token_bytes;
  if (budget_tokens < kContextStep) {
    return unexpected(
        ErrorCode::kUsage,
        fmt::format("the memory for the model's attention cache is {} MiB, and {} tokens of "
                    "context take {} MiB: raise replay.embedded_memory_mb",
                    options.cache_bytes_max >> 20U, kContextStep,
                    ((token_bytes * kContextStep) >> 20U) + 1));
  }
  Limits limits;
  const auto trained = static_cast<std::size_t>(std::max(llama_model_n_ctx_train(model), 1));
  limits.context_tokens =
      std::min({options.context_tokens, trained, budget_tokens / kContextStep * kContextStep});
  const std::size_t total =
      std::min(options.parallel, budget_tokens / rounded_context(limits.context_tokens));
  const std::size_t wanted =
      options.workers > 0 ? options.workers : (cores() + kWorkerCores - 1) / kWorkerCores;
  const std::size_t workers = std::min(wanted, total);
  for (std::size_t i = 0; i < workers; ++i) {
    limits.sequences.push_back(total / workers + (i < total % workers ? 1 : 0));
  }
  return limits;
}

LlamaContextPointer make_context(llama_model* model, std::size_t context_tokens,
                                 std::size_t sequences) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<std::uint32_t>(rounded_context(context_tokens) * sequences);
  params.n_seq_max = static_cast<std::uint32_t>(sequences);
  params.n_batch = static_cast<std::uint32_t>(kReadTokens + sequences);
  params.n_ubatch = params.n_batch;
  params.n_outputs_max = static_cast<std::uint32_t>(sequences);
  params.kv_unified = false;  // attention over one's own tokens and not over all sequences'
  params.no_perf = true;
  return LlamaContextPointer(llama_init_from_model(model, params));
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
  UNDERSTUDY_TRY(Limits limits, choose_limits(model.get(), options));
  std::vector<LlamaContextPointer> contexts;
  for (const std::size_t sequences : limits.sequences) {
    contexts.push_back(make_context(model.get(), limits.context_tokens, sequences));
    if (!contexts.back()) {
      return unexpected(ErrorCode::kInfrastructure,
                        "llama.cpp could not set up the model: is there too little memory?",
                        {path, {}, {}});
    }
  }
  const SamplingDefaults defaults = recommended(model.get());
  return std::unique_ptr<ChatModel>(
      std::make_unique<LlamaModel>(std::move(model), std::move(*vocabulary), std::move(contexts),
                                   defaults, std::move(limits), options.reuse, clock));
}

}  // namespace understudy
#endif
