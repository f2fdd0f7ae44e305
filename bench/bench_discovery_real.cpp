// Discovery on real text, as Markdown for docs/results.md: pairs of GPT models on Arena-Hard,
// chosen against rejected answers of HH-RLHF, models of XSTest whose answers two people have read,
// requests of Search Arena against those of a benchmark, and how often real answers are taken for
// talk of a test. The data is in ../shared/data and the cache; what is not there is skipped and
// said.
//
//   bench_discovery_real                 the tables, with what readers marked
//   (discovery_readings.hpp) bench_discovery_real --read          also the ten most typical answers
//   of each finding bench_discovery_real --sheet FOLDER  the answers for readers to mark, and
//   nothing else

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "csv_rows.hpp"
#include "discovery/contrast.hpp"
#include "discovery/two_samples.hpp"
#include "discovery_readings.hpp"
#include "grading/agreement.hpp"
#include "ingest/byte_source.hpp"
#include "ingest/log_reader.hpp"
#include "stats/clusters.hpp"
#include "stats/intervals.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

constexpr const char* kData = UNDERSTUDY_SOURCE_DIR "/../shared/data/";
constexpr std::size_t kFindingsShown = 12;
constexpr std::size_t kTranscripts = 10;
constexpr std::size_t kTextShown = 160;
constexpr std::size_t kItemsOfFinding = 6;  // on a sheet
constexpr std::size_t kItemsOfArm = 15;     // of each, whatever they have
constexpr std::size_t kSheetBytes = 3000;   // of a message

struct Answer {
  std::string text;
  std::optional<bool> refusal;  // as two people have labelled it
};

struct Pair {
  Message request;
  Answer first;
  Answer second;
};

struct Contrasted {
  std::string key;  // in discovery_notes.md
  std::string title;
  std::vector<Pair> pairs;
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
    pair.first.text = answer.second;
    pair.second.text = other->second.second;
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
    pair.first.text = trimmed(std::string_view(chosen).substr(at + kAssistant.size()));
    pair.second.text = trimmed(std::string_view(rejected).substr(other + kAssistant.size()));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<Pair> xstest_pairs(const std::string& first, const std::string& second) {
  const auto answers = [](const std::string& model) {
    return csv_rows(std::string(kData) + "xstest/model_completions/xstest_v2_completions_" + model +
                    ".csv");
  };
  const auto answer = [](const CsvRow& row) {
    return Answer{std::string(trimmed(row.at("completion"))),
                  row.at("final_label") != "1_full_compliance"};
  };
  const std::vector<CsvRow> a = answers(first);
  const std::vector<CsvRow> b = answers(second);
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].at("id") != b[i].at("id")) continue;
    Pair pair;
    pair.request.content = a[i].at("prompt");
    pair.first = answer(a[i]);
    pair.second = answer(b[i]);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

const Answer& answer_of(const Pair& pair, bool second) {
  return second ? pair.second : pair.first;
}

AnswerView view_of(const Pair& pair, bool second) {
  AnswerView view;
  view.prefix = {&pair.request, 1};
  view.content = answer_of(pair, second).text;
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
    std::size_t missing = finding.features.size();
    for (const Feature& feature : extractor.extract(view_of(pairs[id], finding.more))) {
      missing -=
          static_cast<std::size_t>(std::count(finding.features.begin(), finding.features.end(),
                                              feature_name(feature.kind, feature.text)));
    }
    order.push_back({{missing, answer_of(pairs[id], finding.more).text.size()}, id});
  }
  std::sort(order.begin(), order.end());
  fmt::print("{}\n", terminal_safe(fmt::format("{}", fmt::join(finding.features, " · "))));
  for (std::size_t i = 0; i < std::min(kTranscripts, order.size()); ++i) {
    const Pair& pair = pairs[order[i].second];
    fmt::print("    ASKED {}\n      {}\n",
               terminal_safe(utf8_prefix(pair.request.content, kTextShown)),
               excerpt(finding, answer_of(pair, finding.more).text));
  }
}

Contrast contrast_of(const std::vector<Pair>& pairs) {
  const PairSource source = [&](PairVisitor& visitor) -> Result<void> {
    FeatureExtractor first, second;
    for (std::uint64_t id = 0; id < pairs.size(); ++id) {
      if (!visitor.wants(id)) continue;
      visitor.see(id, {id, first.extract(view_of(pairs[id], false)),
                       second.extract(view_of(pairs[id], true))});
    }
    return {};
  };
  Contrast found = *contrast(source, {.seed = 1, .pairs = pairs.size()});
  if (found.findings.size() > kFindingsShown) found.findings.resize(kFindingsShown);
  return found;
}

bool has_feature(const Pair& pair, bool second, const std::string& name) {
  FeatureExtractor extractor;
  const std::span<const Feature> features = extractor.extract(view_of(pair, second));
  return std::any_of(features.begin(), features.end(), [&](const Feature& feature) {
    return feature_name(feature.kind, feature.text) == name;
  });
}

