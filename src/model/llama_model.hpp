#pragma once
// The embedded model: a GGUF file run by llama.cpp on this machine's processor, without a server.
//
// One worker thread for each core, each with its own sequences and cache over shared weights, so
// that no thread waits for another: threads that share one computation spin at barriers, and on
// cores that other work uses too they lose more than nine tenths of their speed.
//
// What is reproducible: a token is a function of the logits and the request's seed. The logits
// themselves may differ in the last bits with the machine and with what else is in the batch, so
// that the same request can answer otherwise in another run (design: what is reproducible begins at
// the recorded response).

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
  std::size_t workers = 0;    ///< threads; 0: one for each core
  std::size_t parallel = 16;  ///< answers at a time, over all workers
  /// Prompt and answer together; at most what the model was trained on. Memory and `parallel`
  /// depend on it: say what the study needs.
  std::size_t context_tokens = 2048;
  std::size_t cache_bytes_max = 512U << 20U;  ///< attention cache; `parallel` is lowered to fit
};

/// Whether this program was built with llama.cpp.
[[nodiscard]] bool has_llama();

/// The weights that `name` (what follows "llama/") stands for: a packaged model, or the path of a
/// GGUF file. Fails (kUsage) on an unknown name, with the nearest, and on a file that is not there.
[[nodiscard]] Result<std::string> llama_weights_path(std::string_view name,
                                                     const std::string& cache_dir);

/// Loads the model and starts its workers. Requests without sampling options get the model file's
/// own defaults, or temperature 1 and top_p 1 where it names none; without max_tokens an answer may
/// fill the context. Tools and tool messages end in kBadRequest: the known templates have no words
/// for them. `json_schema` is not enforced.
[[nodiscard]] Result<std::unique_ptr<ChatModel>> make_llama_model(std::string_view name,
                                                                  const LlamaOptions& options,
                                                                  const Clock& clock);

}  // namespace understudy
