#include "model/model_spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hpp"
#include "model/curl_url.hpp"

namespace understudy {
namespace {

struct Provider {
  std::string_view name;
  ModelKind kind;
  std::string_view base_url;  ///< empty: must be named
  bool needs_key = false;     ///< off loopback
  bool billed = true;
};

constexpr std::array<Provider, 5> kProviders = {{
    {"openai", ModelKind::kOpenAiChat, "https://api.openai.com/v1", true, true},
    {"openai-responses", ModelKind::kOpenAiResponses, "https://api.openai.com/v1", true, true},
    {"anthropic", ModelKind::kAnthropic, "https://api.anthropic.com/v1", true, true},
    {"vllm", ModelKind::kOpenAiChat, "http://127.0.0.1:8000/v1", false, false},
    {"ollama", ModelKind::kOpenAiChat, "http://127.0.0.1:11434/v1", false, false},
}};

const Provider* find_provider(std::string_view name) {
  const auto found = std::find_if(kProviders.begin(), kProviders.end(),
                                  [&](const Provider& provider) { return provider.name == name; });
  return found == kProviders.end() ? nullptr : &*found;
}

// "openai-responses" has the keys of "openai"; "my-host" reads MY_HOST_API_KEY.
std::string variable(std::string_view provider, std::string_view what) {
  std::string name(provider == "openai-responses" ? "openai" : provider);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9')) c = '_';
  }
  return fmt::format("{}_{}", name, what);
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host.ends_with(".localhost") || host == "::1") return true;
  if (!host.starts_with("127.")) return false;
  // Only an address: "127.example.com" is somebody's host.
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Result<Endpoint> parse_base_url(const std::string& text, std::string_view from) {
  // The text itself stays out of the message: somebody may have written a key into it.
  const auto wrong = [&](std::string_view what) {
    return unexpected(ErrorCode::kUsage, fmt::format("the base URL ({}) {}", from, what));
  };
  const CurlUrl url = parse_url(text);
  if (url == nullptr) return wrong("is not a URL: expected http://host:port/v1 or https://…");
  const std::string scheme = url_part(url, CURLUPART_SCHEME).value_or("");
  if (scheme != "http" && scheme != "https") return wrong("must begin with http:// or https://");
  if (url_part(url, CURLUPART_USER) || url_part(url, CURLUPART_PASSWORD)) {
    return wrong("must not hold a user or password: keys come from the environment");
  }
  if (url_part(url, CURLUPART_QUERY) || url_part(url, CURLUPART_FRAGMENT)) {
    return wrong("must not have a query or fragment");
  }
  Endpoint endpoint;
  endpoint.host = url_host(url);
  const std::string port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT).value_or("");
  std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  endpoint.loopback = is_loopback(endpoint.host);
  endpoint.base_url = text;
  while (endpoint.base_url.ends_with('/')) endpoint.base_url.pop_back();
  return endpoint;
}

Result<void> check_egress(const Endpoint& endpoint, const EgressList& allowed) {
  if (endpoint.loopback) return {};
  const std::string with_port = fmt::format("{}:{}", endpoint.host, endpoint.port);
  for (const std::string& entry : allowed) {
    const std::string host = ascii_lower(trimmed(entry));
    if (host == endpoint.host || host == with_port) return {};
  }
  return unexpected(ErrorCode::kUsage,
                    fmt::format("the host \"{0}\" is not on the egress list, so no text is sent to "
                                "it: to allow it, add it to study.toml: [egress] allow = [\"{0}\"]",
                                endpoint.host));
}

}  // namespace

