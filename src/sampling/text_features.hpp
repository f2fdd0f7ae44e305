#pragma once
// Hashed features of the text before an answer: what classifiers of prefixes read.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "records/conversation.hpp"

namespace understudy {

/// One of the hashed features of a text, present with this value.
struct TextFeature {
  std::int32_t index = 0;  ///< 1 … kTextFeatures
  float value = 1;
  bool operator==(const TextFeature&) const = default;
};
inline constexpr std::int32_t kTextFeatures = 1 << 18;

/// Words and pairs of words of the last message and whether there are tools, a system prompt and
/// earlier turns; by index, each once, scaled to length 1. Only the first 4,000 bytes are read.
[[nodiscard]] std::vector<TextFeature> text_features(std::span<const Message> prefix,
                                                     std::string_view tools);

}  // namespace understudy
