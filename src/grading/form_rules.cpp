// Rules about the form of an answer: its language, markers of a chat template in its text, and how
// it ends.
#include <re2/re2.h>

#include <algorithm>
#include <cctype>

#include "base/text.hpp"
#include "grading/language.hpp"
#include "grading/rule.hpp"

namespace understudy {
namespace {

// Fewer bytes than this say too little about the language that the user writes.
constexpr std::size_t kRequestBytesMin = 24;
constexpr std::size_t kRequestLookBytes = 4096;

constexpr std::size_t kInstructionBytes = 240;

std::string_view utf8_suffix(std::string_view text, std::size_t size_max) {
  std::size_t begin = text.size() > size_max ? text.size() - size_max : 0;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  return text.substr(begin);
}

bool is_request(const Message& message) {
  return message.role != Role::kAssistant && message.role != Role::kTool;
}
bool is_request_with_english(const Message& message) {
  return is_request(message) && has_english_words(message.content);
}

class LanguageRule : public Rule {
 public:
  LanguageRule(std::vector<Pattern> names, std::size_t answer_bytes_min)
      : names_(std::move(names)), answer_bytes_min_(answer_bytes_min) {}

  void look(AnswerFacts& facts, Finds& finds) const override {
    const AnswerView& view = facts.view;
    if (view.content.size() < answer_bytes_min_) return;
    const std::string& answer = facts.language();
    if (answer.empty()) return;
    const std::string_view request = last_user_text(view.prefix);
    if (request.size() < kRequestBytesMin) return;
    // Nearly all end here: the looks below would only cost more and say the same.
    if (answer == "en" &&
        (is_plainly_english(request) ||
         std::any_of(view.prefix.rbegin(), view.prefix.rend(), is_request_with_english))) {
      return;
    }
    const std::string asked = detect_language(utf8_prefix(request, kRequestLookBytes));
    if (asked.empty() || easily_confused(asked, answer)) return;
    if (has_language(view.content, asked)) return;
    // Whoever names a language, or has written in the answer's, may want it. The instruction
    // around pages of pasted text stands at the front or at the end.
    for (const Message& message : view.prefix) {
      if (!is_request(message)) continue;
      const std::string_view text = message.content;
      if (matches_any(names_, text) || has_language(text, answer)) return;
      if (text.size() <= 2 * kInstructionBytes) continue;
      if (has_language(utf8_prefix(text, kInstructionBytes), answer) ||
          has_language(utf8_suffix(text, kInstructionBytes), answer)) {
        return;
      }
    }
    finds.add({EvidenceWhere::kAnswer, 0, 0, view.content.size()});
  }

 private:
  std::vector<Pattern> names_;
  std::size_t answer_bytes_min_;
};

class TemplateRule : public Rule {
 public:
  TemplateRule(std::vector<Pattern> tokens, std::vector<Pattern> turns,
               std::vector<Pattern> unless_request)
      : tokens_(std::move(tokens)),
        turns_(std::move(turns)),
        unless_request_(std::move(unless_request)) {}

  void register_phrases(PhraseSet& phrases) override {
    for (const Pattern& token : tokens_) {
      numbers_.push_back(phrases.add(token, PhraseSet::Scope::kAnywhere));
    }
    for (const Pattern& turn : turns_) {
      numbers_.push_back(phrases.add(turn, PhraseSet::Scope::kAnywhere));
    }
  }

  void look(AnswerFacts& facts, Finds& finds) const override {
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      if (!std::binary_search(facts.found_phrases.begin(), facts.found_phrases.end(),
                              numbers_[i])) {
        continue;
      }
      const bool is_turn = i >= tokens_.size();
      const Pattern& pattern = is_turn ? turns_[i - tokens_.size()] : tokens_[i];
      if (look_for(facts, pattern, is_turn, finds)) return;
    }
  }

 private:
  bool look_for(AnswerFacts& facts, const Pattern& pattern, bool is_turn, Finds& finds) const {
    const std::string_view text = facts.view.content;
    std::size_t from = 0;
    re2::StringPiece match;
    while (from < text.size() &&
           pattern.compiled->Match(re2::StringPiece(text.data(), text.size()), from, text.size(),
                                   RE2::UNANCHORED, &match, 1)) {
      const auto begin = static_cast<std::size_t>(match.data() - text.data());
      from = begin + std::max<std::size_t>(match.size(), 1);
      const TextPart part = facts.prose().part_at(begin);
      if (part == TextPart::kCode || part == TextPart::kQuote) continue;
      const std::string_view found = trimmed(text.substr(begin, match.size()));
      if (prefix_contains(facts.view.prefix, found)) continue;
      // An answer that writes the user's next turn: not where a dialogue was asked for.
      if (is_turn && (facts.request.role_play() || facts.request.first_person() ||
                      matches_any(unless_request_, last_user_text(facts.view.prefix)))) {
        continue;
      }
      if (finds.add({EvidenceWhere::kAnswer, 0, begin, from})) return true;
    }
    return false;
  }

