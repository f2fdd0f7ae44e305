#include "grading/prose.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kSentenceReachBytes = 600;

struct Line {
  std::size_t begin = 0;
  std::size_t end = 0;  ///< without the line break
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) end = text.size();
    lines.push_back({begin, end});
    begin = end + 1;
  }
  return lines;
}

std::string_view text_of(std::string_view text, const Line& line) {
  return trimmed(text.substr(line.begin, line.end - line.begin));
}

bool is_letter_start(std::string_view line) {
  static const RE2 kStart(
      R"((?i)^[*_ ]*(?:subject(?: line)?\s*:|dear\b.{0,60}[,:]?[*_ ]*$|to whom it may concern))");
  return RE2::PartialMatch(line, kStart);
}

// "Hi Anna," on a line of its own begins a letter only when a sign-off follows: it may also be how
// the model greets its user.
bool is_greeting(std::string_view line) {
  static const RE2 kGreeting(R"((?i)^[*_ ]*(?:hi|hello|hey|greetings|good (?:morning|afternoon)"
                             R"(|evening))\b[^.!?]{0,40},[*_ ]*$)");
  return RE2::PartialMatch(line, kGreeting);
}

bool is_sign_off(std::string_view line) {
  static const RE2 kSignOff(
      R"((?i)^[*_ ]*(?:(?:best|kind|warm|warmest|kindest|with)?\s*(?:best |kind )"
      R"(|warm )?(?:regards|wishes)|(?:yours )?(?:sincerely|faithfully|truly)|yours)"
      R"(|respectfully(?: yours)?|cheers|many thanks|thanks|thank you|with gratitude|love)"
      R"(|all the best|best|\[your name\]|\[name\])[,.!]?[*_ ]*$)");
  return RE2::PartialMatch(line, kSignOff);
}

// "Here's a possible reply:" and its kin.
bool introduces_draft(std::string_view line) {
  if (!line.ends_with(':') && !line.ends_with(":**") && !line.ends_with(":*")) return false;
  static const RE2 kIntroduces(
      R"((?i)\b(?:e-?mails?|messages?|reply|replies|responses?|letters?|versions?|drafts?)"
      R"(|examples?|scripts?|texts?|posts?|statements?|say|write|respond|sentences?)"
      R"(|paragraphs?|rewritten|revised|rephrased|translat(?:ed|ion)|corrected|story|poem|song)"
      R"(|speech|dialogue|conversation|monologue|template|bio|introduction|tweets?|captions?)"
      R"(|lyrics|prompt|tagline|slogan|quote)\b)");
  return RE2::PartialMatch(line, kIntroduces);
}

bool is_dialogue_line(std::string_view line) {
  static const RE2 kSpeaker(
      R"(^[*_]*(?:[A-Z][\w.'’-]*|\[[^\]]{1,30}\])(?: (?:[A-Z][\w.'’-]*|\d{1,2})"
      R"(|\([^)]{1,30}\))){0,2}[*_]*\s?:[*_]*\s?\S)");
  return RE2::PartialMatch(line, kSpeaker);
}

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}
bool is_alnum(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

ProseMap::ProseMap(std::string_view text) {
  find_fences(text);
  find_drafts(text);
  find_lines(text);
  find_quotes(text);
}

void ProseMap::mark(std::size_t begin, std::size_t end, TextPart part) {
  if (begin < end) ranges_.push_back({begin, end, part});
}

TextPart ProseMap::part_at(std::size_t position) const {
  for (const Range& range : ranges_) {
    if (position >= range.begin && position < range.end) return range.part;
  }
  return TextPart::kProse;
}

void ProseMap::find_fences(std::string_view text) {
  std::size_t opened = std::string_view::npos;
  std::string_view mark_text;
  for (const Line& line : lines_of(text)) {
    const std::string_view words = text_of(text, line);
    if (opened == std::string_view::npos) {
      if (words.starts_with("```") || words.starts_with("~~~")) {
        // "```x = 1```" on one line opens nothing.
        if (words.find(words.substr(0, 3), 3) != std::string_view::npos) {
          mark(line.begin, line.end, TextPart::kCode);
          continue;
        }
        opened = line.begin;
        mark_text = words.substr(0, 3);
      }
    } else if (words.starts_with(mark_text)) {
      mark(opened, line.end, TextPart::kCode);
      opened = std::string_view::npos;
    }
  }
  open_fence_ = opened != std::string_view::npos;
  if (open_fence_) mark(opened, text.size(), TextPart::kCode);
}

void ProseMap::find_drafts(std::string_view text) {
  const std::vector<Line> lines = lines_of(text);
  bool sign_off_follows = false;
  std::vector<bool> has_sign_off(lines.size());
  for (std::size_t i = lines.size(); i-- > 0;) {
    has_sign_off[i] = sign_off_follows;
    sign_off_follows = sign_off_follows || is_sign_off(text_of(text, lines[i]));
  }
  std::size_t draft = std::string_view::npos;
  bool is_letter = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view words = text_of(text, lines[i]);
    if (words.empty()) continue;
    if (draft == std::string_view::npos || !is_letter) {
      if (is_letter_start(words) || (has_sign_off[i] && is_greeting(words))) {
        if (draft == std::string_view::npos) draft = lines[i].begin;
        is_letter = true;
        continue;
      }
    }
    if (draft == std::string_view::npos) {
      if (introduces_draft(words)) draft = lines[i].end;
    } else if (is_letter && is_sign_off(words)) {
      // The name below the sign-off belongs to the letter.
      const std::size_t last = std::min(i + 2, lines.size() - 1);
      mark(draft, lines[last].end, TextPart::kDraft);
      draft = std::string_view::npos;
      is_letter = false;
    } else if (words.starts_with("---") || words.starts_with("***")) {
      mark(draft, lines[i].begin, TextPart::kDraft);
      draft = std::string_view::npos;
      is_letter = false;
    }
  }
  if (draft != std::string_view::npos) mark(draft, text.size(), TextPart::kDraft);
}

