#pragma once
// Inside of the features: text as lower-case tokens with one space between, and a table of hashes
// that is emptied in no time.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace understudy {

/// Words in lower case, numbers as "N", symbols; scripts that are written without spaces give a
/// token for each character, so that their n-grams are of characters.
struct Tokens {
  struct Token {
    std::size_t begin = 0;  ///< in `text`
    std::size_t end = 0;
    std::uint64_t hash = 0;
  };
  std::string text;
  std::vector<Token> tokens;

  void assign(std::string_view source);
  [[nodiscard]] std::string_view slice(std::size_t first, std::size_t count) const {
    return std::string_view(text).substr(tokens[first].begin,
                                         tokens[first + count - 1].end - tokens[first].begin);
  }
};

/// Bytes of the punctuation mark or symbol at `at`; 0 where a letter, digit or white space stands.
[[nodiscard]] std::size_t mark_size(std::string_view text, std::size_t at);

[[nodiscard]] std::uint64_t token_hash(std::string_view token);
/// The hash of tokens in a row: start with a seed, add one after the other.
[[nodiscard]] inline std::uint64_t extended_hash(std::uint64_t hash, std::uint64_t token) {
  std::uint64_t x = (hash ^ token) * 0x9E3779B97F4A7C15U;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9U;
  return x ^ (x >> 32);
}

/// A set of hashes; `clear` costs nothing.
class HashSet {
 public:
  HashSet() : slots_(std::size_t{1} << 12) {}
  void clear() {
    ++stamp_;
    size_ = 0;
  }
  /// Whether it is new.
  bool insert(std::uint64_t hash) {
    if (size_ * 2 >= slots_.size()) grow();
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash & mask;
    while (slots_[at].stamp == stamp_) {
      if (slots_[at].hash == hash) return false;
      at = (at + 1) & mask;
    }
    slots_[at] = {hash, stamp_};
    ++size_;
    return true;
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint64_t stamp = 0;
  };
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    size_ = 0;
    for (const Slot& slot : old) {
      if (slot.stamp == stamp_) insert(slot.hash);
    }
  }
  std::vector<Slot> slots_;
  std::uint64_t stamp_ = 1;
  std::size_t size_ = 0;
};

}  // namespace understudy
