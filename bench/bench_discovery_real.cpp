// Discovery on real text, as Markdown for docs/results.md: pairs of GPT models on Arena-Hard,
// chosen against rejected answers of HH-RLHF, requests of Search Arena against those of a
// benchmark, and how often real answers are taken for talk of a test. The data is in
// ../shared/data and the cache; what is not there is skipped and said. Notes of people who read the
// findings' answers are merged in from discovery_notes.md.
//
//   bench_discovery_real [--read]   with --read: the ten most typical answers of each finding

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "base/json.hpp"
#include "base/text.hpp"
#include "discovery/contrast.hpp"
#include "discovery/two_samples.hpp"
#include "ingest/byte_source.hpp"
#include "ingest/log_reader.hpp"
#include "stats/clusters.hpp"
#include "stats/intervals.hpp"

namespace understudy {
namespace {

constexpr const char* kData = UNDERSTUDY_SOURCE_DIR "/../shared/data/";
constexpr std::size_t kFindingsShown = 12;
constexpr std::size_t kTranscripts = 10;
constexpr std::size_t kTextShown = 160;

struct Pair {
  Message request;
  std::string first;
  std::string second;
};

std::string whole_file(const std::string& path) {
  std::string text;
  auto source = open_byte_source(path);
  if (!source) return text;
  std::string block(1 << 20, '\0');
  while (true) {
    const auto read = (*source)->read(block);
    if (!read || read->size == 0) return text;
    text.append(block, 0, read->size);
  }
}

std::vector<Json> json_lines(const std::string& path) {
  std::vector<Json> lines;
  const std::string text = whole_file(kData + path);
  for (const std::string_view line : split(text, '\n')) {
    if (auto parsed = parse_json(line); parsed) lines.push_back(std::move(*parsed));
  }
  return lines;
}

std::map<std::string, std::pair<std::string, std::string>> arena_answers(const std::string& model) {
  std::map<std::string, std::pair<std::string, std::string>> answers;  // by uid: request, answer
  const std::string path = "arena_hard/data/arena-hard-v0.1/model_answer/" + model + ".jsonl";
  for (const Json& line : json_lines(path)) {
    const Json& messages = line.at("messages");
    const Json& content = messages.back().at("content");
    answers[line.at("uid").get<std::string>()] = {
        messages.front().at("content").get<std::string>(),
        content.is_object() ? content.at("answer").get<std::string>() : content.get<std::string>()};
  }
  return answers;
}

std::vector<Pair> arena_pairs(const std::string& first, const std::string& second) {
  const auto a = arena_answers(first);
  const auto b = arena_answers(second);
  std::vector<Pair> pairs;
  for (const auto& [uid, answer] : a) {
    const auto other = b.find(uid);
    if (other == b.end()) continue;
    Pair pair;
    pair.request.content = answer.first;
    pair.first = answer.second;
    pair.second = other->second.second;
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<Pair> harmless_pairs() {
  constexpr std::string_view kAssistant = "\n\nAssistant:";
  constexpr std::string_view kHuman = "\n\nHuman:";
  std::vector<Pair> pairs;
  for (const Json& line : json_lines("hh_rlhf/harmless-base/test.jsonl.gz")) {
    const auto chosen = line.at("chosen").get<std::string>();
    const auto rejected = line.at("rejected").get<std::string>();
    const std::size_t at = chosen.rfind(kAssistant);
    const std::size_t other = rejected.rfind(kAssistant);
    if (at == std::string::npos || other == std::string::npos) continue;
    // Only where both answer the same conversation.
    if (chosen.substr(0, at) != rejected.substr(0, other)) continue;
    Pair pair;
    const std::size_t human = chosen.rfind(kHuman, at);
    const std::size_t begin = human == std::string::npos ? 0 : human + kHuman.size();
    pair.request.content = chosen.substr(begin, at - begin);
    pair.first = trimmed(std::string_view(chosen).substr(at + kAssistant.size()));
    pair.second = trimmed(std::string_view(rejected).substr(other + kAssistant.size()));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

AnswerView view_of(const Pair& pair, const std::string& answer) {
  AnswerView view;
  view.prefix = {&pair.request, 1};
  view.content = answer;
  return view;
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : terminal_safe(utf8_prefix(text, 80))) {
    if (c == '|' || c == '`' || c == '<') out += '\\';
    out += c;
  }
  return out;
}

using Notes = std::map<std::string, std::string>;

// "## TITLE" begins a contrast, "FINDING | NOTE" is a line of it: keyed by both.
Notes reading_notes() {
  Notes notes;
  std::string title;
  const std::string text = whole_file(UNDERSTUDY_SOURCE_DIR "/bench/discovery_notes.md");
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t bar = line.find(" | ");
    if (line.starts_with("## ")) {
      title = line.substr(3);
    } else if (bar != std::string_view::npos) {
      notes[title + "\n" + std::string(line.substr(0, bar))] = line.substr(bar + 3);
    }
  }
  return notes;
}

std::string title_of(const ContrastFinding& finding) {
  return fmt::format("{} {}", finding.more ? "more" : "less", finding.features.front());
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// The beginning, and what is around the finding's text where that is found as it is written.
std::string excerpt(const ContrastFinding& finding, const std::string& answer) {
  std::string text = terminal_safe(utf8_prefix(answer, kTextShown));
  const std::string& name = finding.features.front();
  const std::size_t at = lower(answer).find(name.substr(name.find(": ") + 2));
  if (at != std::string::npos && at > kTextShown / 2) {
    text += " […] " + terminal_safe(replace_invalid_utf8(answer.substr(at - 60, kTextShown)));
  }
  return text;
}

// Those with most of the finding's features first, then the shortest, as `discover --show` has it.
void print_answers(const ContrastFinding& finding, const std::vector<Pair>& pairs) {
  FeatureExtractor extractor;
  std::vector<std::pair<std::pair<std::size_t, std::size_t>, std::uint64_t>> order;
  for (const std::uint64_t id : finding.pairs) {
    const std::string& answer = finding.more ? pairs[id].second : pairs[id].first;
    std::size_t missing = finding.features.size();
    for (const Feature& feature : extractor.extract(view_of(pairs[id], answer))) {
      missing -=
          static_cast<std::size_t>(std::count(finding.features.begin(), finding.features.end(),
                                              feature_name(feature.kind, feature.text)));
    }
    order.push_back({{missing, answer.size()}, id});
  }
  std::sort(order.begin(), order.end());
  fmt::print("{}\n", terminal_safe(fmt::format("{}", fmt::join(finding.features, " · "))));
  for (std::size_t i = 0; i < std::min(kTranscripts, order.size()); ++i) {
    const Pair& pair = pairs[order[i].second];
    fmt::print("    ASKED {}\n      {}\n",
               terminal_safe(utf8_prefix(pair.request.content, kTextShown)),
               excerpt(finding, finding.more ? pair.second : pair.first));
  }
}

void print_contrast(const std::string& title, const std::vector<Pair>& pairs, bool read) {
  fmt::print("### {}\n\n", title);
  if (pairs.empty()) {
    fmt::print("The data is not in `../shared/data`: skipped.\n\n");
    return;
  }
  const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
    FeatureExtractor first, second;
    for (std::uint64_t id = 0; id < pairs.size(); ++id) {
      if (!visitor.wants(id)) continue;
      visitor.see(id, {id, first.extract(view_of(pairs[id], pairs[id].first)),
                       second.extract(view_of(pairs[id], pairs[id].second))});
    }
    return {};
  };
  const Contrast found = *contrast(source, {.seed = 1, .pairs = pairs.size()});
  fmt::print("{} pairs, half of them tested: {} hypotheses, {} findings{}.\n\n", found.pairs,
             found.tested, found.findings.size(),
             found.findings.size() > kFindingsShown
                 ? fmt::format(", the first {} shown", kFindingsShown)
                 : std::string());
  fmt::print("| finding | second, per 100k | first, per 100k | adjusted p |\n|---|---|---|---|\n");
  const std::size_t shown = std::min(kFindingsShown, found.findings.size());
  for (const ContrastFinding& finding : std::span(found.findings).first(shown)) {
    const auto rate = [](const HalfRate& r) {
      return fmt::format("{:.0f} ({:.0f}–{:.0f})", r.per_100k, r.interval.lo, r.interval.hi);
    };
    fmt::print("| {} | {} | {} | {:.1g} |\n", cell(title_of(finding)), rate(finding.candidate),
               rate(finding.logged), finding.adjusted);
  }
  fmt::print(
      "\nWhat reading ten typical answers of each says (by a language model; no person has "
      "confirmed it):\n\n");
  const Notes notes = reading_notes();
  for (const ContrastFinding& finding : std::span(found.findings).first(shown)) {
    const auto note = notes.find(title + "\n" + title_of(finding));
    fmt::print("- *{}*: {}\n", cell(title_of(finding)),
               note == notes.end() ? "not read." : note->second);
  }
  fmt::print("\n");
  if (!read) return;
  for (const ContrastFinding& finding : std::span(found.findings).first(shown)) {
    print_answers(finding, pairs);
  }
  fmt::print("\n");
}

// text,group_name with quoted cells.
std::vector<std::array<std::string, 3>> csv_rows(const std::string& text) {
  std::vector<std::array<std::string, 3>> rows(1);
  std::size_t column = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      rows.back()[column] += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',' && column < 2) {
      ++column;
    } else if (!quoted && c == '\n') {
      rows.emplace_back();
      column = 0;
    } else if (quoted || c != '\r') {
      rows.back()[column] += c;
    }
  }
  return rows;
}

void print_requests() {
  fmt::print("### Requests of users (Search Arena) against a benchmark's (SimpleQA)\n\n");
  const std::string path =
      "search_arena_prompts/data/describing_diffs/search_arena_vs_simpleqa.csv";
  FeatureExtractor extractor;
  TwoSampleTest test(1);
  std::uint64_t id = 0;
  std::array<std::uint64_t, 2> rows{};
  for (const auto& row : csv_rows(whole_file(kData + path))) {
    const bool benchmark = row[2] == "simpleqa";
    if (!benchmark && row[2] != "search_arena") continue;
    AnswerView view;
    view.content = row[1];
    test.add(id++, benchmark, extractor.extract(view));
    ++rows[benchmark ? 1 : 0];
  }
  const std::optional<TwoSamples> found = test.finish();
  if (!found) {
    fmt::print("The data is not in `../shared/data`: skipped.\n\n");
    return;
  }
  const auto named = [](const std::vector<std::string>& features) {
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(6, features.size()); ++i) {
      text += fmt::format("{}{}", text.empty() ? "" : " · ", cell(features[i]));
    }
    return text;
  };
  fmt::print(
      "{} and {} requests; fitted on {}, tested on {} others: AUC {:.3f} ({:.3f}–{:.3f}).\n"
      "Gives the benchmark away: {}. Gives users away: {}.\n\n",
      rows[0], rows[1], found->fitted, found->tested, found->auc, found->interval.lo,
      found->interval.hi, named(found->of_second), named(found->of_first));
}

// Answers of real conversations, where nobody tests the model, that the rule takes for talk of a
// test: false positives, at most.
void print_test_talk(std::string_view title, const LogFile& log, bool read) {
  Result<LogReader> reader = LogReader::open(log, {});
  if (!reader) {
    fmt::print("| {} | not there: skipped | | |\n", title);
    return;
  }
  FeatureExtractor extractor;
  const std::uint64_t hash = *feature_of_name("conduct: speaks of a test");
  std::vector<ClusterTotal> conversations;
  ClusterTotal all;
  while (true) {
    Result<LogItem> item = reader->next();
    if (!item || std::holds_alternative<EndOfLog>(*item)) break;
    const LogRecord* record = std::get_if<LogRecord>(&*item);
    if (record == nullptr) continue;
    ClusterTotal total;
    for (const Message& message : record->conversation.messages) {
      if (message.role != Role::kAssistant) continue;
      AnswerView view;
      view.content = message.content;
      const std::span<const Feature> features = extractor.extract(view);
      const bool hit = std::any_of(features.begin(), features.end(),
                                   [&](const Feature& feature) { return feature.hash == hash; });
      total.size += 1;
      if (hit) total.hits += 1;
      if (hit && read) fmt::print("{}\n", terminal_safe(utf8_prefix(message.content, 600)));
    }
    if (total.size == 0) continue;
    conversations.push_back(total);
    all.size += total.size;
    all.hits += total.hits;
  }
  const double effect = std::max(1.0, design_effect(conversations));
  const Interval interval = clopper_pearson(all.hits / effect, all.size / effect, 0.95);
  fmt::print("| {} | {} | {:.0f} | {:.4f}% ({:.4f}–{:.4f}) |\n", title, conversations.size(),
             all.size, 100 * all.hits / all.size, 100 * interval.lo, 100 * interval.hi);
}

int run(bool read) {
  print_contrast("GPT-3.5 Turbo (second) against GPT-4 0314 (first), Arena-Hard",
                 arena_pairs("gpt-4-0314", "gpt-3.5-turbo-0125"), read);
  print_contrast("GPT-4 0613 (second) against GPT-4 0314 (first), Arena-Hard",
                 arena_pairs("gpt-4-0314", "gpt-4-0613"), read);
  print_contrast("Rejected (second) against chosen answers (first), HH-RLHF harmless-base",
                 harmless_pairs(), read);
  print_requests();
  fmt::print(
      "### Real answers that the rule for talk of a test takes for it\n\n"
      "| | conversations | answers | share (95%) |\n|---|---|---|---|\n");
  const std::string shared_chats =
      UNDERSTUDY_CACHE_DIR "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json";
  print_test_talk("packaged ShareGPT", {shared_chats, "sharegpt"}, read);
  const std::string wildchat = std::string(kData) + "wildchat/conversations.jsonl";
  print_test_talk("WildChat", {wildchat, "wildchat"}, read);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int count, char** arguments) {
  return understudy::run(count > 1 && std::string_view(arguments[1]) == "--read");
}
