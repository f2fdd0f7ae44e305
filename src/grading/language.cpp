#include "grading/language.hpp"

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>

#include "base/text.hpp"

namespace understudy {
namespace {

// Words frequent in English and in no other Latin-script language of the logs: "in", "is", "of",
// "a" are left out, since Dutch, German, Italian and Portuguese have them.
constexpr std::array<std::string_view, 40> kEnglishWords = {
    "about", "and",  "any",   "are",  "been",  "but",   "by",    "can",  "could", "from",
    "has",   "have", "here",  "how",  "if",    "it",    "its",   "like", "not",   "or",
    "our",   "such", "that",  "the",  "their", "there", "these", "they", "this",  "to",
    "was",   "we",   "which", "will", "with",  "would", "you",   "your", "i'm",   "for"};

constexpr std::size_t kLookBytes = 1024;
constexpr std::size_t kPartLookBytes = 8 * kLookBytes;  // where a part counts, and not the whole

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The last eight bytes of a word in lower case, as a number.
std::uint64_t with_letter(std::uint64_t key, char c) {
  return key << 8 | static_cast<unsigned char>(c | 0x20);
}

// A hash table in which every word has a slot of its own, so that a look needs no branch.
class EnglishWords {
 public:
  EnglishWords() {
    while (!fill()) multiplier_ += 2;
  }
  /// 1 if it is one of the words.
  [[nodiscard]] std::size_t count(std::uint64_t key) const {
    return table_[slot(key)] == key ? 1U : 0U;
  }

