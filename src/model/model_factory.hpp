#pragma once
// From a model's name to a model that answers: the one place that knows every kind.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "model/chat_model.hpp"
#include "model/http_model.hpp"
#include "model/model_spec.hpp"
#include "model/recorded_model.hpp"

namespace understudy {

/// What is asked of a model: an endpoint of OpenAI's form, or chat in any.
enum class ModelUse : std::uint8_t { kChat, kModeration, kEmbedding };

struct ModelOptions {
  // For models behind HTTP.
  ModelUse use = ModelUse::kChat;
  std::vector<std::string> base_urls;  ///< --model-base-url; empty: the environment's
  Environment environment;             ///< keys and base URLs; unset: an empty one
  EgressList egress_allow;
  std::size_t connections_max = 200;          ///< max_connections, of each endpoint
  std::int64_t attempt_timeout_ms = 600'000;  ///< for one answer
  std::int64_t deadline_ms = 3'600'000;       ///< for a request with its retries and waits
  RetryPolicy retry;
  // For embedded models.
  std::string cache_dir;              ///< where script/setup keeps the packaged weights
  std::size_t context_tokens = 2048;  ///< prompt and answer together
  std::size_t cache_bytes_max = std::size_t{1} << 30U;  ///< of the attention caches
  // For recorded ones: answers of a study; unset: the name is a file of recorded_model.hpp's form.
  RecordedLookup recorded;
};

/// Fails with kUsage on a name, key, URL or host that can't be used, with kInput on a recorded file
/// that can't be read, with kInfrastructure when the system has no room for the connections.
/// `clock` must outlive the model.
[[nodiscard]] Result<std::unique_ptr<ChatModel>> make_model(std::string_view spec,
                                                            const ModelOptions& options,
                                                            const Clock& clock);

/// A model behind HTTP without a connection to it: what batch files are written with.
struct RemoteModel {
  ModelSpec spec;
  std::string identity;  ///< as ChatModel::identity() gives it
  Endpoint endpoint;     ///< the first, where there are several
  std::unique_ptr<ChatProtocol> protocol;
  bool costs_money = false;
};
/// With `sends`, text may go there and the key is known; without, the endpoint is only a name.
/// Fails with kUsage as make_model does, and for a model that is not behind HTTP.
[[nodiscard]] Result<RemoteModel> remote_model(std::string_view spec, const ModelOptions& options,
                                               bool sends);

}  // namespace understudy
