#include "sampling/text_features.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kBytesRead = 4'000;

// FNV-1a with a final mix: the index of a feature is not a secret, only well spread.
std::int32_t feature_index(std::string_view kind, std::string_view first, std::string_view second) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ 0xFF) * 0x100000001b3;
  };
  add(kind);
  add(first);
  add(second);
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9;
  hash ^= hash >> 32;
  return static_cast<std::int32_t>(hash % kTextFeatures) + 1;
}

// Runs of letters, digits and non-ASCII bytes, ASCII lowered.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : utf8_prefix(text, kBytesRead)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || byte >= 0x80) {
      word += upper ? static_cast<char>(c + 32) : c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::string size_class(std::size_t value) {
  int bits = 0;
  for (; value > 0; value >>= 1) ++bits;
  return std::to_string(bits);
}

}  // namespace

std::vector<TextFeature> text_features(std::span<const Message> prefix, std::string_view tools) {
  std::vector<std::int32_t> indices;
  const auto add = [&](std::string_view kind, std::string_view first, std::string_view second) {
    indices.push_back(feature_index(kind, first, second));
  };
  if (!prefix.empty()) {
    const Message& last = prefix.back();
    const std::vector<std::string> words = words_of(last.content);
    for (std::size_t i = 0; i < words.size(); ++i) {
      add("word", words[i], {});
      if (i > 0) add("pair", words[i - 1], words[i]);
    }
    add("role", role_name(last.role), {});
    add("length", size_class(last.content.size()), {});
    if (prefix.front().role == Role::kSystem) add("system", {}, {});
  }
  add("turns", size_class(prefix.size()), {});
  if (!tools.empty()) add("tools", {}, {});
  std::sort(indices.begin(), indices.end());
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  const auto value = static_cast<float>(1 / std::sqrt(static_cast<double>(indices.size())));
  std::vector<TextFeature> features;
  features.reserve(indices.size());
  for (const std::int32_t index : indices) features.push_back({index, value});
  return features;
}

}  // namespace understudy