std::string item_id(const Contrasted& of, std::uint64_t pair, bool second) {
  return fmt::format("{:08x}", hash64({of.key, std::to_string(pair), second ? "2" : "1"}) >> 32);
}

struct Item {
  std::uint64_t pair = 0;
  bool second = false;
};

// Some answers of each finding, and both of some pairs, whatever they have: by the smallest hashes.
std::map<std::string, Item> items_of(const Contrasted& of, const Contrast& found) {
  std::map<std::string, Item> items;
  const auto take = [&](std::vector<Item> from, std::size_t count) {
    const auto id = [&](const Item& item) { return item_id(of, item.pair, item.second); };
    std::sort(from.begin(), from.end(),
              [&](const Item& a, const Item& b) { return id(a) < id(b); });
    for (std::size_t i = 0; i < std::min(count, from.size()); ++i) items[id(from[i])] = from[i];
  };
  for (const ContrastFinding& finding : found.findings) {
    std::vector<Item> with;
    for (const std::uint64_t pair : finding.pairs) with.push_back({pair, finding.more});
    take(std::move(with), kItemsOfFinding);
  }
  for (const bool second : {false, true}) {
    std::vector<Item> any;
    for (std::uint64_t pair = 0; pair < of.pairs.size(); ++pair) any.push_back({pair, second});
    take(std::move(any), kItemsOfArm);
  }
  return items;
}

bool write_sheet(const Contrasted& of, const std::string& folder) {
  std::vector<SheetItem> items;
  for (const auto& [id, item] : items_of(of, contrast_of(of.pairs))) {
    const Pair& pair = of.pairs[item.pair];
    items.push_back({id, std::string(utf8_prefix(pair.request.content, kSheetBytes)),
                     std::string(utf8_prefix(answer_of(pair, item.second).text, kSheetBytes))});
  }
  return Readings(of.key).write_sheet(folder, std::move(items));
}

// "12/14, 13/14": each reader's.
std::string marks_text(const Readings& readings, const ReadFinding& finding,
                       const std::set<std::string>& items, bool inside) {
  std::string text;
  for (std::size_t reader = 0; reader < readings.readers(); ++reader) {
    const Readings::Count count = readings.count(reader, finding, items, inside);
    text += fmt::format("{}{}/{}", text.empty() ? "" : ", ", count.yes, count.marked);
  }
  return text;
}

// Every reader finds the statement borne out by most answers with the feature, and significantly
// oftener than by the others.
bool confirmed(const Readings& readings, const ReadFinding& finding,
               const std::set<std::string>& items) {
  for (std::size_t reader = 0; reader < readings.readers(); ++reader) {
    const Readings::Count with = readings.count(reader, finding, items, true);
    const Readings::Count without = readings.count(reader, finding, items, false);
    const bool more = with.yes * without.marked > without.yes * with.marked;
    if (2 * with.yes <= with.marked || !more ||
        fisher_exact(with.yes, with.marked, without.yes, without.marked) >= 0.01) {
      return false;
    }
  }
  return readings.readers() > 0;
}

void print_readings(const Contrasted& of, const Contrast& found) {
  const Readings readings(of.key);
  const std::map<std::string, Item> items = items_of(of, found);
  fmt::print(
      "\n{} answers were read by {} readers, each alone, who saw neither model nor feature: how "
      "many "
      "with the feature bear the statement out, and how many others. Both readers are the same "
      "language model; no person has read them.\n\n"
      "| finding | statement | with | others | kappa | |\n|---|---|---|---|---|---|\n",
      items.size(), readings.readers());
  for (const ContrastFinding& finding : found.findings) {
    const std::string title = title_of(finding);
    const ReadFinding* read = readings.find(title);
    if (read == nullptr) {
      fmt::print("| {} | not read | | | | |\n", cell(title));
      continue;
    }
    std::set<std::string> with;
    for (const auto& [id, item] : items) {
      if (has_feature(of.pairs[item.pair], item.second, finding.features.front())) with.insert(id);
    }
    const auto kappa = cohen_kappa(readings.both(*read));
    fmt::print("| {} | {} | {} | {} | {} | {} |\n", cell(title), read->statement,
               marks_text(readings, *read, with, true), marks_text(readings, *read, with, false),
               kappa ? fmt::format("{:.2f}", *kappa) : "",
               confirmed(readings, *read, with) ? "confirmed" : "not confirmed");
  }
  fmt::print("\nWhat reading ten typical answers of each, and the marks, said:\n\n");
  for (const ContrastFinding& finding : found.findings) {
    const ReadFinding* read = readings.find(title_of(finding));
    if (read != nullptr) fmt::print("- *{}*: {}\n", cell(title_of(finding)), read->note);
  }
}

std::string percent(std::uint64_t part, std::uint64_t all) {
  const Interval interval =
      clopper_pearson(static_cast<double>(part), static_cast<double>(all), 0.95);
  return fmt::format("{} of {} ({:.0f}–{:.0f}%)", part, all, 100 * interval.lo, 100 * interval.hi);
}

