#pragma once
// The recorded calls of a tool that are most like another one, by the words of their arguments
// (Okapi BM25: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework", k1 = 1.2,
// b = 0.75). Deterministic: equal scores go in the order of the logs.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.hpp"
#include "records/conversation.hpp"

namespace understudy {

/// In small letters: runs of letters and digits, in the order of the text.
[[nodiscard]] std::vector<std::string> words_of(std::string_view text);

class SimilarCalls {
 public:
  struct Recorded {
    std::string arguments;
    std::string result;
  };
  /// The same call with the same result is kept once.
  void learn(const ToolCall& call, std::string_view result);

  /// At most `count`, the most similar first; those that share no word fill up in the order of the
  /// logs, so that there is always an example where there is a recording. Valid until the next
  /// learn().
  [[nodiscard]] std::vector<const Recorded*> find(const ToolCall& call, std::size_t count) const;

 private:
  struct Tool {
    std::vector<Recorded> recorded;
    std::vector<std::uint32_t> words;  ///< of each
    struct Posting {
      std::uint32_t recorded = 0;
      std::uint32_t count = 0;
    };
    std::unordered_map<std::string, std::vector<Posting>> postings;
    std::set<Digest> known;
    std::uint64_t words_all = 0;
  };
  std::map<std::string, Tool, std::less<>> tools_;
};

}  // namespace understudy