 private:
  [[nodiscard]] std::size_t slot(std::uint64_t key) const {
    return static_cast<std::size_t>((key * multiplier_) >> 54);
  }
  bool fill() {
    table_.fill(0);
    for (const std::string_view word : kEnglishWords) {
      const std::uint64_t key =
          std::accumulate(word.begin(), word.end(), std::uint64_t{0}, with_letter);
      if (std::exchange(table_[slot(key)], key) != 0) return false;
    }
    return true;
  }
  std::uint64_t multiplier_ = 0x9E3779B97F4A7C15ULL;
  std::array<std::uint64_t, 1024> table_{};
};

struct LatinCounts {
  std::size_t words = 0;
  std::size_t english = 0;
  std::size_t ascii_letters = 0;
  std::size_t other_bytes = 0;  ///< bytes of code points beyond ASCII
};

// Words are of ASCII letters, and apostrophes inside. All is counted without branches: where words
// end, no processor can predict.
LatinCounts count_words(std::string_view text) {
  static const EnglishWords english;
  LatinCounts counts;
  std::uint64_t key = 0;
  std::size_t inside = 0;  // 1 in a word
  for (const char c : text) {
    const std::size_t letter = is_ascii_letter(c) ? 1 : 0;
    const std::size_t now = letter | (inside & (c == '\'' ? 1U : 0U));
    const std::size_t ended = inside & (now ^ 1);
    counts.words += ended;
    counts.english += ended & english.count(key);
    counts.ascii_letters += now;
    counts.other_bytes += static_cast<unsigned char>(c) >> 7;
    key = with_letter(key, c) & (0 - std::uint64_t{now});
    inside = now;
  }
  counts.words += inside;
  counts.english += inside & english.count(key);
  return counts;
}

// The text without fenced code, so that a French answer around an English program is French.
std::string without_fences(std::string_view text) {
  std::string out;
  bool in_code = false;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    end = end == std::string_view::npos ? text.size() : end + 1;
    const std::string_view line = text.substr(begin, end - begin);
    const std::size_t first = line.find_first_not_of(" \t");
    if (first != std::string_view::npos && line.substr(first).starts_with("```")) {
      in_code = !in_code;
    } else if (!in_code) {
      out += line;
    }
    begin = end;
  }
  return out;
}

std::string language_code(CLD2::Language language) {
  std::string code = CLD2::LanguageCode(language);
  if (code.starts_with("zh")) return "zh";
  if (code == "iw") return "he";
  return code == "un" ? std::string() : code;
}

struct Cld2Answer {
  std::array<CLD2::Language, 3> languages{CLD2::UNKNOWN_LANGUAGE, CLD2::UNKNOWN_LANGUAGE,
                                          CLD2::UNKNOWN_LANGUAGE};
  std::array<int, 3> percents{};
  CLD2::Language summary = CLD2::UNKNOWN_LANGUAGE;
  bool reliable = false;
};

Cld2Answer ask_cld2(std::string_view text) {
  // CLD2 reads beyond its tables on bytes that are not UTF-8.
  std::string valid;
  if (!is_valid_utf8(text)) {
    valid = replace_invalid_utf8(text);
    text = valid;
  }
  Cld2Answer answer;
  std::array<double, 3> scores{};
  int text_bytes = 0;
  const CLD2::CLDHints hints = {nullptr, "", CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  answer.summary = CLD2::ExtDetectLanguageSummary(
      text.data(), static_cast<int>(text.size()), /*is_plain_text=*/true, &hints, /*flags=*/0,
      answer.languages.data(), answer.percents.data(), scores.data(),
      /*resultchunkvector=*/nullptr, &text_bytes, &answer.reliable);
  return answer;
}

// The text without code and at most `size_max` bytes.
std::string prose_of(std::string_view text, std::size_t size_max) {
  std::string prose = without_fences(utf8_prefix(text, 2 * size_max));
  prose.resize(utf8_prefix(prose, size_max).size());
  return prose;
}

bool is_english(const LatinCounts& counts) {
  return counts.words >= 8 && counts.english >= 2 && counts.english * 9 >= counts.words &&
         counts.other_bytes * 8 <= counts.ascii_letters;
}

bool is_partly_english(const LatinCounts& counts) {
  return counts.english >= 2 && counts.english * 9 >= counts.words;
}

constexpr int kPartPercentMin = 15;

}  // namespace

bool is_plainly_english(std::string_view text) {
  return is_english(count_words(utf8_prefix(text, kLookBytes)));
}

bool has_english_words(std::string_view text) {
  return is_partly_english(count_words(prose_of(text, kPartLookBytes)));
}

std::string detect_language(std::string_view text) {
  if (is_plainly_english(text)) return "en";
  // Words with too few function words: code, names, tables, or another language.
  const std::string prose = prose_of(text, 4 * kLookBytes);
  const LatinCounts counts = count_words(prose);
  if (is_english(counts)) return "en";
  // Three bytes of Han or Hangul are a syllable: eight of them are enough.
  if (counts.ascii_letters + counts.other_bytes < 24) return {};
  const Cld2Answer answer = ask_cld2(prose);
  if (!answer.reliable) return {};
  std::string code = language_code(answer.summary);
  // Lists of names and program text look English to a letter model; English has function words.
  if (code == "en" && counts.english * 25 < counts.words) return {};
  return code;
}

bool has_language(std::string_view text, std::string_view language) {
  const std::string prose = prose_of(text, kPartLookBytes);
  if (language == "en" && is_partly_english(count_words(prose))) return true;
  const Cld2Answer answer = ask_cld2(prose);
  for (std::size_t i = 0; i < answer.languages.size(); ++i) {
    if (answer.percents[i] < kPartPercentMin) continue;
    if (easily_confused(language_code(answer.languages[i]), language)) return true;
  }
  return false;
}

bool easily_confused(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return false;
  if (a == b) return true;
  static constexpr std::array<std::string_view, 12> kFamilies[] = {
      {"no", "nb", "nn", "da", "sv"},
      {"id", "ms", "jv", "su"},
      {"hr", "sr", "bs", "sl", "mk", "bg", "sr-ME"},
      {"es", "gl", "ca", "pt", "ast", "oc"},
      {"cs", "sk"},
      {"ru", "uk", "be", "bg"},
      {"nl", "af", "fy"},
      {"hi", "mr", "ne", "bh"},
      {"zh", "ja"},
      {"fa", "ps", "ur", "ar"},
      {"tr", "az", "tk", "uz"},
      {"it", "co", "la"},
      {"en", "sco"},
      {"de", "lb"},
  };
  return std::any_of(std::begin(kFamilies), std::end(kFamilies), [&](const auto& family) {
    return std::find(family.begin(), family.end(), a) != family.end() &&
           std::find(family.begin(), family.end(), b) != family.end();
  });
}

}  // namespace understudy
