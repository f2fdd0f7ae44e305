#include "model/model_factory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/file.hpp"
#include "base/hash.hpp"
#include "model/llama_model.hpp"

namespace understudy {
namespace {

Environment environment_of(const ModelOptions& options) {
  if (options.environment) return options.environment;
  return [](std::string_view) { return std::optional<std::string>(); };
}

std::string remote_identity(const ModelSpec& spec, std::span<const Endpoint> endpoints) {
  std::string identity = spec.text;
  for (const Endpoint& endpoint : endpoints) {
    identity += (&endpoint == endpoints.data() ? " at " : ", ") + endpoint.base_url;
  }
  return identity;
}

std::unique_ptr<ChatProtocol> protocol_for(const ModelSpec& spec, ModelUse use) {
  switch (use) {
    case ModelUse::kModeration:
      return make_moderation_protocol(spec);
    case ModelUse::kEmbedding:
      return make_embedding_protocol(spec);
    default:
      return make_chat_protocol(spec);
  }
}

// Moderations may be recorded; vectors are not kept as they came, and are not.
Result<void> check_use(const ModelSpec& spec, ModelUse use) {
  if (use == ModelUse::kChat || spec.kind == ModelKind::kOpenAiChat) return {};
  if (use == ModelUse::kModeration && spec.kind == ModelKind::kRecorded) return {};
  const bool moderates = use == ModelUse::kModeration;
  return unexpected(
      ErrorCode::kUsage,
      fmt::format("\"{}\" has no {} endpoint: name a provider that speaks OpenAI's, such as {}",
                  spec.text, moderates ? "moderation" : "embedding",
                  moderates ? "openai/omni-moderation-latest" : "openai/text-embedding-3-small"));
}

Result<std::unique_ptr<ChatModel>> make_remote(const ModelSpec& spec, const ModelOptions& options,
                                               const Clock& clock) {
  UNDERSTUDY_TRY(
      std::vector<Endpoint> endpoints,
      resolve_endpoints(spec, options.base_urls, environment_of(options), options.egress_allow));
  HttpModelOptions http;
  http.identity = remote_identity(spec, endpoints);
  http.connections_max = std::max<std::size_t>(options.connections_max, 1);
  http.attempt_timeout_ms = options.attempt_timeout_ms;
  http.deadline_ms = options.deadline_ms;
  http.retry = options.retry;
  http.costs_money = is_billed(spec, endpoints);
  TransportOptions connections;
  connections.connections_max = http.connections_max * endpoints.size();
  std::vector<std::string> urls;
  for (const Endpoint& endpoint : endpoints) urls.push_back(endpoint.base_url);
  UNDERSTUDY_TRY(std::unique_ptr<Transport> transport, make_transport(urls, connections, clock));
  return make_http_model(std::move(http), std::move(endpoints), protocol_for(spec, options.use),
                         std::move(transport), clock);
}

Result<std::unique_ptr<ChatModel>> make_recorded(const ModelSpec& spec,
                                                 const ModelOptions& options) {
  if (options.recorded) return make_recorded_model(spec.text, options.recorded);
  const auto text = file_bytes(spec.name);
  if (!text) {
    return unexpected(ErrorCode::kInput, "recorded answers: can't read this file",
                      {.file = spec.name, .line = {}, .byte_offset = {}});
  }
  UNDERSTUDY_TRY(RecordedDraws draws, parse_recorded(*text, spec.name));
  std::string identity = fmt::format("{} sha256:{}", spec.text, hex(sha256(*text)));
  return make_recorded_model(
      std::move(identity),
      [draws = std::move(draws)](std::uint64_t prefix, std::uint32_t draw,
                                 std::uint32_t step) -> std::optional<DrawOutcome> {
        const auto found = draws.find({prefix, draw});
        if (found == draws.end() || step > 0) return std::nullopt;
        return found->second;
      });
}

Result<std::unique_ptr<ChatModel>> make_embedded(const ModelSpec& spec, const ModelOptions& options,
                                                 const Clock& clock) {
  LlamaOptions llama;
  llama.cache_dir = options.cache_dir;
  llama.context_tokens = options.context_tokens;
  llama.cache_bytes_max = options.cache_bytes_max;
  return make_llama_model(spec.name, llama, clock);
}

}  // namespace

std::unique_ptr<ChatProtocol> make_chat_protocol(const ModelSpec& spec) {
  switch (spec.kind) {
    case ModelKind::kAnthropic:
      return make_anthropic_protocol(spec);
    case ModelKind::kOpenAiResponses:
      return make_openai_responses_protocol(spec);
    default:
      return make_openai_chat_protocol(spec);
  }
}

Result<std::unique_ptr<ChatModel>> make_model(std::string_view text, const ModelOptions& options,
                                              const Clock& clock) {
  UNDERSTUDY_TRY(const ModelSpec spec, parse_model_spec(text));
  UNDERSTUDY_CHECK(check_use(spec, options.use));
  switch (spec.kind) {
    case ModelKind::kLlama:
      return make_embedded(spec, options, clock);
    case ModelKind::kRecorded:
      return make_recorded(spec, options);
    default:
      return make_remote(spec, options, clock);
  }
}

Result<RemoteModel> remote_model(std::string_view text, const ModelOptions& options, bool sends) {
  RemoteModel model;
  UNDERSTUDY_TRY(model.spec, parse_model_spec(text));
  if (model.spec.kind == ModelKind::kLlama || model.spec.kind == ModelKind::kRecorded) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("model \"{}\" answers in this process: there is no batch of it",
                                  model.spec.text));
  }
  const Environment environment = environment_of(options);
  UNDERSTUDY_TRY(
      const std::vector<Endpoint> endpoints,
      sends ? resolve_endpoints(model.spec, options.base_urls, environment, options.egress_allow)
            : name_endpoints(model.spec, options.base_urls, environment));
  model.identity = remote_identity(model.spec, endpoints);
  model.endpoint = endpoints.front();
  model.protocol = make_chat_protocol(model.spec);
  model.costs_money = is_billed(model.spec, endpoints);
  return model;
}

}  // namespace understudy
