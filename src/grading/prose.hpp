#pragma once
// Which parts of an answer are the model speaking for itself. A promise in a quotation, a drafted
// e-mail, a dialogue line or a program is not the model's own promise.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace understudy {

enum class TextPart : std::uint8_t {
  kProse,     ///< the model's own words
  kCode,      ///< fenced block or `inline`
  kQuote,     ///< between quotation marks, or a line that begins with ">"
  kDraft,     ///< a letter, or what follows "Here is a draft:"
  kDialogue,  ///< "Name: …" lines of a script or transcript
};

class ProseMap {
 public:
  /// Refers to `text`. Finds only its fenced blocks: the rest waits for the first byte outside of
  /// them that is asked about.
  explicit ProseMap(std::string_view text);

  /// What the byte at `position` belongs to.
  [[nodiscard]] TextPart part_at(std::size_t position);
  [[nodiscard]] bool is_own_words(std::size_t position) {
    return part_at(position) == TextPart::kProse;
  }
  /// Whether a fenced block is still open where the text ends.
  [[nodiscard]] bool ends_in_open_fence() const { return open_fence_; }

 private:
  struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
    TextPart part = TextPart::kProse;
  };
  struct Line {
    std::size_t begin = 0;
    std::size_t end = 0;     ///< without the line break
    std::string_view words;  ///< without white space around
  };
  static std::vector<Line> lines_of(std::string_view text);
  void mark(std::size_t begin, std::size_t end, TextPart part);
  void find_fences();
  void find_drafts(const std::vector<Line>& lines);
  void find_lines(const std::vector<Line>& lines);
  void find_quotes();

  std::string_view text_;
  std::vector<Range> ranges_;  ///< the first that holds a position wins
  bool open_fence_ = false;
  bool complete_ = false;  ///< all parts are found, not only the fences
};

/// The sentence around [begin, end): from after the last sentence end or line break to the next.
/// At most 600 bytes each way.
struct SentenceRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};
[[nodiscard]] SentenceRange sentence_around(std::string_view text, std::size_t begin,
                                            std::size_t end);

/// Where the sentence's words begin, after list marks, emphasis and openers such as "Sure," and
/// "However,".
[[nodiscard]] std::size_t sentence_words_begin(std::string_view text, SentenceRange sentence);

}  // namespace understudy
