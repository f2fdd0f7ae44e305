#include "ingest/deidentify/surrogates.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "base/assert.hpp"
#include "ingest/deidentify/entities.hpp"

namespace understudy {
namespace {

constexpr std::uint32_t kIpv4First = 254;        // 192.0.2.1 … 192.0.2.254
constexpr std::uint32_t kIpv4More = 2 * 65'536;  // then 198.18.0.0/15 (RFC 2544)
constexpr std::uint32_t kIpv6Max = 0xFFFF;
constexpr std::uint32_t kCardMax = 9'999;
constexpr std::string_view kCardPrefix = "40000000000";
/// Area codes N9X (N from 2 to 9) are kept for a longer numbering plan and never assigned.
constexpr std::uint32_t kAreaMax = 80;
constexpr std::uint32_t kPhoneMax = kAreaMax * 100;

/// A conversation with more entities than there are surrogates starts over: still nobody's.
std::uint32_t wrapped(std::uint32_t number, std::uint32_t max) {
  return (number - 1) % max + 1;
}

std::uint32_t number_of(std::string_view digits) {
  std::uint32_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  return whole && !digits.starts_with('0') ? value : 0;
}

std::uint32_t between(std::string_view key, std::string_view before, std::string_view after) {
  if (key.size() <= before.size() + after.size()) return 0;
  if (!key.starts_with(before) || !key.ends_with(after)) return 0;
  return number_of(key.substr(before.size(), key.size() - before.size() - after.size()));
}

std::uint32_t own_ipv4(std::string_view key) {
  if (const std::uint32_t last = between(key, "192.0.2.", "")) return last <= kIpv4First ? last : 0;
  std::array<unsigned, 4> octets{};
  const char* at = key.data();
  for (unsigned& octet : octets) {
    const auto parsed = std::from_chars(at, key.data() + key.size(), octet);
    if (parsed.ec != std::errc()) return 0;
    at = parsed.ptr + (parsed.ptr < key.data() + key.size() ? 1 : 0);
  }
  if (octets[0] != 198 || (octets[1] != 18 && octets[1] != 19)) return 0;
  return kIpv4First + 1 + (octets[1] - 18) * 65'536 + octets[2] * 256 + octets[3];
}

std::uint32_t own_ipv6(std::string_view key) {
  constexpr std::string_view kPrefix = "2001:db8::";
  if (!key.starts_with(kPrefix)) return 0;
  std::uint32_t value = 0;
  const char* last = key.data() + key.size();
  const auto parsed = std::from_chars(key.data() + kPrefix.size(), last, value, 16);
  return parsed.ec == std::errc() && parsed.ptr == last && value <= kIpv6Max ? value : 0;
}

std::uint32_t own_card(std::string_view digits) {
  if (digits.size() != 16 || !digits.starts_with(kCardPrefix)) return 0;
  std::uint32_t value = 0;
  std::from_chars(digits.data() + kCardPrefix.size(), digits.data() + 15, value);
  return value;
}

/// From "+12905550100".
std::uint32_t own_phone(std::string_view key) {
  if (key.size() != 12 || !key.starts_with("+1") || key[3] != '9' || key.substr(5, 5) != "55501") {
    return 0;
  }
  const auto digit = [&](std::size_t i) { return static_cast<std::uint32_t>(key[i] - '0'); };
  if (digit(2) < 2) return 0;
  const std::uint32_t area = (digit(2) - 2) * 10 + digit(4);
  return area * 100 + digit(10) * 10 + digit(11) + 1;
}

std::string ipv4(std::uint32_t number) {
  number = wrapped(number, kIpv4First + kIpv4More);
  if (number <= kIpv4First) return fmt::format("192.0.2.{}", number);
  const std::uint32_t more = number - kIpv4First - 1;
  return fmt::format("198.{}.{}.{}", 18 + more / 65'536, more / 256 % 256, more % 256);
}

std::string card(std::uint32_t number, std::string_view original) {
  std::string digits = fmt::format("{}{:04}", kCardPrefix, wrapped(number, kCardMax));
  digits += luhn_digit(digits);
  const std::size_t separator = original.find_first_of(" -");
  if (separator == std::string_view::npos) return digits;
  for (const std::size_t at : {12U, 8U, 4U}) digits.insert(at, 1, original[separator]);
  return digits;
}

std::string phone(std::uint32_t number, std::string_view original) {
  const std::uint32_t index = wrapped(number, kPhoneMax) - 1;
  const std::uint32_t area = (index / 1000 + 2) * 100 + 90 + index / 100 % 10;
  const std::uint32_t line = 100 + index % 100;
  const bool plain = original.find_first_of(" -.()") == std::string_view::npos;
  const bool international = original.starts_with('+') || original.starts_with("00");
  if (plain) return fmt::format("{}{}5550{}", international ? "+1" : "", area, line);
  if (international) return fmt::format("+1 {}-555-0{}", area, line);
  if (original.starts_with('(')) return fmt::format("({}) 555-0{}", area, line);
  return fmt::format("{}-555-0{}", area, line);
}

}  // namespace

char luhn_digit(std::string_view digits) {
  unsigned sum = 0;
  bool doubled = true;
  for (auto it = digits.rbegin(); it != digits.rend(); ++it, doubled = !doubled) {
    const auto digit = static_cast<unsigned>(*it - '0');
    const unsigned twice = digit * 2;
    sum += !doubled ? digit : twice > 9 ? twice - 9 : twice;
  }
  return static_cast<char>('0' + (10 - sum % 10) % 10);
}

std::uint32_t own_number(EntityKind kind, std::string_view key) {
  switch (kind) {
    case EntityKind::kApiKey:
      return between(key, "[api-key-", "]");
    case EntityKind::kEmail:
      return between(key, "person", "@example.com");
    case EntityKind::kIpv4:
      return own_ipv4(key);
    case EntityKind::kIpv6:
      return own_ipv6(key);
    case EntityKind::kPaymentCard:
      return own_card(key);
    case EntityKind::kPhone:
      return own_phone(key);
  }
  UNDERSTUDY_ASSERT(false);
}

std::string surrogate(EntityKind kind, std::uint32_t number, std::string_view original) {
  UNDERSTUDY_ASSERT(number > 0);
  switch (kind) {
    case EntityKind::kApiKey:
      return fmt::format("[api-key-{}]", number);
    case EntityKind::kEmail:
      return fmt::format("person{}@example.com", number);
    case EntityKind::kIpv4:
      return ipv4(number);
    case EntityKind::kIpv6:
      return fmt::format("2001:db8::{:x}", wrapped(number, kIpv6Max));
    case EntityKind::kPaymentCard:
      return card(number, original);
    case EntityKind::kPhone:
      return phone(number, original);
  }
  UNDERSTUDY_ASSERT(false);
}

}  // namespace understudy
