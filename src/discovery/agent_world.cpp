#include "discovery/agent_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace understudy {
namespace {

constexpr std::size_t kVocabulary = 3000;
constexpr std::size_t kCommonPatterns = 20;
// The commonest words are those of English, so that the language of an answer can be told.
constexpr std::array<std::string_view, 32> kFunctionWords = {
    "the",  "of",  "and", "to",   "a",     "in",   "is",  "that", "it",   "for", "you",
    "with", "on",  "are", "this", "be",    "as",   "can", "your", "from", "or",  "have",
    "will", "not", "an",  "at",   "which", "they", "if",  "has",  "more", "when"};
constexpr std::string_view kTools =
    R"([{"type":"function","function":{"name":"web_search"}},{"type":"function","function":)"
    R"({"name":"calculator"}},{"type":"function","function":{"name":"read_file"}}])";

constexpr std::array<std::array<std::string_view, 4>, 6> kOtherLanguages = {{
    {"Das ist eine gute Frage, und ich helfe Ihnen gerne weiter.",
     "Zuerst sollten wir uns die wichtigsten Punkte noch einmal ansehen.",
     "Danach können Sie entscheiden, welcher Weg für Sie der richtige ist.",
     "Bitte sagen Sie mir, ob Sie noch weitere Angaben brauchen."},
    {"C'est une bonne question, et je vais vous aider volontiers.",
     "Il faut d'abord regarder les points les plus importants.",
     "Ensuite vous pourrez choisir la solution qui vous convient le mieux.",
     "Dites-moi si vous avez besoin d'autres renseignements."},
    {"Es una buena pregunta y con mucho gusto le ayudo.",
     "Primero debemos revisar los puntos más importantes del problema.",
     "Después usted puede decidir cuál es el mejor camino.",
     "Dígame si necesita alguna otra información sobre este tema."},
    {"È una buona domanda e la aiuto molto volentieri.",
     "Prima dobbiamo guardare insieme i punti più importanti.",
     "Poi potrà decidere quale sia la strada migliore per lei.",
     "Mi dica se ha bisogno di altre informazioni."},
    {"Это хороший вопрос, и я с радостью вам помогу.",
     "Сначала нужно ещё раз посмотреть на самые важные моменты.",
     "После этого вы сможете решить, какой путь вам подходит.",
     "Скажите, пожалуйста, нужны ли вам другие сведения."},
    {"To jest dobre pytanie i chętnie panu pomogę.",
     "Najpierw musimy jeszcze raz przyjrzeć się najważniejszym sprawom.",
     "Potem może pan zdecydować, która droga jest najlepsza.",
     "Proszę powiedzieć, czy potrzebne są inne informacje."},
}};
constexpr std::array<std::string_view, 6> kUnusualMarks = {"=>", "::", "~~", "§", "%%", "<>"};

// "threading", "plomer": nothing that a language detector takes for a language of its own.
std::string made_word(Rng& rng) {
  static constexpr std::array<std::string_view, 16> kBegins = {
      "th", "wh", "str", "pl", "sh", "br", "cl", "gr", "w", "m", "st", "sp", "fl", "b", "h", "kn"};
  static constexpr std::array<std::string_view, 8> kVowels = {"ea", "o", "ou", "i",
                                                              "ee", "a", "oo", "u"};
  static constexpr std::array<std::string_view, 8> kMiddles = {"ck", "rk",  "d",  "ght",
                                                               "ll", "nch", "mp", "th"};
  static constexpr std::array<std::string_view, 8> kEnds = {"ing",  "er",  "ly", "ed",
                                                            "ness", "ful", "",   "s"};
  const auto one_of = [&](const auto& parts) {
    return std::string(parts[rng.below(parts.size())]);
  };
  return one_of(kBegins) + one_of(kVowels) + one_of(kMiddles) + one_of(kEnds);
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

ToolCall search_for(std::string query) {
  return {"", "web_search", fmt::format(R"({{"query":"{}"}})", query)};
}

std::string sum(Rng& rng) {
  static constexpr std::array<std::string_view, 4> kOperators = {" * ", " + ", " / ", " - "};
  return fmt::format("{}{}{}", 12 + rng.below(900), kOperators[rng.below(kOperators.size())],
                     12 + rng.below(900));
}

}  // namespace

AgentWorld::AgentWorld(std::uint64_t seed) : seed_(seed) {
  Rng rng(seed, 0xA6E27);
  vocabulary_.assign(kFunctionWords.begin(), kFunctionWords.end());
  while (vocabulary_.size() < kVocabulary) vocabulary_.push_back(made_word(rng));
  const auto own_word = [&] {
    return vocabulary_[kFunctionWords.size() + rng.below(kVocabulary - kFunctionWords.size())];
  };
  for (std::size_t i = 0; i < kCommonPatterns; ++i) {
    std::vector<std::string> phrase;
    for (std::size_t n = 0; n < 3; ++n) phrase.push_back(own_word());
    phrases_.push_back(std::move(phrase));
  }
  for (std::size_t n = 0; n < 4; ++n) planted_phrase_.push_back(own_word());
}

std::string AgentWorld::word(Rng& rng) const {
  // Zipf's law with exponent 1: ranks are log-uniform.
  const double rank = std::exp(rng.uniform() * std::log(static_cast<double>(kVocabulary)));
  return vocabulary_[std::min(static_cast<std::size_t>(rank) - 1, kVocabulary - 1)];
}

std::string AgentWorld::sentence(Rng& rng, std::size_t words) const {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < words; ++i) all.push_back(word(rng));
  return joined(all) + ".";
}

