// Loops: the answer says the same thing again and again, as small models do when decoding goes
// round in circles.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "grading/rule.hpp"

namespace understudy {
namespace {

// A sentence or line, as the hash of its letters and digits: punctuation and the number of a list
// entry do not make two rounds of a loop different.
struct Segment {
  std::size_t hash = 0;
  std::size_t letters = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct Limits {
  std::size_t letters_min = 0;  ///< of one round
  std::size_t rounds_min = 0;
  std::size_t bytes_min = 0;  ///< of all rounds together
  double share_min = 0;       ///< of the answer's sentences that are one and the same
};

constexpr std::size_t kPeriodSegmentsMax = 8;
constexpr std::size_t kTailBytes = 1536;
constexpr std::size_t kCodeRoundsFactor = 3;  // programs and data repeat lines for good reasons

// What each byte is to a segment.
struct ByteTable {
  ByteTable() {
    for (std::size_t c = 0; c < 256; ++c) {
      const bool upper = c >= 'A' && c <= 'Z';
      const bool lower = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      letter[c] = static_cast<char>(upper ? c + 32 : c);
      is_letter[c] = upper || lower || c >= 128 ? 1 : 0;
    }
    for (const char c : std::string_view("\n.!?;)")) may_end[static_cast<std::size_t>(c)] = true;
  }
  std::array<char, 256> letter{};             // in lower case
  std::array<std::uint8_t, 256> is_letter{};  // 0 or 1
  std::array<bool, 256> may_end{};
};

bool is_number(std::string_view text) {
  return text.find_first_not_of("0123456789 \t*_#-") == std::string_view::npos;
}

bool ends_segment(std::string_view text, std::size_t i) {
  return text[i] == '\n' || (text[i] != ')' && (i + 1 == text.size() || text[i + 1] <= ' '));
}

std::vector<Segment> segments_of(std::string_view text) {
  static const ByteTable table;
  std::vector<Segment> segments;
  segments.reserve(text.size() / 48 + 1);
  std::string kept(text.size(), '\0');
  char* const letters = kept.data();  // of the segment being read
  std::size_t count = 0;
  std::size_t begin = 0;
  const auto add = [&segments, letters](std::size_t size, std::size_t first, std::size_t end) {
    if (size == 0) return;
    const std::size_t hash = std::hash<std::string_view>{}({letters, size});
    segments.push_back({hash, size, first, end});
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    // Without a branch for letters: where words end, no processor can predict.
    const auto byte = static_cast<unsigned char>(text[i]);
    letters[count] = table.letter[byte];
    count += table.is_letter[byte];
    if (!table.may_end[byte]) continue;
    // "12." at the beginning is the number of a list entry.
    if (count > 0 && count <= 3 && (text[i] == '.' || text[i] == ')') &&
        is_number(text.substr(begin, i - begin))) {
      count = 0;
    } else if (ends_segment(text, i)) {
      add(count, begin, i + 1);
      count = 0;
      begin = i + 1;
    }
  }
  add(count, begin, text.size());
  return segments;
}

class RepetitionRule : public Rule {
 public:
  explicit RepetitionRule(Limits limits) : limits_(limits) {}

  void look(AnswerFacts& facts, Finds& finds) const override {
    const std::string_view text = facts.view.content;
    if (text.size() < limits_.bytes_min) return;
    const std::vector<Segment> segments = segments_of(text);
    std::vector<Evidence> loops;
    find_rounds(segments, loops);
    find_share(segments, text, loops);
    find_tail(text, loops);
    for (const Evidence& loop : loops) {
      if (is_meant(facts, loop)) continue;
      if (finds.add(loop)) return;
    }
  }

 private:
  // Sentences A B C A B C …: segment i equals segment i - period, for long enough.
  void find_rounds(const std::vector<Segment>& segments, std::vector<Evidence>& loops) const {
    for (std::size_t period = 1; period <= kPeriodSegmentsMax; ++period) {
      std::size_t run = 0;
      for (std::size_t i = period; i <= segments.size(); ++i) {
        if (i < segments.size() && segments[i].hash == segments[i - period].hash) {
          ++run;
          continue;
        }
        if (run > 0) add_round(segments, i - run - period, i, period, loops);
        run = 0;
      }
    }
  }

  void add_round(const std::vector<Segment>& segments, std::size_t first, std::size_t end,
                 std::size_t period, std::vector<Evidence>& loops) const {
    std::size_t letters = 0;
    for (std::size_t i = first; i < first + period; ++i) letters += segments[i].letters;
    const std::size_t rounds = (end - first) / period;
    const std::size_t bytes = segments[end - 1].end - segments[first].begin;
    if (letters < limits_.letters_min || rounds < limits_.rounds_min || bytes < limits_.bytes_min) {
      return;
    }
    loops.push_back({EvidenceWhere::kAnswer, 0, segments[first].begin, segments[end - 1].end});
  }

