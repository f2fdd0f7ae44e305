// What can be said without llama.cpp: which weights a name stands for, and that it is missing.
#include <filesystem>
#include <map>
#include <vector>

#include "base/text.hpp"
#include "model/llama_model.hpp"

namespace understudy {
namespace {

/// Name → file in the cache (script/environment writes it there).
const std::map<std::string, std::string, std::less<>>& packaged_models() {
  static const std::map<std::string, std::string, std::less<>> kModels = {
      {"smollm2-135m", "models/smollm2-135m-instruct-q8_0.gguf"}};
  return kModels;
}

}  // namespace

Result<std::string> llama_weights_path(std::string_view name, const std::string& cache_dir) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const bool is_path = name.ends_with(".gguf") || name.find('/') != std::string_view::npos;
  if (is_path) {
    if (fs::is_regular_file(name, ignored)) return std::string(name);
    return unexpected(ErrorCode::kUsage, "model llama/" + std::string(name) +
                                             ": there is no such file (llama/ is followed by a "
                                             "packaged model's name or the path of a GGUF file)");
  }
  const auto packaged = packaged_models().find(name);
  if (packaged == packaged_models().end()) {
    std::vector<std::string> names;
    for (const auto& [known, file] : packaged_models()) names.push_back(known);
    return unexpected(ErrorCode::kUsage,
                      "model llama/" + std::string(name) + ": no packaged model has this name" +
                          did_you_mean(name, names) +
                          "; packaged are: smollm2-135m. A GGUF file is named by its path: "
                          "llama//path/to/model.gguf");
  }
  std::string path = (fs::path(cache_dir) / packaged->second).string();
  if (fs::is_regular_file(path, ignored)) return path;
  return unexpected(ErrorCode::kUsage, "model llama/" + std::string(name) +
                                           ": its weights are not in the cache (" + path +
                                           "); script/setup downloads them");
}

#ifndef UNDERSTUDY_HAS_LLAMA
bool has_llama() {
  return false;
}

Result<std::unique_ptr<ChatModel>> make_llama_model(std::string_view name, const LlamaOptions&,
                                                    const Clock&) {
  return unexpected(ErrorCode::kUsage,
                    "model llama/" + std::string(name) +
                        ": this program was built without the embedded model. Run script/setup "
                        "and build again, or name a model that is served over HTTP (openai/…, "
                        "vllm/…, openai-api/…)");
}
#endif

}  // namespace understudy
