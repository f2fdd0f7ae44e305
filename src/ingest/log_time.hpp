#pragma once
// Times as logs write them.

#include <cstdint>
#include <optional>
#include <string_view>

namespace understudy {

/// ISO 8601 / RFC 3339 ("2023-04-09", "2023-04-09T00:02:53Z", "2023-04-09 00:02:53.5+02:00";
/// without an offset: UTC), or a Unix time as digits. Seconds since 1970 UTC; nothing when it is
/// neither.
[[nodiscard]] std::optional<std::int64_t> parse_log_time(std::string_view text);

/// A Unix time in seconds, or in milliseconds, micro- or nanoseconds when it is too large for that.
[[nodiscard]] std::optional<std::int64_t> log_time_of_number(double number);

}  // namespace understudy