Result<ModelSpec> parse_model_spec(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view head = text.substr(0, slash);
  const std::string_view rest =
      slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  ModelSpec spec{.kind = {}, .text = std::string(text), .provider = {}, .name = std::string(rest)};
  const Provider* const provider = find_provider(head);
  if (provider != nullptr) {
    spec.kind = provider->kind;
    spec.provider = head;
  } else if (head == "llama") {
    spec.kind = ModelKind::kLlama;
  } else if (head == "recorded") {
    spec.kind = ModelKind::kRecorded;
  } else if (head == "openai-api") {
    const std::size_t second = rest.find('/');
    if (second == std::string_view::npos || second == 0) {
      return unexpected(ErrorCode::kUsage,
                        "model \"openai-api/…\" is written openai-api/PROVIDER/MODEL");
    }
    spec.kind = ModelKind::kOpenAiChat;
    spec.provider = rest.substr(0, second);
    spec.name = rest.substr(second + 1);
  } else {
    std::vector<std::string> known = {"llama", "recorded", "openai-api"};
    for (const Provider& one : kProviders) known.emplace_back(one.name);
    return unexpected(
        ErrorCode::kUsage,
        fmt::format("unknown provider \"{}\" in model \"{}\"{}; a model is written provider/name",
                    terminal_safe(head), terminal_safe(text), did_you_mean(head, known)));
  }
  if (spec.name.empty()) {
    return unexpected(ErrorCode::kUsage, fmt::format("model \"{}\" has no name after the provider",
                                                     terminal_safe(text)));
  }
  return spec;
}

Result<std::vector<Endpoint>> name_endpoints(const ModelSpec& spec,
                                             std::span<const std::string> base_urls,
                                             const Environment& environment) {
  const Provider* const provider = find_provider(spec.provider);
  const std::string url_variable = variable(spec.provider, "BASE_URL");
  std::vector<std::string> urls(base_urls.begin(), base_urls.end());
  std::string from = "--model-base-url";
  if (urls.empty()) {
    from = url_variable;
    if (const auto named = environment(url_variable)) {
      urls.push_back(*named);
    } else if (provider != nullptr) {
      urls.emplace_back(provider->base_url);
    } else {
      return unexpected(ErrorCode::kUsage, fmt::format("model \"{}\" needs a base URL: set {}",
                                                       spec.text, url_variable));
    }
  }
  const std::string key_variable = variable(spec.provider, "API_KEY");
  const std::string key(trimmed(environment(key_variable).value_or("")));
  std::vector<Endpoint> endpoints;
  for (const std::string& url : urls) {
    UNDERSTUDY_TRY(Endpoint endpoint, parse_base_url(url, from));
    endpoint.key = key;
    if (key.find_first_of("\r\n") != std::string::npos) {
      return unexpected(ErrorCode::kUsage, fmt::format("{} holds a line break", key_variable));
    }
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

Result<std::vector<Endpoint>> resolve_endpoints(const ModelSpec& spec,
                                                std::span<const std::string> base_urls,
                                                const Environment& environment,
                                                const EgressList& allowed) {
  UNDERSTUDY_TRY(std::vector<Endpoint> endpoints, name_endpoints(spec, base_urls, environment));
  const Provider* const provider = find_provider(spec.provider);
  for (const Endpoint& endpoint : endpoints) {
    UNDERSTUDY_CHECK(check_egress(endpoint, allowed));
    const bool needs_key = provider != nullptr && provider->needs_key && !endpoint.loopback;
    if (needs_key && endpoint.key.empty()) {
      return unexpected(ErrorCode::kUsage,
                        fmt::format("model \"{}\" needs a key: set {}", spec.text,
                                    variable(spec.provider, "API_KEY")));
    }
  }
  return endpoints;
}

Result<Endpoint> checked_url(const std::string& url, std::string_view from,
                             const EgressList& allowed) {
  UNDERSTUDY_TRY(Endpoint endpoint, parse_base_url(url, from));
  UNDERSTUDY_CHECK(check_egress(endpoint, allowed));
  return endpoint;
}

bool is_billed(const ModelSpec& spec) {
  if (spec.kind == ModelKind::kLlama || spec.kind == ModelKind::kRecorded) return false;
  const Provider* const provider = find_provider(spec.provider);
  return provider == nullptr || provider->billed;
}

bool is_billed(const ModelSpec& spec, std::span<const Endpoint> endpoints) {
  return is_billed(spec) &&
         std::any_of(endpoints.begin(), endpoints.end(),
                     [](const Endpoint& endpoint) { return !endpoint.loopback; });
}

}  // namespace understudy
