// What the embedded model loses to llama.cpp itself, and what it spares.
//
// Decoding: answers by our model, with templates, sampling and continuous batches, against bare
// loops around llama_decode that pick the largest logit: the same weights, prompts, number of
// tokens and of sequences at a time, one after the other in each round. The time that the prompts
// take is measured with answers of one token and taken off. Aim: 95% of the best bare loop at eight
// sequences.
//
// Reuse: the prompt tokens that are computed for every turn of packaged conversations of six turns
// or more, against those that the prompts have. A count, not a time. Aim: three times fewer. A few
// conversations are run; for a thousand it is counted what has to be computed if no cache is lost.
//
//   bench_llama                                    all, with the defaults
//   bench_llama decode [SEQUENCES] [TOKENS] [ROUNDS]
//   bench_llama reuse [CONVERSATIONS] [CONTEXT-TOKENS] [ANSWER-TOKENS]
//   bench_llama count [CONVERSATIONS] [CONTEXT-TOKENS]

#include <llama.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "ingest/log_reader.hpp"
#include "model/llama_model.hpp"
#include "model/llama_vocabulary.hpp"

namespace {

using namespace understudy;

constexpr std::size_t kLeastTurns = 6;
constexpr std::size_t kContextTokens = 512;  ///< of a sequence while decoding

std::size_t cores() {
  return std::max(1U, std::thread::hardware_concurrency());
}

[[noreturn]] void fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.describe().c_str());
  std::exit(4);
}

std::unique_ptr<ChatModel> open_model(const LlamaOptions& options, const Clock& clock) {
  auto model = make_llama_model("smollm2-135m", options, clock);
  if (!model) fail(model.error());
  return std::move(*model);
}

/// The model answers all of them; what it is told of each outcome.
void answer_all(ChatModel& model, std::size_t count,
                const std::function<ChatRequest(std::size_t)>& request,
                const std::function<void(const DrawOutcome&)>& take) {
  std::size_t sent = 0;
  for (std::size_t ended = 0; ended < count;) {
    while (sent < count && model.free_slots() > 0) model.submit(request(sent++));
    for (const ChatOutcome& outcome : model.poll(1000)) {
      ++ended;
      take(outcome.outcome);
    }
  }
}

// Decoding.

struct Load {
  std::size_t parallel = 8;
  std::size_t tokens = 64;
  std::size_t rounds = 7;
  /// Answers in a run: enough for the batch to be filled anew.
  [[nodiscard]] std::size_t answers() const { return parallel * 2; }
};

struct Times {
  double wall_s = 0;
  double cpu_s = 0;  ///< of all threads: what else runs on the machine hardly changes it
};

/// What `work` takes.
Times time_of(const Clock& clock, const std::function<void()>& work) {
  const std::int64_t start_us = clock.now_us();
  const std::clock_t start_cpu = std::clock();
  work();
  return {static_cast<double>(clock.now_us() - start_us) / 1e6,
          static_cast<double>(std::clock() - start_cpu) / CLOCKS_PER_SEC};
}

ChatRequest question(std::size_t number) {
  ChatRequest request;
  request.id = number;
  request.seed = number;
  request.messages.emplace_back();
  request.messages.back().content =
      "Write a long story in many chapters about a ship, its captain and storm " +
      std::to_string(number) + ".";
  return request;
}

/// Answers the questions with `tokens` tokens each.
void answer(ChatModel& model, const Load& load, std::size_t tokens) {
  const auto request = [&](std::size_t number) {
    ChatRequest made = question(number);
    made.sampling.max_tokens = static_cast<std::uint32_t>(tokens);
    return made;
  };
  answer_all(model, load.answers(), request, [&](const DrawOutcome& outcome) {
    // Shorter ones would leave the batch half empty, and the bare loops never end one.
    if (std::get<Completion>(outcome).usage.completion_tokens < tokens) std::printf("  (short)\n");
  });
}

/// The bare loop: one context, llama.cpp's threads.
class Bare {
 public:
  Bare(llama_model* model, const Load& load, std::size_t threads) : load_(load), model_(model) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(kContextTokens * load.parallel);
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
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  void answer(const LlamaVocabulary& vocabulary, std::size_t tokens) {
    for (std::size_t first = 0; first < load_.answers(); first += load_.parallel) {
      llama_memory_clear(llama_get_memory(context_), false);
      std::vector<LlamaToken> next(load_.parallel);
      std::vector<std::size_t> position(load_.parallel);
      for (std::size_t i = 0; i < load_.parallel; ++i) {
        const auto prompt = vocabulary.prompt(question(first + i).messages);
        batch_.n_tokens = 0;
        for (const LlamaToken token : *prompt) add(token, position[i]++, i, false);
        batch_.logits[batch_.n_tokens - 1] = 1;
        llama_decode(context_, batch_);
        next[i] = largest(-1);
      }
      for (std::size_t token = 1; token < tokens; ++token) {
        batch_.n_tokens = 0;
        for (std::size_t i = 0; i < load_.parallel; ++i) add(next[i], position[i]++, i, true);
        llama_decode(context_, batch_);
        for (std::size_t i = 0; i < load_.parallel; ++i) {
          next[i] = largest(static_cast<std::int32_t>(i));
        }
      }
    }
  }