  // One sentence again and again, with others between.
  void find_share(const std::vector<Segment>& segments, std::string_view text,
                  std::vector<Evidence>& loops) const {
    const std::size_t needed = std::max<std::size_t>(
        2 * limits_.rounds_min,
        static_cast<std::size_t>(limits_.share_min * static_cast<double>(segments.size())));
    if (segments.size() < needed) return;
    std::array<std::size_t, 64> same_at_most{};
    for (const Segment& segment : segments) {
      if (segment.letters >= limits_.letters_min) ++same_at_most[segment.hash % 64];
    }
    if (*std::max_element(same_at_most.begin(), same_at_most.end()) < needed) return;
    std::vector<std::size_t> hashes;
    for (const Segment& segment : segments) {
      if (segment.letters >= limits_.letters_min) hashes.push_back(segment.hash);
    }
    std::sort(hashes.begin(), hashes.end());
    std::size_t run = 0;
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      run = i > 0 && hashes[i] == hashes[i - 1] ? run + 1 : 1;
      if (run >= needed) {
        loops.push_back({EvidenceWhere::kAnswer, 0, 0, text.size()});
        return;
      }
    }
  }

  // The end of the text is periodic byte for byte ("the the the", half a sentence over and over):
  // the Z-function of the reversed tail gives every period at once.
  void find_tail(std::string_view text, std::vector<Evidence>& loops) const {
    const std::string_view tail =
        text.substr(text.size() > kTailBytes ? text.size() - kTailBytes : 0);
    const std::size_t n = tail.size();
    // The last half of what is least must stand once more, a round before: rarely so.
    const std::size_t half = std::max<std::size_t>(limits_.bytes_min / 2, 1);
    const std::size_t period_max = n / std::max<std::size_t>(limits_.rounds_min, 2);
    if (n < half + period_max) return;
    const std::string_view near_end = tail.substr(n - half - period_max);
    if (near_end.find(tail.substr(n - half)) == period_max) return;
    const auto at = [&](std::size_t i) { return tail[n - 1 - i]; };
    std::array<std::uint16_t, kTailBytes> z{};
    std::size_t left = 0;
    std::size_t right = 0;
    for (std::size_t i = 1; i < n; ++i) {
      std::size_t match = i < right ? std::min<std::size_t>(right - i, z[i - left]) : 0;
      while (i + match < n && at(match) == at(i + match)) ++match;
      z[i] = static_cast<std::uint16_t>(match);
      if (i + match > right) {
        left = i;
        right = i + match;
      }
      const std::size_t bytes = i + match;
      if (match < i || bytes < limits_.bytes_min || bytes / i < limits_.rounds_min) continue;
      if (bytes / i < 2 * limits_.rounds_min && i < limits_.letters_min) continue;
      const std::string_view round = tail.substr(n - i);
      const auto letters =
          static_cast<std::size_t>(std::count_if(round.begin(), round.end(), [](char c) {
            return std::isalpha(static_cast<unsigned char>(c)) != 0 ||
                   (static_cast<unsigned char>(c) & 0x80) != 0;
          }));
      // Rules, dot leaders and number tables are layout, not speech.
      if (letters < 3 || letters * 3 < i) continue;
      loops.push_back({EvidenceWhere::kAnswer, 0, text.size() - bytes, text.size()});
      return;
    }
  }

  bool is_meant(AnswerFacts& facts, const Evidence& loop) const {
    if (facts.request.repetition()) return true;
    const std::size_t middle = loop.begin + (loop.end - loop.begin) / 2;
    if (facts.prose().part_at(middle) != TextPart::kCode) return false;
    // Programs and data repeat lines for good reasons: a loop in them is long, and exact.
    const std::string_view text = facts.view.content.substr(loop.begin, loop.end - loop.begin);
    if (text.size() < kCodeRoundsFactor * limits_.bytes_min) return true;
    const std::size_t again = text.find(text.substr(text.size() - limits_.bytes_min / 2));
    return again > text.size() / 2;
  }

  Limits limits_;
};

}  // namespace

Result<std::unique_ptr<Rule>> make_repetition_rule(RuleReader& in) {
  Limits limits;
  limits.letters_min = static_cast<std::size_t>(in.number("letters_min", 12));
  limits.rounds_min = static_cast<std::size_t>(in.number("rounds_min", 4));
  limits.bytes_min = static_cast<std::size_t>(in.number("bytes_min", 120));
  limits.share_min = in.number("share_min", 0.4);
  return std::unique_ptr<Rule>(std::make_unique<RepetitionRule>(limits));
}

}  // namespace understudy
