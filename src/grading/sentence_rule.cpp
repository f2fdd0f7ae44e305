#include "grading/sentence_rule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace understudy {
namespace {

// Sentence ends in the text before `position`, counting line breaks after text.
std::size_t sentences_before(std::string_view text, std::size_t position) {
  std::size_t count = 0;
  bool has_words = false;
  for (std::size_t i = 0; i < position; ++i) {
    const char c = text[i];
    const bool ends = c == '\n' || ((c == '.' || c == '!' || c == '?') && i + 1 < text.size() &&
                                    (text[i + 1] == ' ' || text[i + 1] == '\n'));
    if (ends && has_words) {
      ++count;
      has_words = false;
    } else if (!ends && c != ' ') {
      has_words = true;
    }
  }
  return count;
}

// Interjections that open a sentence ("Sure!", "I'm sorry.") do not use up the opening.
constexpr std::size_t kWordsMin = 3;

}  // namespace

void SentenceMatcher::add(std::vector<Pattern> patterns, int tag, bool despite_request) {
  for (Pattern& pattern : patterns) {
    entries_.push_back({std::move(pattern), tag, despite_request, -1});
  }
}

void SentenceMatcher::register_phrases(PhraseSet& phrases) {
  for (Entry& entry : entries_) entry.phrase = phrases.add(entry.pattern, options_.scope);
}

bool SentenceMatcher::holds(AnswerFacts& facts, const Entry& entry, std::size_t begin,
                            std::size_t end) const {
  const std::string_view text = facts.view.content;
  if (options_.scope == PhraseSet::Scope::kOpening &&
      sentences_before(text, begin) >= options_.sentences_max) {
    return false;
  }
  const SentenceRange sentence = sentence_around(text, begin, end);
  if (entry.pattern.at_start && begin > sentence_words_begin(text, sentence)) return false;
  const std::string_view words = text.substr(sentence.begin, sentence.end - sentence.begin);
  if (matches_any(unless_, words) || !facts.prose().is_own_words(begin)) return false;
  if (options_.own_speech_only) {
    RequestContext& request = facts.request;
    if (request.role_play()) return false;
    if (!entry.despite_request && (request.first_person() || request.transform())) return false;
  }
  // The user's own words, repeated or corrected, are not the model's.
  return !prefix_contains(
      facts.view.prefix.last(std::min<std::size_t>(facts.view.prefix.size(), 1)), trimmed(words));
}

void SentenceMatcher::find(AnswerFacts& facts,
                           const std::function<bool(int, std::size_t, std::size_t)>& accept) const {
  const std::string_view text = options_.scope == PhraseSet::Scope::kOpening
                                    ? utf8_prefix(facts.view.content, PhraseSet::kOpeningBytes)
                                    : facts.view.content;
  for (const Entry& entry : entries_) {
    if (!std::binary_search(facts.found_phrases.begin(), facts.found_phrases.end(), entry.phrase)) {
      continue;
    }
    std::size_t from = 0;
    re2::StringPiece match;
    while (from <= text.size() &&
           entry.pattern.compiled->Match(re2::StringPiece(text.data(), text.size()), from,
                                         text.size(), RE2::UNANCHORED, &match, 1)) {
      const auto begin = static_cast<std::size_t>(match.data() - text.data());
      const std::size_t end = begin + match.size();
      if (holds(facts, entry, begin, end) && accept(entry.tag, begin, end)) return;
      from = std::max(end, begin + 1);
    }
  }
}

namespace {

class SentenceRule : public Rule {
 public:
  SentenceRule(SentenceMatcher matcher, std::vector<Pattern> unless_request,
               std::vector<Pattern> unless_answer, bool unless_feedback)
      : matcher_(std::move(matcher)),
        unless_request_(std::move(unless_request)),
        unless_answer_(std::move(unless_answer)),
        unless_feedback_(unless_feedback) {}

  void register_phrases(PhraseSet& phrases) override { matcher_.register_phrases(phrases); }

  void look(AnswerFacts& facts, Finds& finds) const override {
    bool checked = false;
    matcher_.find(facts, [&](int, std::size_t begin, std::size_t end) {
      if (!checked && excluded(facts)) return true;
      checked = true;
      return finds.add({EvidenceWhere::kAnswer, 0, begin, end});
    });
  }

 private:
  bool excluded(AnswerFacts& facts) const {
    if (unless_feedback_ && facts.request.feedback()) return true;
    return matches_any(unless_request_, last_user_text(facts.view.prefix)) ||
           matches_any(unless_answer_, facts.view.content);
  }

  SentenceMatcher matcher_;
  std::vector<Pattern> unless_request_;
  std::vector<Pattern> unless_answer_;
  bool unless_feedback_;
};

Result<SentenceMatcher::Options> read_options(RuleReader& in) {
  const auto choice = [&](const std::string& name, const std::string& first,
                          const std::string& second) -> Result<bool> {
    const std::string value = in.option(name, first);
    if (value == first || value == second) return value == second;
    return unexpected(ErrorCode::kUsage,
                      fmt::format("the option \"{}\" is \"{}\" or \"{}\"", name, first, second),
                      in.where(name));
  };
  SentenceMatcher::Options options;
  UNDERSTUDY_TRY(const bool opening, choice("scope", "anywhere", "opening"));
  UNDERSTUDY_TRY(const bool any_speaker, choice("speaker", "own", "any"));
  options.scope = opening ? PhraseSet::Scope::kOpening : PhraseSet::Scope::kAnywhere;
  options.own_speech_only = !any_speaker;
  options.sentences_max = static_cast<std::size_t>(in.number("sentences_max", 2));
  return options;
}

}  // namespace

Result<std::unique_ptr<Rule>> make_sentence_rule(RuleReader& in) {
  UNDERSTUDY_TRY(const SentenceMatcher::Options options, read_options(in));
  SentenceMatcher matcher(options);
  UNDERSTUDY_TRY(std::vector<Pattern> match, in.patterns("match", true));
  UNDERSTUDY_TRY(std::vector<Pattern> always, in.patterns("match_despite_request", false));
  UNDERSTUDY_TRY(std::vector<Pattern> unless, in.patterns("unless", false));
  UNDERSTUDY_TRY(std::vector<Pattern> unless_request, in.patterns("unless_request", false));
  UNDERSTUDY_TRY(std::vector<Pattern> unless_answer, in.patterns("unless_answer", false));
  const bool unless_feedback = in.option("unless_feedback_asked", "no") == "yes";
  matcher.add(std::move(match), 0);
  matcher.add(std::move(always), 0, /*despite_request=*/true);
  matcher.set_unless(std::move(unless));
  return std::unique_ptr<Rule>(std::make_unique<SentenceRule>(
      std::move(matcher), std::move(unless_request), std::move(unless_answer), unless_feedback));
}

}  // namespace understudy
