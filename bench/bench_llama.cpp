// How much of llama.cpp's own speed the embedded model keeps: answers by our model, with templates,
// sampling and continuous batches, against a bare loop around llama_decode that picks the largest
// logit, on the same prompts and the same number of tokens. Aim: 95% at eight answers at a time.
//
//   bench_llama [ANSWERS-AT-A-TIME] [TOKENS] [ROUNDS]

#include <llama.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "model/llama_model.hpp"
#include "model/llama_vocabulary.hpp"

namespace {

using namespace understudy;

struct Load {
  std::size_t parallel = 8;
  std::size_t tokens = 96;
  std::size_t rounds = 3;
};

struct Speed {
  double seconds = 0;
  std::uint64_t tokens = 0;
  [[nodiscard]] double per_second() const { return static_cast<double>(tokens) / seconds; }
};

std::vector<Message> question(std::size_t number) {
  Message message;
  message.content = "Write a long story in many chapters about a ship, its captain and storm " +
                    std::to_string(number) + ".";
  return {message};
}

Speed ours(const Load& load, const LlamaOptions& options, const Clock& clock) {
  auto model = make_llama_model("smollm2-135m", options, clock);
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().describe().c_str());
    std::exit(4);
  }
  const std::size_t total = load.parallel * load.rounds;
  std::size_t sent = 0;
  std::size_t ended = 0;
  Speed speed;
  const std::int64_t start_us = clock.now_us();
  while (ended < total) {
    while (sent < total && (*model)->free_slots() > 0) {
      ChatRequest request;
      request.id = sent;
      request.seed = sent;
      request.messages = question(sent++);
      request.sampling.max_tokens = static_cast<std::uint32_t>(load.tokens);
      (*model)->submit(std::move(request));
    }
    for (const ChatOutcome& outcome : (*model)->poll(1000)) {
      ++ended;
      speed.tokens += std::get<Completion>(outcome.outcome).usage.completion_tokens;
    }
  }
  speed.seconds = static_cast<double>(clock.now_us() - start_us) / 1e6;
  return speed;
}

/// The bare loop: one context, llama.cpp's threads.
class Bare {
 public:
  Bare(const std::string& path, const Load& load, std::size_t threads) : load_(load) {
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_ = llama_model_load_from_file(path.c_str(), model_params);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(512 * load.parallel);
    params.n_seq_max = static_cast<std::uint32_t>(load.parallel);
    params.n_batch = params.n_ubatch = 512;
    params.n_threads = params.n_threads_batch = static_cast<std::int32_t>(threads);
    params.kv_unified = false;
    params.no_perf = true;
    context_ = llama_init_from_model(model_, params);
    batch_ = llama_batch_init(512, 0, 1);
  }
  ~Bare() {
    llama_batch_free(batch_);
    llama_free(context_);
    llama_model_free(model_);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  Speed run(const Clock& clock) {
    auto vocabulary = LlamaVocabulary::open(model_, "bench");
    Speed speed;
    const std::int64_t start_us = clock.now_us();
    for (std::size_t round = 0; round < load_.rounds; ++round) {
      llama_memory_clear(llama_get_memory(context_), false);
      std::vector<LlamaToken> next(load_.parallel);
      std::vector<std::size_t> position(load_.parallel);
      for (std::size_t i = 0; i < load_.parallel; ++i) {
        const auto prompt = (*vocabulary)->prompt(question(round * load_.parallel + i));
        batch_.n_tokens = 0;
        for (const LlamaToken token : *prompt) add(token, position[i]++, i);
        llama_decode(context_, batch_);
        next[i] = largest(-1);
      }
      for (std::size_t token = 1; token < load_.tokens; ++token) {
        batch_.n_tokens = 0;
        for (std::size_t i = 0; i < load_.parallel; ++i) add(next[i], position[i]++, i);
        llama_decode(context_, batch_);
        for (std::size_t i = 0; i < load_.parallel; ++i) {
          next[i] = largest(static_cast<std::int32_t>(i));
        }
      }
      speed.tokens += load_.parallel * load_.tokens;
    }
    speed.seconds = static_cast<double>(clock.now_us() - start_us) / 1e6;
    return speed;
  }

 private:
  void add(LlamaToken token, std::size_t position, std::size_t sequence) {
    const std::int32_t n = batch_.n_tokens++;
    batch_.token[n] = token;
    batch_.pos[n] = static_cast<llama_pos>(position);
    batch_.n_seq_id[n] = 1;
    batch_.seq_id[n][0] = static_cast<llama_seq_id>(sequence);
    batch_.logits[n] = 1;
  }
  [[nodiscard]] LlamaToken largest(std::int32_t index) const {
    const float* logits = llama_get_logits_ith(context_, index);
    const std::int32_t count = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    LlamaToken best = 0;
    for (LlamaToken token = 1; token < count; ++token) {
      if (logits[token] > logits[best]) best = token;
    }
    return best;
  }

  Load load_;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  llama_batch batch_{};
};

std::size_t argument(int count, char** arguments, int index, std::size_t otherwise) {
  return count > index ? static_cast<std::size_t>(std::atoi(arguments[index])) : otherwise;
}

}  // namespace

int main(int argument_count, char** arguments) {
  Load load;
  load.parallel = argument(argument_count, arguments, 1, load.parallel);
  load.tokens = argument(argument_count, arguments, 2, load.tokens);
  load.rounds = argument(argument_count, arguments, 3, load.rounds);
  LlamaOptions options;
  options.cache_dir = UNDERSTUDY_CACHE_DIR;
  options.parallel = load.parallel;
  options.context_tokens = 512;
  const SystemClock clock;
  const auto path = llama_weights_path("smollm2-135m", options.cache_dir);
  if (!path) {
    std::fprintf(stderr, "%s\n", path.error().describe().c_str());
    return 4;
  }
  const std::size_t cores = std::thread::hardware_concurrency();
  const Speed our_speed = ours(load, options, clock);  // first: it silences llama.cpp's log
  const double bare = Bare(*path, load, cores).run(clock).per_second();
  const double bare_one = Bare(*path, load, 1).run(clock).per_second();
  std::printf("SmolLM2-135M Q8_0, %zu answers at a time, %zu tokens each, %zu cores\n",
              load.parallel, load.tokens, cores);
  std::printf("  embedded model      %7.0f tokens/s\n", our_speed.per_second());
  std::printf("  llama.cpp           %7.0f tokens/s on all cores: we keep %.0f%%\n", bare,
              100 * our_speed.per_second() / bare);
  std::printf("  llama.cpp           %7.0f tokens/s on one core\n", bare_one);
}
