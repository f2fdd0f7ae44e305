#include "forecast/frozen.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/assert.hpp"
#include "base/hash.hpp"

namespace understudy {
namespace {

constexpr std::string_view kSchema = "understudy.forecast/1";
constexpr std::array<std::string_view, 4> kHeader = {"manifest_hash", "schema",
                                                     "understudy_version", "unit"};

std::string digest_of(const Json& part) {
  return hex(sha256(write_json(part, JsonStyle::kCanonical)));
}

Json header_of(const Json& document) {
  Json header = Json::object();
  for (const std::string_view key : kHeader) {
    const std::string name(key);
    if (document.contains(name)) header[name] = document[name];
  }
  return header;
}

Json digests_of(const Json& document) {
  Json digests = {{"header", digest_of(header_of(document))}};
  for (const std::string& section : forecast_sections()) {
    if (document.contains(section)) digests[section] = digest_of(document[section]);
  }
  return digests;
}

Unexpected differs(const std::vector<std::string>& parts) {
  return unexpected(ErrorCode::kMismatch,
                    fmt::format("the forecast is not as it was frozen: {} {}",
                                fmt::join(parts, ", "), parts.size() == 1 ? "differs" : "differ"));
}

// Every place where the raw text names a key: in canonical JSON a quote inside a string is escaped,
// so that only real keys match (of nested objects too: the digest decides).
std::vector<std::size_t> places_of(std::string_view bytes, const std::string& key) {
  std::vector<std::size_t> places;
  const std::string quoted = fmt::format("\"{}\":", key);
  for (std::size_t at = bytes.find(quoted); at != std::string_view::npos;
       at = bytes.find(quoted, at + 1)) {
    if (at > 0 && (bytes[at - 1] == ',' || bytes[at - 1] == '{')) places.push_back(at);
  }
  return places;
}

// Whether somewhere between a place of this key and one of the next stands what the digest names.
bool stands_as_frozen(std::string_view bytes, const std::string& key, const std::string& next,
                      const std::string& digest) {
  const std::vector<std::size_t> ends = places_of(bytes, next);
  for (const std::size_t place : places_of(bytes, key)) {
    const std::size_t from = place + key.size() + 3;
    for (const std::size_t end : ends) {
      if (end < from + 1) continue;
      if (hex(sha256(bytes.substr(from, end - 1 - from))) == digest) return true;
    }
  }
  return false;
}

// The digest that the raw text gives for a key, at its first place behind `table`.
std::optional<std::string> listed_value(std::string_view bytes, std::string_view table,
                                        const std::string& key) {
  const std::size_t from = bytes.find(table);
  if (from == std::string_view::npos) return std::nullopt;
  const std::string quoted = fmt::format("\"{}\":\"", key);
  const std::size_t at = bytes.find(quoted, from);
  if (at == std::string_view::npos || bytes.size() < at + quoted.size() + 64) return std::nullopt;
  return std::string(bytes.substr(at + quoted.size(), 64));
}

// For text that is not what write_json would write: sections by their raw bytes.
Unexpected raw_difference(std::string_view bytes, std::optional<std::uint64_t> byte) {
  std::vector<std::string> keys = forecast_sections();
  for (const std::string_view key : kHeader) keys.emplace_back(key);
  keys.insert(keys.end(), {"commitment", "digests"});
  std::sort(keys.begin(), keys.end());
  const auto stands = [&](const std::string& key, const std::string& digest) {
    return stands_as_frozen(bytes, key, *std::upper_bound(keys.begin(), keys.end(), key), digest);
  };
  std::vector<std::string> parts;
  for (const std::string& section : forecast_sections()) {
    const auto digest = listed_value(bytes, "\"digests\":{", section);
    if (!digest || !stands(section, *digest)) parts.push_back(section);
  }
  // The commitment tells a changed section from a changed digest of it.
  const auto commitment = listed_value(bytes, "", "commitment");
  const bool committed = commitment && stands("digests", *commitment);
  // All sections stand: what broke is between them, or in the few words around.
  if (committed && parts.empty()) parts.emplace_back("header");
  if (!committed) {
    const bool all_stand = parts.empty();
    parts = {"digests"};
    if (all_stand) parts.insert(parts.begin(), "commitment");
  }
  Unexpected error = differs(parts);
  error.error.where.byte_offset = byte;
  return error;
}

}  // namespace

const std::vector<std::string>& forecast_sections() {
  static const std::vector<std::string> sections = {
      "baselines",   "behaviors", "counts",   "design",  "estimates",
      "measurement", "models",    "prefixes", "prompts", "scoring"};
  return sections;
}

std::string freeze(Json document) {
  UNDERSTUDY_ASSERT(document["schema"] == kSchema);
  for (const std::string& section : forecast_sections()) {
    UNDERSTUDY_ASSERT(document.contains(section));
  }
  document["digests"] = digests_of(document);
  document["commitment"] = digest_of(document["digests"]);
  return write_json(document, JsonStyle::kCanonical);
}

Result<Json> thaw(std::string_view bytes) {
  const auto parsed = parse_json(bytes);
  if (!parsed) {
    if (bytes.find("\"commitment\":") == std::string_view::npos &&
        bytes.find("\"digests\":{") == std::string_view::npos) {
      return unexpected(ErrorCode::kInput, "this is not a forecast: no JSON", parsed.error().where);
    }
    return raw_difference(bytes, parsed.error().where.byte_offset);
  }
  const Json& document = *parsed;
  if (!document.is_object() || !(document.contains("digests") || document.contains("commitment"))) {
    return unexpected(ErrorCode::kInput,
                      "this is not a forecast: no document of schema understudy.forecast/1");
  }
  const Json digests = digests_of(document);
  const Json listed = document.value("digests", Json());
  const Json commitment = document.value("commitment", Json());
  std::vector<std::string> parts;
  // The commitment tells a changed section from a changed digest of it.
  if (commitment == digest_of(digests) && listed != digests) return differs({"digests"});
  std::vector<std::string> known = forecast_sections();
  known.emplace_back("header");
  for (const std::string& section : known) {
    if (!listed.is_object() || !digests.contains(section) || !listed.contains(section) ||
        listed[section] != digests[section]) {
      parts.push_back(section);
    }
  }
  if (commitment != digest_of(listed) && parts.empty()) parts.emplace_back("commitment");
  // Nothing is missing, so a key too many is an addition.
  const std::size_t keys = forecast_sections().size() + kHeader.size() + 2;
  if (parts.empty() && document.size() != keys) parts.emplace_back("header");
  if (!parts.empty()) return differs(parts);
  if (document["schema"] != kSchema) {
    return unexpected(ErrorCode::kInput, "this is a forecast of another schema than " +
                                             std::string(kSchema) +
                                             ": use the program that wrote it");
  }
  if (write_json(document, JsonStyle::kCanonical) != bytes) return raw_difference(bytes, {});
  return document;
}

}  // namespace understudy
