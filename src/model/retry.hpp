#pragma once
// When a failed request is sent again: a pure function of what is known, so that every case can be
// tested. The deadline comes before everything: no retry that could not be answered in time.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/rng.hpp"
#include "model/transport.hpp"

namespace understudy {

/// How an attempt failed, as far as it matters for trying again.
enum class AttemptFailure : std::uint8_t {
  kRateLimited,  ///< 429: the server asks to come back, until the deadline
  kOverloaded,   ///< 5xx, 408, 529: a few times
  kBroken,       ///< reset, timeout, a body that isn't what it should be: a few times
  kFinal,        ///< asking again gives the same
};

struct RetryPolicy {
  std::uint32_t failures_max = 6;  ///< of kOverloaded and kBroken together, then it is over
  std::int64_t base_ms = 500;      ///< the first delay is uniform on [0, base]
  std::int64_t cap_ms = 30'000;    ///< delays stop doubling here
};

struct RetryDecision {
  bool again = false;
  std::int64_t delay_ms = 0;
};

/// `failures`: kOverloaded and kBroken so far, this one included. `rate_limits`: 429s so far.
/// Full jitter: uniform on [0, min(cap, base · 2^(n-1))], which spreads a crowd best (Brooker 2015,
/// "Exponential backoff and jitter"); after a Retry-After, that much later, plus jitter.
[[nodiscard]] RetryDecision decide_retry(const RetryPolicy& policy, AttemptFailure failure,
                                         std::uint32_t failures, std::uint32_t rate_limits,
                                         std::optional<std::int64_t> retry_after_ms,
                                         std::int64_t deadline_left_ms, Rng& rng);

/// Retry-After as seconds (also with a fraction) or as an HTTP date, in milliseconds from
/// `now_unix_ms`; a date in the past is 0. Nothing when it is neither, or more than a day.
[[nodiscard]] std::optional<std::int64_t> parse_retry_after(std::string_view value,
                                                            std::int64_t now_unix_ms);
/// The longest of what the headers ask for.
[[nodiscard]] std::optional<std::int64_t> retry_after_of(const RateHeaders& headers,
                                                         std::int64_t now_unix_ms);

/// When a used-up limit is there again, as "x-ratelimit-reset-…" headers say it: "6m0s", "1.5s",
/// "120ms", plain seconds, or an RFC 3339 date. Milliseconds from `now_unix_ms`; nothing when it
/// is none of these, or more than a day.
[[nodiscard]] std::optional<std::int64_t> parse_reset(std::string_view value,
                                                      std::int64_t now_unix_ms);
/// How long nothing should be sent, when the headers say that nothing is left of a limit.
[[nodiscard]] std::optional<std::int64_t> used_up_for(const RateHeaders& headers,
                                                      std::int64_t now_unix_ms);

}  // namespace understudy