 private:
  void add(LlamaToken token, std::size_t position, std::size_t sequence, bool wanted) {
    const std::int32_t n = batch_.n_tokens++;
    batch_.token[n] = token;
    batch_.pos[n] = static_cast<llama_pos>(position);
    batch_.n_seq_id[n] = 1;
    batch_.seq_id[n][0] = static_cast<llama_seq_id>(sequence);
    batch_.logits[n] = wanted ? 1 : 0;
  }
  [[nodiscard]] LlamaToken largest(std::int32_t index) const {
    const float* logits = llama_get_logits_ith(context_, index);
    const std::int32_t count = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    return static_cast<LlamaToken>(std::max_element(logits, logits + count) - logits);
  }

  Load load_;
  llama_model* model_;
  llama_context* context_ = nullptr;
  llama_batch batch_{};
};

/// Tokens a second of several rounds.
class Speeds {
 public:
  /// Of `tokens` more tokens: the time of whole answers less that of their first tokens.
  void add(std::size_t tokens, Times whole, Times first) {
    wall_.push_back(static_cast<double>(tokens) / (whole.wall_s - first.wall_s));
    cpu_.push_back(static_cast<double>(tokens) / (whole.cpu_s - first.cpu_s));
  }
  [[nodiscard]] static double middle(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  [[nodiscard]] double last() const { return wall_.back(); }
  [[nodiscard]] double wall() const { return middle(wall_); }
  void print(const char* name) const {
    std::printf("  %-24s %8.0f %8.0f %12.0f\n", name, wall(),
                *std::max_element(wall_.begin(), wall_.end()), middle(cpu_));
  }

 private:
  std::vector<double> wall_;
  std::vector<double> cpu_;
};

void bench_decoding(const Load& load, const Clock& clock) {
  LlamaOptions options;
  options.cache_dir = UNDERSTUDY_CACHE_DIR;
  options.parallel = load.parallel;
  options.reuse = false;  // the bare loops have none
  options.context_tokens = kContextTokens;
  const auto path = llama_weights_path("smollm2-135m", options.cache_dir);
  if (!path) fail(path.error());
  const auto ours = open_model(options, clock);  // first: it silences llama.cpp's log
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  llama_model* weights = llama_model_load_from_file(path->c_str(), model_params);
  const auto vocabulary = LlamaVocabulary::open(weights, "bench");
  std::printf("decoding: SmolLM2-135M Q8_0, %zu sequences of %zu tokens, %zu cores\n",
              load.parallel, load.tokens, cores());
  Speeds our_speeds;
  Speeds all_cores_speeds;
  Speeds one_core_speeds;
  std::vector<double> kept;
  const auto measure = [&](Speeds& speeds, const std::function<void(std::size_t)>& answer_with) {
    const Times first = time_of(clock, [&] { answer_with(1); });
    const Times whole = time_of(clock, [&] { answer_with(load.tokens); });
    speeds.add(load.answers() * (load.tokens - 1), whole, first);
  };
  {
    Bare all_cores(weights, load, cores());
    Bare one_core(weights, load, 1);
    for (std::size_t round = 0; round < load.rounds; ++round) {
      measure(our_speeds, [&](std::size_t count) { answer(*ours, load, count); });
      measure(all_cores_speeds, [&](std::size_t count) { all_cores.answer(**vocabulary, count); });
      measure(one_core_speeds, [&](std::size_t count) { one_core.answer(**vocabulary, count); });
      kept.push_back(100 * our_speeds.last() /
                     std::max(all_cores_speeds.last(), one_core_speeds.last()));
      std::printf("  round %zu: embedded %.0f, bare %.0f, one core %.0f tokens/s: %.1f%% kept\n",
                  round + 1, our_speeds.last(), all_cores_speeds.last(), one_core_speeds.last(),
                  kept.back());
    }
  }
  llama_model_free(weights);
  std::printf("  tokens a second            median     most   CPU second\n");
  our_speeds.print("embedded model");
  all_cores_speeds.print("bare loop, all cores");
  one_core_speeds.print("bare loop, one core");
  std::printf("  kept of the best bare loop: %.1f%% (the median round)\n", Speeds::middle(kept));
}

// Reuse.

struct ReuseLoad {
  std::size_t conversations = 20;
  std::size_t context_tokens = 4096;
  std::size_t answer_tokens = 4;
};

/// The first `count` conversations of enough turns.
std::vector<Conversation> conversations_of_the_log(std::size_t count) {
  const LogFile log = {
      .path = UNDERSTUDY_CACHE_DIR "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json",
      .name = "log"};
  auto reader = LogReader::open(log, {});
  if (!reader) fail(reader.error());
  std::vector<Conversation> conversations;
  while (conversations.size() < count) {
    auto item = reader->next();
    if (!item) fail(item.error());
    if (std::holds_alternative<EndOfLog>(*item)) break;
    LogRecord* const record = std::get_if<LogRecord>(&*item);
    if (record == nullptr || turns_of(record->conversation.messages).size() < kLeastTurns) continue;
    conversations.push_back(std::move(record->conversation));
  }
  return conversations;
}

void print_reuse(std::uint64_t prompt_tokens, std::uint64_t computed) {
  std::printf("  prompt tokens %10llu, computed %9llu: %.2f times fewer\n",
              static_cast<unsigned long long>(prompt_tokens),
              static_cast<unsigned long long>(computed),
              static_cast<double>(prompt_tokens) / static_cast<double>(computed));
}

void count_reuse(std::size_t count, std::size_t context_tokens) {
  const auto path = llama_weights_path("smollm2-135m", UNDERSTUDY_CACHE_DIR);
  if (!path) fail(path.error());
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* weights = llama_model_load_from_file(path->c_str(), params);
  const auto vocabulary = LlamaVocabulary::open(weights, "bench");
  if (!vocabulary) fail(vocabulary.error());
  std::uint64_t prompt_tokens = 0;
  std::uint64_t computed = 0;
  std::size_t cuts = 0;
  const std::vector<Conversation> conversations = conversations_of_the_log(count);
  for (const Conversation& conversation : conversations) {
    const std::vector<Message>& messages = conversation.messages;
    std::vector<LlamaToken> before;
    for (const Turn& turn : turns_of(messages)) {
      auto prompt = (*vocabulary)->prompt({messages.begin(), messages.begin() + turn.cut});
      if (!prompt || prompt->size() >= context_tokens) break;
      const auto common =
          std::mismatch(before.begin(), before.end(), prompt->begin(), prompt->end());
      prompt_tokens += prompt->size();
      computed += static_cast<std::size_t>(prompt->end() - common.second);
      before = std::move(*prompt);
      ++cuts;
    }
  }
  llama_model_free(weights);
  std::printf("reuse, counted: %zu turns of the first %zu conversations with %zu turns or more\n",
              cuts, conversations.size(), kLeastTurns);
  print_reuse(prompt_tokens, computed);
}

void bench_reuse(const ReuseLoad& load, const Clock& clock) {
  LlamaOptions options;
  options.cache_dir = UNDERSTUDY_CACHE_DIR;
  options.context_tokens = load.context_tokens;
  const auto model = open_model(options, clock);
  const std::size_t sequences = model->free_slots() - kLlamaWaitingMax;
  struct Cut {
    std::size_t conversation = 0;
    std::uint32_t cut = 0;
  };
  const std::vector<Conversation> conversations = conversations_of_the_log(load.conversations);
  std::vector<Cut> cuts;
  for (std::size_t i = 0; i < conversations.size(); ++i) {
    for (const Turn& turn : turns_of(conversations[i].messages)) cuts.push_back({i, turn.cut});
  }
  std::printf("reuse: all %zu turns of the first %zu conversations with %zu turns or more\n",
              cuts.size(), conversations.size(), kLeastTurns);
  std::uint64_t prompt_tokens = 0;
  std::size_t overflowed = 0;
  const std::int64_t start_us = clock.now_us();
  answer_all(
      *model, cuts.size(),
      [&](std::size_t number) {
        const std::vector<Message>& messages = conversations[cuts[number].conversation].messages;
        ChatRequest request;
        request.id = request.seed = number;
        request.messages.assign(messages.begin(), messages.begin() + cuts[number].cut);
        request.sampling.max_tokens = static_cast<std::uint32_t>(load.answer_tokens);
        return request;
      },
      [&](const DrawOutcome& outcome) {
        const auto* completion = std::get_if<Completion>(&outcome);
        if (completion == nullptr) {
          ++overflowed;
        } else {
          prompt_tokens += completion->usage.prompt_tokens;
        }
      });
  const double seconds = static_cast<double>(clock.now_us() - start_us) / 1e6;
  std::printf("  context %zu tokens, %zu sequences; %zu turns do not fit the context; %.0f s\n",
              load.context_tokens, sequences, overflowed, seconds);
  print_reuse(prompt_tokens, model->status().prompt_tokens);
}

std::size_t argument(int count, char** arguments, int index, std::size_t otherwise) {
  return count > index ? static_cast<std::size_t>(std::atoi(arguments[index])) : otherwise;
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string part = count > 1 ? arguments[1] : "";
  const SystemClock clock;
  if (part.empty() || part == "decode") {
    Load load;
    load.parallel = argument(count, arguments, 2, load.parallel);
    load.tokens = argument(count, arguments, 3, load.tokens);
    load.rounds = argument(count, arguments, 4, load.rounds);
    bench_decoding(load, clock);
  }
  if (part.empty() || part == "reuse") {
    ReuseLoad load;
    load.conversations = argument(count, arguments, 2, load.conversations);
    load.context_tokens = argument(count, arguments, 3, load.context_tokens);
    load.answer_tokens = argument(count, arguments, 4, load.answer_tokens);
    bench_reuse(load, clock);
  }
  if (part.empty() || part == "count") {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    count_reuse(argument(count, arguments, 2, 1000), argument(count, arguments, 3, 4096));
  }
}