// Where people have read every answer: how many of those with a finding's feature they call a
// refusal, of both models.
void print_labels(const Contrasted& of, const Contrast& found) {
  std::array<std::uint64_t, 2> refusals{};
  for (const Pair& pair : of.pairs) {
    for (const bool second : {false, true}) {
      refusals.at(second) += *answer_of(pair, second).refusal ? 1U : 0U;
    }
  }
  fmt::print("\nTwo people read every answer: refusals are {} of the second, {} of the first.\n\n",
             percent(refusals[1], of.pairs.size()), percent(refusals[0], of.pairs.size()));
  fmt::print("| finding | refusals by people, with it | without |\n|---|---|---|\n");
  for (const ContrastFinding& finding : found.findings) {
    std::array<std::array<std::uint64_t, 2>, 2> counts{};  // with it: refusals, all
    for (const Pair& pair : of.pairs) {
      for (const bool second : {false, true}) {
        auto& count = counts.at(has_feature(pair, second, finding.features.front()));
        count[0] += *answer_of(pair, second).refusal ? 1U : 0U;
        ++count[1];
      }
    }
    fmt::print("| {} | {} | {} |\n", cell(title_of(finding)), percent(counts[1][0], counts[1][1]),
               percent(counts[0][0], counts[0][1]));
  }
}

void print_contrast(const Contrasted& of, bool read) {
  fmt::print("### {}\n\n", of.title);
  if (of.pairs.empty()) {
    fmt::print("The data is not in `../shared/data`: skipped.\n\n");
    return;
  }
  const Contrast found = contrast_of(of.pairs);
  fmt::print("{} pairs, half of them tested, {} hypotheses.\n\n", found.pairs, found.tested);
  fmt::print("| finding | second, per 100k | first, per 100k | adjusted p |\n|---|---|---|---|\n");
  for (const ContrastFinding& finding : found.findings) {
    const auto rate = [](const HalfRate& r) {
      return fmt::format("{:.0f} ({:.0f}–{:.0f})", r.per_100k, r.interval.lo, r.interval.hi);
    };
    fmt::print("| {}{} | {} | {} | {:.1g} |\n", cell(title_of(finding)),
               finding.with_length ? " (goes with length)" : "", rate(finding.candidate),
               rate(finding.logged), finding.adjusted);
  }
  if (of.pairs.front().first.refusal) {
    print_labels(of, found);
  } else {
    print_readings(of, found);
  }
  fmt::print("\n");
  if (!read) return;
  for (const ContrastFinding& finding : found.findings) print_answers(finding, of.pairs);
  fmt::print("\n");
}

void print_requests() {
  fmt::print("### Requests of users (Search Arena) against a benchmark's (SimpleQA)\n\n");
  const std::string path =
      "search_arena_prompts/data/describing_diffs/search_arena_vs_simpleqa.csv";
  FeatureExtractor extractor;
  TwoSampleTest test(1);
  std::uint64_t id = 0;
  std::array<std::uint64_t, 2> rows{};
  for (const CsvRow& row : csv_rows(kData + path)) {
    const bool benchmark = row.at("group_name") == "simpleqa";
    if (!benchmark && row.at("group_name") != "search_arena") continue;
    AnswerView view;
    view.content = row.at("text");
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

std::vector<Contrasted> contrasts() {
  return {
      {"arena_gpt35", "GPT-3.5 Turbo (second) against GPT-4 0314 (first), Arena-Hard",
       arena_pairs("gpt-4-0314", "gpt-3.5-turbo-0125")},
      {"arena_gpt4", "GPT-4 0613 (second) against GPT-4 0314 (first), Arena-Hard",
       arena_pairs("gpt-4-0314", "gpt-4-0613")},
      {"hh_rlhf", "Rejected (second) against chosen answers (first), HH-RLHF harmless-base",
       harmless_pairs()},
      {"xstest_guard", "Mistral with a guarding system prompt (second) and without (first), XSTest",
       xstest_pairs("mistralinstruct", "mistralguard")},
      {"xstest_llama", "Llama 2 (second) against GPT-4 (first), XSTest",
       xstest_pairs("gpt4", "llama2orig")}};
}

int run(bool read) {
  for (const Contrasted& one : contrasts()) print_contrast(one, read);
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
  using namespace understudy;
  const std::string_view flag = count > 1 ? arguments[1] : "";
  if (flag != "--sheet") return run(flag == "--read");
  if (count != 3) {
    fmt::print(stderr, "--sheet takes the folder that the sheets go to\n");
    return 2;
  }
  for (const Contrasted& one : contrasts()) {
    if (one.pairs.empty() || one.pairs.front().first.refusal) continue;
    if (!write_sheet(one, arguments[2])) {
      fmt::print(stderr, "cannot write to {}\n", arguments[2]);
      return 4;
    }
  }
}
