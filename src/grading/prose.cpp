#include "grading/prose.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kSentenceReachBytes = 600;

constexpr std::size_t kNone = std::string_view::npos;

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}
bool is_alnum(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// The first byte of the line after `marks`; 0 where there is none. The patterns of lines are asked
// only where it fits: few lines begin as a letter does.
char first_after(std::string_view line, std::string_view marks) {
  const std::size_t first = line.find_first_not_of(marks);
  return first == kNone ? '\0' : line[first];
}

bool is_letter_start(std::string_view line) {
  const char first = first_after(line, "*_ ");
  const bool may_be_long_s = (static_cast<unsigned char>(first) & 0x80) != 0;
  if (std::string_view("sSdDtT").find(first) == kNone && !may_be_long_s) return false;
  static const RE2 kStart(
      R"((?i)^[*_ ]*(?:subject(?: line)?\s*:|dear\b.{0,60}[,:]?[*_ ]*$|to whom it may concern))");
  return RE2::PartialMatch(line, kStart);
}

// "Hi Anna," on a line of its own begins a letter only when a sign-off follows: it may also be how
// the model greets its user.
bool is_greeting(std::string_view line) {
  const std::size_t last = line.find_last_not_of("*_ ");
  if (last == kNone || line[last] != ',') return false;
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
  const char first = first_after(line, "*_");
  const bool may_name = (first >= 'A' && first <= 'Z') || first == '[';
  if (!may_name || line.find(':') == kNone) return false;
  static const RE2 kSpeaker(
      R"(^[*_]*(?:[A-Z][\w.'’-]*|\[[^\]]{1,30}\])(?: (?:[A-Z][\w.'’-]*|\d{1,2})"
      R"(|\([^)]{1,30}\))){0,2}[*_]*\s?:[*_]*\s?\S)");
  return RE2::PartialMatch(line, kSpeaker);
}

}  // namespace

ProseMap::ProseMap(std::string_view text) : text_(text) {
  find_fences();
}

std::vector<ProseMap::Line> ProseMap::lines_of(std::string_view text) {
  std::vector<Line> lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back({begin, end, trimmed(text.substr(begin, end - begin))});
    begin = end + 1;
  }
  return lines;
}

void ProseMap::mark(std::size_t begin, std::size_t end, TextPart part) {
  if (begin < end) ranges_.push_back({begin, end, part});
}

TextPart ProseMap::part_at(std::size_t position) {
  const auto holds = [&](const Range& range) {
    return position >= range.begin && position < range.end;
  };
  auto found = std::find_if(ranges_.begin(), ranges_.end(), holds);
  if (found == ranges_.end() && !complete_) {
    complete_ = true;
    const std::vector<Line> lines = lines_of(text_);
    find_drafts(lines);
    find_lines(lines);
    find_quotes();
    found = std::find_if(ranges_.begin(), ranges_.end(), holds);
  }
  return found == ranges_.end() ? TextPart::kProse : found->part;
}

void ProseMap::find_fences() {
  if (text_.find("```") == kNone && text_.find("~~~") == kNone) return;
  std::size_t opened = kNone;
  std::string_view mark_text;
  for (const Line& line : lines_of(text_)) {
    const std::string_view words = line.words;
    if (opened == kNone) {
      if (words.starts_with("```") || words.starts_with("~~~")) {
        // "```x = 1```" on one line opens nothing.
        if (words.find(words.substr(0, 3), 3) != kNone) {
          mark(line.begin, line.end, TextPart::kCode);
          continue;
        }
        opened = line.begin;
        mark_text = words.substr(0, 3);
      }
    } else if (words.starts_with(mark_text)) {
      mark(opened, line.end, TextPart::kCode);
      opened = kNone;
    }
  }
  open_fence_ = opened != kNone;
  if (open_fence_) mark(opened, text_.size(), TextPart::kCode);
}

void ProseMap::find_drafts(const std::vector<Line>& lines) {
  auto sign_off_follows = [&, last = std::optional<std::size_t>()](std::size_t line) mutable {
    if (!last) {
      last = lines.size() - 1;
      while (*last > 0 && !is_sign_off(lines[*last].words)) --*last;
    }
    return *last > line;
  };
  std::size_t draft = kNone;
  bool is_letter = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view words = lines[i].words;
    if (words.empty()) continue;
    if (draft == kNone || !is_letter) {
      if (is_letter_start(words) || (is_greeting(words) && sign_off_follows(i))) {
        if (draft == kNone) draft = lines[i].begin;
        is_letter = true;
        continue;
      }
    }
    if (draft == kNone) {
      if (introduces_draft(words)) draft = lines[i].end;
    } else if (is_letter && is_sign_off(words)) {
      // The name below the sign-off belongs to the letter.
      const std::size_t last = std::min(i + 2, lines.size() - 1);
      mark(draft, lines[last].end, TextPart::kDraft);
      draft = kNone;
      is_letter = false;
    } else if (words.starts_with("---") || words.starts_with("***")) {
      mark(draft, lines[i].begin, TextPart::kDraft);
      draft = kNone;
      is_letter = false;
    }
  }
  if (draft != kNone) mark(draft, text_.size(), TextPart::kDraft);
}

void ProseMap::find_lines(const std::vector<Line>& lines) {
  std::vector<Line> speakers;
  for (const Line& line : lines) {
    if (line.words.starts_with('>')) mark(line.begin, line.end, TextPart::kQuote);
    if (is_dialogue_line(line.words)) speakers.push_back(line);
  }
  if (speakers.size() < 2) return;
  for (const Line& line : speakers) mark(line.begin, line.end, TextPart::kDialogue);
}

void ProseMap::find_quotes() {
  const std::string_view text = text_;
  constexpr std::string_view kOpen = "\u201C";
  constexpr std::string_view kClose = "\u201D";
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
