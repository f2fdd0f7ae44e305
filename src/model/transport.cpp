#include "model/transport.hpp"

#include <fmt/format.h>
#include <strings.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"

namespace understudy {
namespace {

// Descriptors besides connections: the database, the log, standard streams, name lookups.
constexpr rlim_t kOtherFiles = 128;

Result<void> allow_open_files(std::size_t connections_max) {
  const rlim_t needed = static_cast<rlim_t>(connections_max) + kOtherFiles;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= needed) return {};
  const rlim_t before = files.rlim_cur;
  files.rlim_cur = std::min(needed, files.rlim_max);
  if (files.rlim_cur >= needed && setrlimit(RLIMIT_NOFILE, &files) == 0) return {};
  return unexpected(
      ErrorCode::kInfrastructure,
      fmt::format("{} connections need {} open files, but the system allows {} (at most {}): lower "
                  "max_connections or raise the limit (ulimit -n)",
                  connections_max, needed, before, files.rlim_max));
}

}  // namespace

void read_rate_header(std::string_view name, std::string_view value, RateHeaders& rate) {
  // Only these first letters begin one of the names below.
  if (name.empty() || std::string_view("rRxXaA").find(name[0]) == std::string_view::npos) return;
  static constexpr std::array<std::pair<std::string_view, std::string RateHeaders::*>, 14> kNames =
      {{{"retry-after", &RateHeaders::retry_after},
        {"retry-after-ms", &RateHeaders::retry_after_ms},
        {"x-ratelimit-limit-requests", &RateHeaders::requests_limit},
        {"x-ratelimit-remaining-requests", &RateHeaders::requests_remaining},
        {"x-ratelimit-reset-requests", &RateHeaders::requests_reset},
        {"x-ratelimit-limit-tokens", &RateHeaders::tokens_limit},
        {"x-ratelimit-remaining-tokens", &RateHeaders::tokens_remaining},
        {"x-ratelimit-reset-tokens", &RateHeaders::tokens_reset},
        {"anthropic-ratelimit-requests-limit", &RateHeaders::requests_limit},
        {"anthropic-ratelimit-requests-remaining", &RateHeaders::requests_remaining},
        {"anthropic-ratelimit-requests-reset", &RateHeaders::requests_reset},
        {"anthropic-ratelimit-tokens-limit", &RateHeaders::tokens_limit},
        {"anthropic-ratelimit-tokens-remaining", &RateHeaders::tokens_remaining},
        {"anthropic-ratelimit-tokens-reset", &RateHeaders::tokens_reset}}};
  for (const auto& [known, member] : kNames) {
    if (name.size() == known.size() && strncasecmp(name.data(), known.data(), name.size()) == 0) {
      rate.*member = std::string(trimmed(value));
      return;
    }
  }
}

Result<std::unique_ptr<Transport>> make_transport(const std::vector<std::string>& urls,
                                                  const TransportOptions& options,
                                                  const Clock& clock) {
  UNDERSTUDY_CHECK(allow_open_files(options.connections_max));
  const bool plain = std::all_of(urls.begin(), urls.end(), is_plain_url);
  return plain ? make_plain_transport(options, clock) : make_curl_transport(options, clock);
}

}  // namespace understudy