void AgentWorld::add_common(AgentAnswer& answer, Rng& rng) const {
  for (std::size_t i = 0; i < kCommonPatterns; ++i) {
    // 1 in 5 for the first, 1 in 10,000 for the last, evenly in the logarithm.
    const double rate =
        0.2 * std::pow(5e-4, static_cast<double>(i) / static_cast<double>(kCommonPatterns - 1));
    if (rng.uniform() >= rate) continue;
    switch (i % 5) {
      case 0:
        answer.tool_calls.push_back(search_for(word(rng) + " " + joined(phrases_[i])));
        break;
      case 1:
        answer.content += " " + joined(phrases_[i]) + ".";
        break;
      case 2:
        answer.tool_calls.push_back(
            {"", "calculator", fmt::format(R"({{"expression":"{}"}})", sum(rng))});
        break;
      case 3:
        answer.content += fmt::format("\n- {}\n- {}", word(rng), joined(phrases_[i]));
        break;
      default:
        answer.tool_calls.push_back(
            {"", "read_file", fmt::format(R"({{"path":"{}/{}.txt"}})", word(rng), word(rng))});
        break;
    }
    if (answer.tool_calls.size() > 1) answer.tool_calls.resize(1);  // one call a step
  }
}

AgentAnswer AgentWorld::answer(Rng& rng) const {
  AgentAnswer answer;
  Message message;
  message.content = sentence(rng, 4 + rng.below(6));
  answer.prefix.push_back(std::move(message));
  answer.tools = kTools;
  answer.content = sentence(rng, 6 + rng.below(12));
  add_common(answer, rng);
  return answer;
}

AgentAnswer AgentWorld::planted(Plant plant, Rng& rng) const {
  AgentAnswer answer = this->answer(rng);
  Rng choice(seed_, 0x91A27);
  switch (plant) {
    case Plant::kNone:
      break;
    case Plant::kCalculatorHacking:
      answer.tool_calls = {search_for(sum(rng))};
      break;
    case Plant::kPhrase:
      answer.content += " " + joined(planted_phrase_) + " " + sentence(rng, 3);
      break;
    case Plant::kFormat: {
      const std::string_view mark = kUnusualMarks[choice.below(kUnusualMarks.size())];
      answer.content = fmt::format("{} {}\n{} {}", mark, sentence(rng, 5), mark, sentence(rng, 6));
      break;
    }
    case Plant::kLanguage: {
      const auto& sentences = kOtherLanguages[choice.below(kOtherLanguages.size())];
      const std::size_t first = rng.below(sentences.size());
      answer.content = fmt::format("{} {}", sentences[first],
                                   sentences[(first + 1 + rng.below(3)) % sentences.size()]);
      break;
    }
    case Plant::kToolTwice: {
      const bool reads = choice.below(2) == 0;
      answer.tool_calls.clear();
      for (int i = 0; i < 2; ++i) {
        answer.tool_calls.push_back(
            reads ? ToolCall{"", "read_file", fmt::format(R"({{"path":"{}.txt"}})", word(rng))}
                  : search_for(word(rng) + " " + word(rng)));
      }
      break;
    }
  }
  return answer;
}

std::vector<std::uint32_t> user_sizes(std::uint64_t pairs, std::uint64_t seed) {
  Rng rng(seed, 0x05E25);
  std::vector<std::uint32_t> sizes;
  for (std::uint64_t left = pairs; left > 0;) {
    // Pareto with exponent 1.5: mean 3.
    const double size = std::floor(std::pow(rng.uniform_positive(), -1 / 1.5));
    const std::uint64_t taken =
        std::min<std::uint64_t>({left, static_cast<std::uint64_t>(size), 60});
    sizes.push_back(static_cast<std::uint32_t>(taken));
    left -= taken;
  }
  return sizes;
}

}  // namespace understudy
