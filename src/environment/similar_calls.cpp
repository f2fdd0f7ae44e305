#include "environment/similar_calls.hpp"

#include <algorithm>
#include <cmath>

namespace understudy {
namespace {

constexpr double kK1 = 1.2;
constexpr double kB = 0.75;

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       (static_cast<unsigned char>(c) & 0x80) != 0;  // of other scripts
    if (plain) {
      word += c;
    } else if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else {
      finish();
    }
  }
  finish();
  return words;
}

void SimilarCalls::learn(const ToolCall& call, std::string_view result) {
  Tool& tool = tools_[call.name];
  if (!tool.known.insert(Sha256().field(call.arguments).field(result).finish()).second) return;
  const auto number = static_cast<std::uint32_t>(tool.recorded.size());
  tool.recorded.push_back({.arguments = call.arguments, .result = std::string(result)});
  const std::vector<std::string> words = words_of(call.arguments);
  tool.words.push_back(static_cast<std::uint32_t>(words.size()));
  tool.words_all += words.size();
  for (const std::string& word : words) {
    std::vector<Tool::Posting>& list = tool.postings[word];
    if (list.empty() || list.back().recorded != number) list.push_back({.recorded = number});
    ++list.back().count;
  }
}

std::vector<const SimilarCalls::Recorded*> SimilarCalls::find(const ToolCall& call,
                                                              std::size_t count) const {
  const auto found = tools_.find(call.name);
  if (found == tools_.end()) return {};
  const Tool& tool = found->second;
  const auto all = static_cast<double>(tool.recorded.size());
  const double mean = std::max(static_cast<double>(tool.words_all) / all, 1.0);
  std::vector<double> scores(tool.recorded.size(), 0.0);
  std::vector<std::string> words = words_of(call.arguments);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (const std::string& word : words) {
    const auto list = tool.postings.find(word);
    if (list == tool.postings.end()) continue;
    const auto holding = static_cast<double>(list->second.size());
    const double weight = std::log(1 + (all - holding + 0.5) / (holding + 0.5));
    for (const Tool::Posting& posting : list->second) {
      const double length = static_cast<double>(tool.words[posting.recorded]) / mean;
      const auto often = static_cast<double>(posting.count);
      scores[posting.recorded] +=
          weight * often * (kK1 + 1) / (often + kK1 * (1 - kB + kB * length));
    }
  }
  std::vector<std::uint32_t> order(tool.recorded.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const std::size_t shown = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(),
                    [&](std::uint32_t a, std::uint32_t b) {
                      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                    });
  std::vector<const Recorded*> best;
  for (std::size_t i = 0; i < shown; ++i) best.push_back(&tool.recorded[order[i]]);
  return best;
}

}  // namespace understudy