void ProseMap::find_lines(std::string_view text) {
  std::vector<Line> speakers;
  for (const Line& line : lines_of(text)) {
    const std::string_view words = text_of(text, line);
    if (words.starts_with('>')) mark(line.begin, line.end, TextPart::kQuote);
    if (is_dialogue_line(words)) speakers.push_back(line);
  }
  if (speakers.size() < 2) return;
  for (const Line& line : speakers) mark(line.begin, line.end, TextPart::kDialogue);
}

void ProseMap::find_quotes(std::string_view text) {
  constexpr std::string_view kOpen = "\u201C";
  constexpr std::string_view kClose = "\u201D";
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t straight = kNone;
  std::size_t single = kNone;
  std::size_t curly = kNone;
  std::size_t tick = kNone;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' && i + 1 < text.size() && text[i + 1] == '\n') {
      straight = single = curly = tick = kNone;  // quotations do not cross paragraphs
    } else if (c == '"') {
      if (straight == kNone) {
        straight = i;
      } else {
        mark(straight, i + 1, TextPart::kQuote);
        straight = kNone;
      }
    } else if (c == '`' && !text.substr(i).starts_with("```")) {
      if (tick == kNone) {
        tick = i;
      } else {
        mark(tick, i + 1, TextPart::kCode);
        tick = kNone;
      }
    } else if (c == '\'') {
      const bool opens =
          (i == 0 || is_space(text[i - 1]) || text[i - 1] == '(' || text[i - 1] == ':') &&
          i + 1 < text.size() && is_alnum(text[i + 1]);
      const bool closes =
          i > 0 && !is_space(text[i - 1]) && (i + 1 == text.size() || !is_alnum(text[i + 1]));
      if (single == kNone && opens) {
        single = i;
      } else if (single != kNone && closes) {
        mark(single, i + 1, TextPart::kQuote);
        single = kNone;
      }
    } else if (c == kOpen[0]) {
      if (text.substr(i).starts_with(kOpen)) curly = i;
      if (text.substr(i).starts_with(kClose) && curly != kNone) {
        mark(curly, i + kClose.size(), TextPart::kQuote);
        curly = kNone;
      }
    }
  }
}

SentenceRange sentence_around(std::string_view text, std::size_t begin, std::size_t end) {
  SentenceRange sentence{begin, end};
  const std::size_t first = begin > kSentenceReachBytes ? begin - kSentenceReachBytes : 0;
  while (sentence.begin > first) {
    const char before = text[sentence.begin - 1];
    if (before == '\n') break;
    // "e.g." and "3.5" do not end a sentence: white space must follow.
    if (is_space(before) && sentence.begin >= 2) {
      const char mark = text[sentence.begin - 2];
      if (mark == '.' || mark == '!' || mark == '?') break;
    }
    --sentence.begin;
  }
  const std::size_t last = std::min(text.size(), end + kSentenceReachBytes);
  while (sentence.end < last) {
    const char c = text[sentence.end];
    if (c == '\n') break;
    ++sentence.end;
    if ((c == '.' || c == '!' || c == '?') &&
        (sentence.end == text.size() || is_space(text[sentence.end]))) {
      break;
    }
  }
  return sentence;
}

std::size_t sentence_words_begin(std::string_view text, SentenceRange sentence) {
  static const RE2 kOpener(
      R"((?i)^(?:[\s*_#>•"“(-]|\d{1,2}[.)]\s)*(?:(?:sure|certainly|of course|absolutely|okay)"
      R"(|ok|yes|no|well|however|but|and|so|also|please note that|note that|unfortunately)"
      R"(|hello|hi|hey|sorry|thanks|thank you|great|understood|got it|alright|then|meanwhile)"
      R"(|in the meantime|once again|again|first|next|finally|as requested|oh|ah)"
      R"(|hmm)(?: there)?[,!.:;\s\x{2013}\x{2014}-]+){0,3})");
  const std::string_view words = text.substr(sentence.begin, sentence.end - sentence.begin);
  re2::StringPiece rest(words.data(), words.size());
  RE2::Consume(&rest, kOpener);
  return sentence.begin + (words.size() - rest.size());
}

}  // namespace understudy
