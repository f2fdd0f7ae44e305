#pragma once
// The embedded model: a GGUF file run by llama.cpp on this machine's processor, without a server.
//
// One worker for every four cores, with its share of the sequences and as many threads as help at
// the moment (thread_choice.hpp): threads that share a computation spin at barriers, and on cores
// that other work uses too they lose more than nine tenths of their speed.
//
// Of prompts that begin alike (the cuts of a conversation, the draws of a prefix) the common part
// is computed once while a cache holds it: ask for them one after the other.
//
// What is reproducible: a token is a function of the logits and the request's seed. The logits
// themselves may differ in the last bits with the machine, the number of threads and what else is
// in the batch, and so with what was reused: the same request can answer otherwise in another run
// (design: what is reproducible begins at the recorded response).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "model/chat_model.hpp"

namespace understudy {

struct LlamaOptions {
  std::string cache_dir;      ///< where script/setup keeps the packaged weights
  std::size_t workers = 0;    ///< each has its share of cores and sequences; 0: cores / 4
  std::size_t parallel = 16;  ///< answers in the making at a time, over all workers
  /// Prompt and answer together; at most what the model was trained on. Memory and `parallel`
  /// depend on it: say what the study needs.
  std::size_t context_tokens = 2048;
  /// Of the attention caches of all workers. Where it is too little, `parallel` is lowered to fit;
  /// where not even one sequence fits, the context.
  std::size_t cache_bytes_max = std::size_t{1} << 30U;
  bool reuse = true;  ///< false: every prompt is read from its beginning, for comparison
};

/// Requests that are taken besides those being answered, so that a worker that has room finds one
/// that begins like what its caches hold.
inline constexpr std::size_t kLlamaWaitingMax = 16;

/// Whether this program was built with llama.cpp.
[[nodiscard]] bool has_llama();

/// The weights that `name` (what follows "llama/") stands for: a packaged model, or the path of a
/// GGUF file. Fails (kUsage) on an unknown name, with the nearest, and on a file that is not there.
[[nodiscard]] Result<std::string> llama_weights_path(std::string_view name,
                                                     const std::string& cache_dir);

/// Loads the model and starts its workers. Requests without sampling options get the model file's
/// own defaults, or temperature 1 and top_p 1 where it names none; without max_tokens an answer may
/// fill the context. Tools and tool messages end in kBadRequest: the known templates have no words
/// for them; what does not fit the context, in kContextOverflow. `json_schema` is not enforced.
[[nodiscard]] Result<std::unique_ptr<ChatModel>> make_llama_model(std::string_view name,
                                                                  const LlamaOptions& options,
                                                                  const Clock& clock);

}  // namespace understudy
