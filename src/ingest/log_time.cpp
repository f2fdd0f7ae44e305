#include "ingest/log_time.hpp"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>

namespace understudy {
namespace {

/// Exactly `width` digits from the front of `rest`.
std::optional<int> take_digits(std::string_view& rest, std::size_t width) {
  int value = 0;
  if (rest.size() < width) return std::nullopt;
  for (const char c : rest.substr(0, width)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  rest.remove_prefix(width);
  return value;
}

bool take(std::string_view& rest, char expected) {
  if (rest.empty() || rest.front() != expected) return false;
  rest.remove_prefix(1);
  return true;
}

/// "Z", "+02:00", "+0200", "+02" or nothing, in seconds east of UTC.
std::optional<std::int64_t> take_offset(std::string_view& rest) {
  take(rest, ' ');
  if (rest.empty() || take(rest, 'Z') || take(rest, 'z') || rest == "UTC") {
    if (rest == "UTC") rest = {};
    return 0;
  }
  const bool west = rest.front() == '-';
  if (!take(rest, '+') && !take(rest, '-')) return std::nullopt;
  const auto hours = take_digits(rest, 2);
  take(rest, ':');
  const auto minutes = rest.empty() ? std::optional<int>(0) : take_digits(rest, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::int64_t offset = std::int64_t{*hours} * 3600 + std::int64_t{*minutes} * 60;
  return west ? -offset : offset;
}

std::optional<std::int64_t> parse_iso(std::string_view rest) {
  const auto year = take_digits(rest, 4);
  if (!year || !take(rest, '-')) return std::nullopt;
  const auto month = take_digits(rest, 2);
  if (!month || !take(rest, '-')) return std::nullopt;
  const auto day = take_digits(rest, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  const std::int64_t midnight =
      std::int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86'400;
  if (rest.empty()) return midnight;

  if (!take(rest, 'T') && !take(rest, 't') && !take(rest, ' ')) return std::nullopt;
  const auto hour = take_digits(rest, 2);
  if (!hour || !take(rest, ':')) return std::nullopt;
  const auto minute = take_digits(rest, 2);
  if (!minute) return std::nullopt;
  const auto second = take(rest, ':') ? take_digits(rest, 2) : std::optional<int>(0);
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  if (take(rest, '.') || take(rest, ',')) {
    while (take_digits(rest, 1)) {
    }
  }
  const auto offset = take_offset(rest);
  if (!offset || !rest.empty()) return std::nullopt;
  return midnight + *hour * 3600 + *minute * 60 + *second - *offset;
}

}  // namespace

std::optional<std::int64_t> parse_log_time(std::string_view text) {
  if (const auto iso = parse_iso(text)) return iso;
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return log_time_of_number(number);
}

std::optional<std::int64_t> log_time_of_number(double number) {
  constexpr double kSecondsMax = 1e11;  // the year 5138; as milliseconds, 1973
  if (!std::isfinite(number) || number < 0) return std::nullopt;
  while (number >= kSecondsMax) {
    number /= 1000;
  }
  return static_cast<std::int64_t>(number);
}

}  // namespace understudy
