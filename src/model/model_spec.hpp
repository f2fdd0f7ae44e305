#pragma once
// Model names and where they lead: "provider/name" → which protocol, which base URL, which key, and
// whether text may go there at all. Pure: the environment is passed in.
//
//   openai/NAME                      OPENAI_API_KEY, OPENAI_BASE_URL
//   anthropic/NAME                   ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL
//   vllm/NAME  ollama/NAME           VLLM_BASE_URL, OLLAMA_BASE_URL (and …_API_KEY)
//   openai-api/PROVIDER/MODEL        PROVIDER_API_KEY, PROVIDER_BASE_URL ("-" becomes "_")
//   llama/PATH or NAME               embedded
//   recorded/STUDY or FILE           answers of an earlier run

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace understudy {

enum class ModelKind : std::uint8_t {
  kOpenAiChat,
  kOpenAiResponses,
  kAnthropic,
  kLlama,
  kRecorded
};

struct ModelSpec {
  ModelKind kind = ModelKind::kOpenAiChat;
  std::string text;      ///< as written: "openai-api/acme/large"
  std::string provider;  ///< "openai", "acme"; empty for llama and recorded
  std::string name;      ///< what the server calls it, or the path
};

/// Fails with kUsage; an unknown provider suggests the nearest.
[[nodiscard]] Result<ModelSpec> parse_model_spec(std::string_view text);

/// Value of an environment variable, if it is set and not empty.
using Environment = std::function<std::optional<std::string>(std::string_view)>;

struct Endpoint {
  std::string base_url;  ///< without a trailing slash
  std::string host;      ///< lower case, without port
  std::uint16_t port = 0;
  bool loopback = false;
  std::string key;  ///< may be empty; never printed
  double weight = 1;
};

/// Hosts ("api.example.com" or "api.example.com:8443") that text may go to; loopback always may.
using EgressList = std::vector<std::string>;

/// One endpoint per base URL: `base_urls` if there are any, else the environment's, else the
/// provider's own. A base URL must be http or https without user, password, query or fragment.
/// Names them only: nothing says yet that text may be sent there. Fails with kUsage.
[[nodiscard]] Result<std::vector<Endpoint>> name_endpoints(const ModelSpec& spec,
                                                           std::span<const std::string> base_urls,
                                                           const Environment& environment);
/// The same, of which each may receive text and has the key that it needs. Fails with kUsage,
/// saying what to set or what to add to `egress.allow`.
[[nodiscard]] Result<std::vector<Endpoint>> resolve_endpoints(
    const ModelSpec& spec, std::span<const std::string> base_urls, const Environment& environment,
    const EgressList& allowed);

/// A URL of a server that is no model's, where text may be sent: http or https, on loopback or on
/// the list. Fails with kUsage; `from` says where the URL stands.
[[nodiscard]] Result<Endpoint> checked_url(const std::string& url, std::string_view from,
                                           const EgressList& allowed);

/// Whether the provider takes money, as far as its name tells: not one's own servers and files.
[[nodiscard]] bool is_billed(const ModelSpec& spec);
/// The same, of these endpoints: what is on loopback is one's own.
[[nodiscard]] bool is_billed(const ModelSpec& spec, std::span<const Endpoint> endpoints);

}  // namespace understudy
