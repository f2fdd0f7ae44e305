#pragma once
// Phrases in the model's own words, judged sentence by sentence: the core of every rule about what
// the model says.

#include <functional>
#include <vector>

#include "grading/rule.hpp"

namespace understudy {

class SentenceMatcher {
 public:
  struct Options {
    PhraseSet::Scope scope = PhraseSet::Scope::kAnywhere;
    /// Sentences of the opening that are looked at.
    std::size_t sentences_max = 2;
    /// Whether text that speaks for someone else (role-play, a drafted message, a rewritten
    /// sentence) is left alone.
    bool own_speech_only = true;
  };

  explicit SentenceMatcher(Options options) : options_(options) {}

  /// `tag` comes back with each find. Patterns `despite_request` count even where a first-person
  /// text was asked for.
  void add(std::vector<Pattern> patterns, int tag, bool despite_request = false);
  void set_unless(std::vector<Pattern> unless) { unless_ = std::move(unless); }

  void register_phrases(PhraseSet& phrases);

  /// Calls `accept(tag, begin, end)` for every place that holds; it returns whether to stop.
  void find(AnswerFacts& facts,
            const std::function<bool(int, std::size_t, std::size_t)>& accept) const;

 private:
  struct Entry {
    Pattern pattern;
    int tag = 0;
    bool despite_request = false;
    int phrase = -1;  ///< number in the PhraseSet
  };
  [[nodiscard]] bool holds(AnswerFacts& facts, const Entry& entry, std::size_t begin,
                           std::size_t end) const;

  Options options_;
  std::vector<Entry> entries_;
  std::vector<Pattern> unless_;
};

}  // namespace understudy
