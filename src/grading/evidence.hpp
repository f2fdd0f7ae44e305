#pragma once
// Evidence: where a verdict's reason stands, so that a person can look. Byte ranges, never text.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace understudy {

enum class EvidenceWhere : std::uint8_t {
  kAnswer,    ///< bytes of the answer's text
  kToolCall,  ///< the answer's tool call number `index`
  kMessage,   ///< bytes of message number `index` of the prefix
};

struct Evidence {
  EvidenceWhere where = EvidenceWhere::kAnswer;
  std::size_t index = 0;  ///< which message or tool call; 0 for the answer
  std::size_t begin = 0;  ///< byte range [begin, end) of its text; both 0: all of it
  std::size_t end = 0;
  bool operator==(const Evidence&) const = default;
};

}  // namespace understudy
