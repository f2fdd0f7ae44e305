#include "discovery/note_groups.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>

#include "base/text.hpp"
#include "grading/feature_tokens.hpp"

namespace understudy {
namespace {

constexpr double kSame = 0.4;
constexpr std::size_t kTerms = 3;
constexpr std::size_t kStemCharacters = 5;

// Words that a description of any answer has, and those that join its parts.
constexpr auto kFrame = std::to_array<std::string_view>(
    {"a",         "about",   "after",  "again",   "against", "all",     "also",     "although",
     "am",        "an",      "and",    "answer",  "answers", "any",     "are",      "as",
     "assistant", "at",      "be",     "because", "been",    "before",  "being",    "between",
     "both",      "but",     "by",     "can",     "cannot",  "could",   "did",      "do",
     "does",      "doing",   "done",   "during",  "each",    "either",  "even",     "every",
     "first",     "for",     "from",   "further", "had",     "has",     "have",     "having",
     "he",        "her",     "here",   "him",     "his",     "how",     "i",        "if",
     "in",        "instead", "into",   "is",      "it",      "its",     "just",     "may",
     "might",     "model",   "more",   "most",    "must",    "n",       "no",       "nor",
     "not",       "of",      "off",    "on",      "one",     "only",    "or",       "other",
     "our",       "out",     "over",   "own",     "rather",  "reply",   "response", "s",
     "same",      "she",     "should", "shows",   "since",   "so",      "some",     "such",
     "t",         "than",    "that",   "the",     "their",   "them",    "then",     "there",
     "these",     "they",    "this",   "those",   "though",  "through", "to",       "too",
     "under",     "until",   "up",     "user",    "users",   "very",    "was",      "we",
     "were",      "what",    "when",   "where",   "whether", "which",   "while",    "who",
     "whom",      "whose",   "why",    "will",    "with",    "without", "would",    "you",
     "your"});

using Vector = std::map<std::string, double>;  // by stem; ordered, so that sums always agree

std::string stem_of(std::string_view word) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < kStemCharacters && at < word.size(); ++i) {
    ++at;
    while (at < word.size() && (static_cast<unsigned char>(word[at]) & 0xC0U) == 0x80) ++at;
  }
  return std::string(word.substr(0, at));
}

bool is_word(std::string_view token) {
  const auto first = static_cast<unsigned char>(token.front());
  const bool letter = std::isalnum(first) != 0 || (first >= 0x80 && mark_size(token, 0) == 0);
  return letter && std::find(kFrame.begin(), kFrame.end(), token) == kFrame.end();
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (const auto& [stem, weight] : a) {
    if (const auto found = b.find(stem); found != b.end()) sum += weight * found->second;
  }
  return sum;
}

void add(Vector& sum, const Vector& part, double times) {
  for (const auto& [stem, weight] : part) sum[stem] += times * weight;
}

// Notes with the same text.
struct Line {
  std::vector<std::size_t> notes;
  std::vector<std::string> words;
  Vector vector = {};  // of length 1, or empty
  double central = 0;
};

struct Group {
  std::vector<const Line*> lines;
  Vector sum = {};
};

class Grouping {
 public:
  explicit Grouping(std::span<const std::string> descriptions) {
    for (std::size_t i = 0; i < descriptions.size(); ++i) {
      lines_[descriptions[i]].notes.push_back(i);
    }
    notes_ = static_cast<double>(descriptions.size());
    Vector all;
    Tokens tokens;
    for (auto& [text, line] : lines_) {
      tokens.assign(text);
      for (std::size_t i = 0; i < tokens.tokens.size(); ++i) {
        const std::string_view token = tokens.slice(i, 1);
        if (is_word(token)) line.words.emplace_back(token);
      }
      for (const std::string& word : line.words) line.vector.emplace(stem_of(word), 0);
      for (auto& [stem, weight] : line.vector) {
        weight = 1 / std::sqrt(static_cast<double>(line.vector.size()));
        notes_with_[stem] += static_cast<double>(line.notes.size());
      }
      add(all, line.vector, static_cast<double>(line.notes.size()));
    }
    for (auto& [text, line] : lines_) line.central = dot(line.vector, all);
  }

  std::vector<NoteGroup> run() {
    // The most central first: what many say becomes a group before what few say could split it.
    std::vector<const Line*> order;
    for (const auto& [text, line] : lines_) order.push_back(&line);
    std::stable_sort(order.begin(), order.end(),
                     [](const Line* a, const Line* b) { return a->central > b->central; });
    std::vector<Group> groups;
    for (const Line* const line : order) join(*line, groups);
    std::vector<NoteGroup> out;
    for (Group& group : groups) out.push_back(finished(group));
    std::stable_sort(out.begin(), out.end(), [](const NoteGroup& a, const NoteGroup& b) {
      return a.notes.size() > b.notes.size();
    });
    return out;
  }

 private:
  static void join(const Line& line, std::vector<Group>& groups) {
    Group* nearest = nullptr;
    double best = kSame;
    for (Group& group : groups) {
      const double length = std::sqrt(dot(group.sum, group.sum));
      const double cosine = length > 0 ? dot(line.vector, group.sum) / length : 0;
      if (cosine < best || (nearest != nullptr && cosine == best)) continue;
      nearest = &group;
      best = cosine;
    }
    if (nearest == nullptr) nearest = &groups.emplace_back();
    nearest->lines.push_back(&line);
    add(nearest->sum, line.vector, static_cast<double>(line.notes.size()));
  }

  NoteGroup finished(Group& group) {
    std::stable_sort(group.lines.begin(), group.lines.end(), [&](const Line* a, const Line* b) {
      return dot(a->vector, group.sum) > dot(b->vector, group.sum);
    });
    NoteGroup out;
    std::map<std::string, std::map<std::string, std::size_t>> forms;  // by stem: words
    for (const Line* const line : group.lines) {
      out.notes.insert(out.notes.end(), line->notes.begin(), line->notes.end());
      for (const std::string& word : line->words) forms[stem_of(word)][word] += line->notes.size();
    }
    // Most of these notes have the word, few of the others.
    const auto size = static_cast<double>(out.notes.size());
    const double others = std::max(1.0, notes_ - size);
    std::vector<std::pair<double, std::string>> stems;
    for (const auto& [stem, words] : forms) {
      double here = 0;
      for (const Line* const line : group.lines) {
        here += line->vector.contains(stem) ? static_cast<double>(line->notes.size()) : 0;
      }
      stems.emplace_back((notes_with_[stem] - here) / others - here / size, stem);
    }
    std::sort(stems.begin(), stems.end());
    for (std::size_t i = 0; i < std::min(kTerms, stems.size()); ++i) {
      const auto& words = forms[stems[i].second];
      const auto most =
          std::max_element(words.begin(), words.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
      out.terms.push_back(most->first);
    }
    return out;
  }

  std::map<std::string, Line> lines_;
  Vector notes_with_;  // by stem: how many
  double notes_ = 0;
};

}  // namespace

std::vector<NoteGroup> group_notes(std::span<const std::string> descriptions) {
  return Grouping(descriptions).run();
}

}  // namespace understudy
