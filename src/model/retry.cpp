#include "model/retry.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/text.hpp"

namespace understudy {
namespace {
constexpr std::int64_t kDayMs = 86'400'000;
}

RetryDecision decide_retry(const RetryPolicy& policy, AttemptFailure failure,
                           std::uint32_t failures, std::uint32_t rate_limits,
                           std::optional<std::int64_t> retry_after_ms,
                           std::int64_t deadline_left_ms, Rng& rng) {
  if (failure == AttemptFailure::kFinal) return {};
  if (failure != AttemptFailure::kRateLimited && failures >= policy.failures_max) return {};
  const std::uint32_t tries = failure == AttemptFailure::kRateLimited ? rate_limits : failures;
  const std::uint32_t doublings = std::min<std::uint32_t>(std::max(tries, 1U) - 1, 30);
  const std::int64_t ceiling_ms = std::min(policy.cap_ms, policy.base_ms << doublings);
  // With a Retry-After the wait is known, and jitter only has to spread the crowd behind it.
  const std::int64_t jitter_max_ms =
      retry_after_ms ? std::min(ceiling_ms, std::max(policy.base_ms, *retry_after_ms / 4))
                     : ceiling_ms;
  const auto jitter_ms =
      static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(jitter_max_ms) + 1));
  const std::int64_t delay_ms = retry_after_ms.value_or(0) + jitter_ms;
  if (delay_ms >= deadline_left_ms) return {};
  return {.again = true, .delay_ms = delay_ms};
}

std::optional<std::int64_t> parse_retry_after(std::string_view value, std::int64_t now_unix_ms) {
  value = trimmed(value);
  if (value.empty()) return std::nullopt;
  std::optional<std::int64_t> wait_ms;
  double seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size()) {
    if (!(seconds >= 0 && seconds < 1e9)) return std::nullopt;
    wait_ms = static_cast<std::int64_t>(seconds * 1000 + 0.5);
  } else {
    const std::string text(value);
    const std::int64_t date_s = curl_getdate(text.c_str(), nullptr);
    if (date_s < 0) return std::nullopt;
    wait_ms = std::max<std::int64_t>(date_s * 1000 - now_unix_ms, 0);
  }
  return *wait_ms <= kDayMs ? wait_ms : std::nullopt;
}

std::optional<std::int64_t> retry_after_of(const RateHeaders& headers, std::int64_t now_unix_ms) {
  std::optional<std::int64_t> wait_ms = parse_retry_after(headers.retry_after, now_unix_ms);
  std::int64_t exact_ms = 0;
  const std::string& text = headers.retry_after_ms;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exact_ms);
  if (!text.empty() && error == std::errc() && exact_ms >= 0 && exact_ms <= kDayMs) {
    wait_ms = std::max(wait_ms.value_or(0), exact_ms);
  }
  return wait_ms;
}

namespace {

// "6m0s": numbers with units, the largest first.
std::optional<double> duration_ms(std::string_view value) {
  double total_ms = 0;
  while (!value.empty()) {
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || !(number >= 0 && number < 1e9)) return std::nullopt;
    value.remove_prefix(static_cast<std::size_t>(end - value.data()));
    const std::size_t unit_size =
        value.starts_with("ms") ? 2 : std::min<std::size_t>(value.size(), 1);
    const std::string_view unit = value.substr(0, unit_size);
    if (unit == "ms") {
      total_ms += number;
    } else if (unit == "s" || unit.empty()) {
      total_ms += number * 1000;
    } else if (unit == "m") {
      total_ms += number * 60'000;
    } else if (unit == "h") {
      total_ms += number * 3'600'000;
    } else {
      return std::nullopt;
    }
    value.remove_prefix(unit_size);
  }
  return total_ms;
}

// "2026-01-31T12:00:00Z", which curl_getdate reads once the T and the dashes are gone.
std::optional<std::int64_t> rfc3339_ms(std::string_view value) {
  if (value.size() < 20 || value[4] != '-' || value[7] != '-' || value[10] != 'T') {
    return std::nullopt;
  }
  std::string text(value.substr(0, 4));
  text.append(value.substr(5, 2)).append(value.substr(8, 2));
  text.append(" ").append(value.substr(11, 8)).append(" GMT");
  const std::int64_t date_s = curl_getdate(text.c_str(), nullptr);
  if (date_s < 0) return std::nullopt;
  return date_s * 1000;
}

}  // namespace

std::optional<std::int64_t> parse_reset(std::string_view value, std::int64_t now_unix_ms) {
  value = trimmed(value);
  if (value.empty()) return std::nullopt;
  std::int64_t wait_ms = 0;
  if (const std::optional<std::int64_t> date_ms = rfc3339_ms(value)) {
    wait_ms = std::max<std::int64_t>(*date_ms - now_unix_ms, 0);
  } else if (const std::optional<double> duration = duration_ms(value)) {
    wait_ms = static_cast<std::int64_t>(std::min(*duration, 1e12) + 0.5);
  } else {
    return std::nullopt;
  }
  if (wait_ms > kDayMs) return std::nullopt;
  return wait_ms;
}

std::optional<std::int64_t> used_up_for(const RateHeaders& headers, std::int64_t now_unix_ms) {
  std::optional<std::int64_t> wait_ms;
  const auto look = [&](const std::string& remaining, const std::string& reset) {
    if (trimmed(remaining) != "0") return;
    const std::optional<std::int64_t> reset_ms = parse_reset(reset, now_unix_ms);
    if (reset_ms) wait_ms = std::max(wait_ms.value_or(0), *reset_ms);
  };
  look(headers.requests_remaining, headers.requests_reset);
  look(headers.tokens_remaining, headers.tokens_reset);
  return wait_ms;
}

}  // namespace understudy