  std::vector<Pattern> tokens_;
  std::vector<Pattern> turns_;
  std::vector<Pattern> unless_request_;
  std::vector<int> numbers_;
};

bool is_word_byte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || (static_cast<unsigned char>(c) & 0x80);
}

class EndingRule : public Rule {
 public:
  EndingRule(std::vector<Pattern> open_ends, std::size_t paragraph_bytes_min)
      : open_ends_(std::move(open_ends)), paragraph_bytes_min_(paragraph_bytes_min) {}

  void look(AnswerFacts& facts, Finds& finds) const override {
    const AnswerView& view = facts.view;
    const std::string_view text = trimmed(view.content);
    if (!view.tool_calls.empty()) return;  // what the user gets comes after the tools
    // Nothing, or the same mark over and over: "...", "—". An emoticon is an answer.
    const bool is_mark = !text.empty() && !is_word_byte(text.front()) &&
                         text.find_first_not_of(text.front()) == std::string_view::npos;
    if (text.empty() || is_mark) {
      finds.add({EvidenceWhere::kAnswer, 0, 0, view.content.size()});
      return;
    }
    if (view.cut_by_window) return;
    const bool provider_cut =
        view.finish == FinishReason::kLength || view.finish == FinishReason::kContentFilter;
    if (provider_cut || ends_open(facts, text)) {
      finds.add({EvidenceWhere::kAnswer, 0, last_line_begin(view.content), view.content.size()});
    }
  }

 private:
  static std::size_t last_line_begin(std::string_view text) {
    const std::size_t last = text.find_last_not_of(" \t\r\n");
    const std::size_t line = last == std::string_view::npos ? 0 : text.rfind('\n', last);
    return line == std::string_view::npos ? 0 : line + 1;
  }

  bool ends_open(AnswerFacts& facts, std::string_view text) const {
    // Nine in ten answers end in one of these: nothing else to look at, unless a fence is open.
    const char last = text.back();
    const bool closed = last == '.' || last == '!' || last == '?';
    if (text.find("```") != std::string_view::npos) {
      if (facts.prose().ends_in_open_fence()) return true;
      if (closed || text.ends_with("```")) return false;
    } else if (closed) {
      return false;
    }
    const std::string_view line = trimmed(text.substr(last_line_begin(text)));
    // Headings, table rows, list entries, formulas and names end without punctuation.
    if (line.starts_with('#') || line.starts_with('|') || line.ends_with('|')) return false;
    if (last == ',' || last == '(' || last == '[' || last == '{') {
      return line.size() >= 24 && line.find(' ') != std::string_view::npos &&
             facts.prose().is_own_words(text.size() - 1);
    }
    if (!is_word_byte(last)) return false;
    const std::string& language = facts.language();
    if (language == "en" && line.size() >= 24 && matches_any(open_ends_, line)) return true;
    return language == "en" && is_open_paragraph(line);
  }

  // A long line of whole sentences whose last one just stops.
  bool is_open_paragraph(std::string_view line) const {
    if (line.size() < paragraph_bytes_min_) return false;
    static const RE2 kSentenceEnd(R"re([a-z)"][.!?]"? +"?[A-Z])re");
    if (!RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), kSentenceEnd)) return false;
    const std::size_t sentence = line.find_last_of(".!?");
    const std::string_view rest =
        line.substr(sentence == std::string_view::npos ? 0 : sentence + 1);
    return rest.find("http") == std::string_view::npos &&
           std::count(rest.begin(), rest.end(), ' ') >= 2;
  }

  std::vector<Pattern> open_ends_;
  std::size_t paragraph_bytes_min_;
};

}  // namespace

Result<std::unique_ptr<Rule>> make_language_rule(RuleReader& in) {
  UNDERSTUDY_TRY(std::vector<Pattern> names, in.patterns("language_named", true));
  const auto bytes_min = static_cast<std::size_t>(in.number("answer_bytes_min", 40));
  return std::unique_ptr<Rule>(std::make_unique<LanguageRule>(std::move(names), bytes_min));
}

Result<std::unique_ptr<Rule>> make_template_rule(RuleReader& in) {
  UNDERSTUDY_TRY(std::vector<Pattern> tokens, in.patterns("tokens", true));
  UNDERSTUDY_TRY(std::vector<Pattern> turns, in.patterns("turns", false));
  UNDERSTUDY_TRY(std::vector<Pattern> unless, in.patterns("unless_request", false));
  return std::unique_ptr<Rule>(
      std::make_unique<TemplateRule>(std::move(tokens), std::move(turns), std::move(unless)));
}

Result<std::unique_ptr<Rule>> make_ending_rule(RuleReader& in) {
  UNDERSTUDY_TRY(std::vector<Pattern> open_ends, in.patterns("open_ends", true));
  const auto bytes_min = static_cast<std::size_t>(in.number("paragraph_bytes_min", 120));
  return std::unique_ptr<Rule>(std::make_unique<EndingRule>(std::move(open_ends), bytes_min));
}

}  // namespace understudy
