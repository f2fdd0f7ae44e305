#pragma once
// BatchApi: a provider's own interface to batches: upload a file of requests, ask how far it is,
// fetch the answers. OpenAI's Files and Batches, and Anthropic's Message Batches. Few calls, each
// waited for; bodies go from and to files, never through memory.
//
// No redirects, no proxies from the environment. No text of an answer or of an error message, and
// no key, gets into an error.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/batch_files.hpp"
#include "model/model_factory.hpp"

namespace understudy {

struct RemoteBatch {
  std::string id;
  std::string name;    ///< as given to submit(); empty where the provider keeps none
  std::string status;  ///< the provider's word: "in_progress", "completed", "expired", "ended"
  bool over = false;   ///< nothing more will be answered
  /// What download() takes: outputs and errors, as far as there are any.
  std::vector<std::string> results;
};

class BatchApi {
 public:
  virtual ~BatchApi() = default;
  /// Uploads the file and starts its batch. Money is spent from here on.
  [[nodiscard]] virtual Result<RemoteBatch> submit(const std::string& path,
                                                   std::string_view name) = 0;
  [[nodiscard]] virtual Result<RemoteBatch> state(const std::string& id) = 0;
  /// The newest hundred, to find a batch whose start was not heard of. Nothing where the provider
  /// keeps no names.
  [[nodiscard]] virtual Result<std::optional<std::vector<RemoteBatch>>> newest() = 0;
  /// Writes the result file, readable by its owner alone; appears whole.
  virtual Result<void> download(const std::string& result, const std::string& path) = 0;
};

/// `model` must be one that text may be sent to. Fails with kUsage when the server refused (4xx):
/// then nothing was started; else with kInfrastructure: the call can be repeated.
[[nodiscard]] std::unique_ptr<BatchApi> make_batch_api(const RemoteModel& model);

}  // namespace understudy
