// Rule graders against people: refusal on XSTest (five models × 450 answers, final human label of
// two annotators; full and partial refusals are both refusals), and on the answers to jailbreaks of
// GPTFuzz. The datasets are not part of the project: this looks for them in ../shared/data and says
// so when one is not there.
//
// Leave one model out: for each model, the phrases that count are chosen by the answers of the
// other four alone, from the phrases of behaviors/refusal.toml. That file was written without
// looking at the answers of mistralguard at all. Beside it stand what the dataset's own string
// match and its GPT-4 judge reach.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "csv_rows.hpp"
#include "grading/behavior.hpp"
#include "grading/rule_graders.hpp"
#include "stats/intervals.hpp"

namespace understudy {
namespace {

constexpr std::array<const char*, 5> kModels = {"gpt4", "llama2new", "llama2orig", "mistralguard",
                                                "mistralinstruct"};
// A phrase is taken when the four training models have it in this many refusals at least, and when
// this share of the answers with it are refusals.
constexpr std::size_t kHitsMin = 3;
constexpr double kPrecisionMin = 0.7;

struct Answer {
  std::size_t model = 0;
  std::vector<Message> prefix;
  std::string content;
  bool refused = false;  ///< what people say
  bool by_strings = false;
  bool by_gpt4 = false;
};

bool is_refusal(const std::string& label) {
  return label != "1_full_compliance";
}

std::vector<Answer> read_answers(const std::string& folder) {
  std::vector<Answer> answers;
  for (std::size_t m = 0; m < kModels.size(); ++m) {
    const auto path = [&](const std::string& part, const std::string& end) {
      return fmt::format("{}/{}/xstest_v2_completions_{}{}.csv", folder, part, kModels[m], end);
    };
    const std::string judged = "evaluation/automated_evaluation_labels";
    const std::vector<CsvRow> people = csv_rows(path("model_completions", ""));
    const std::vector<CsvRow> strings = csv_rows(path(judged, "_streval"));
    const std::vector<CsvRow> gpt4 = csv_rows(path(judged, "_gpteval"));
    for (std::size_t i = 0; i < people.size(); ++i) {
      Answer answer;
      answer.model = m;
      answer.prefix.resize(1);
      answer.prefix[0].content = people[i].at("prompt");
      answer.content = people[i].at("completion");
      answer.refused = is_refusal(people[i].at("final_label"));
      answer.by_strings = is_refusal(strings.at(i).at("strmatch_label"));
      answer.by_gpt4 = is_refusal(gpt4.at(i).at("gpt4_label"));
      answers.push_back(std::move(answer));
    }
  }
  return answers;
}

// Which answers a rule flags.
std::vector<bool> flags_of(const Behavior& behavior, const std::vector<Answer>& answers) {
  const RuleGraders graders = std::move(RuleGraders::build({&behavior, 1})).value();
  std::vector<bool> flags;
  std::vector<Verdict> verdict(1);
  for (const Answer& answer : answers) {
    graders.grade({answer.prefix, "", answer.content, {}, FinishReason::kUnknown, false}, verdict);
    flags.push_back(verdict[0] == Verdict::kPresent);
  }
  return flags;
}

// The rule with one of its phrases; lists that the phrase does not name would be errors.
Behavior with_one_phrase(Behavior behavior, const std::string& phrase) {
  auto& lists = behavior.rule->patterns;
  std::erase_if(lists, [&](const auto& list) {
    return !list.first.starts_with("unless") && phrase.find("{" + list.first + "}") == phrase.npos;
  });
  lists["match"] = {phrase};
  return behavior;
}

struct Counts {
  double hits = 0;
  double flagged = 0;
  double refused = 0;
  void add(bool flag, bool truth) {
    hits += flag && truth ? 1 : 0;
    flagged += flag ? 1 : 0;
    refused += truth ? 1 : 0;
  }
  [[nodiscard]] double f1() const { return 2 * hits / (flagged + refused); }
};

std::string with_interval(double hits, double n) {
  const Interval interval = wilson(hits, n, 0.95);
  return fmt::format("{:.3f} ({:.3f}–{:.3f})", hits / n, interval.lo, interval.hi);
}

std::string line(const std::string& name, const Counts& counts) {
  return fmt::format("| {} | {} | {} | {:.3f} |\n", name,
                     with_interval(counts.hits, counts.flagged),
                     with_interval(counts.hits, counts.refused), counts.f1());
}

// The phrases that the answers of all models but `held_out` support.
std::vector<std::size_t> choose(const std::vector<std::vector<bool>>& flags,
                                const std::vector<Answer>& answers, std::size_t held_out) {
  std::vector<std::size_t> chosen;
  for (std::size_t p = 0; p < flags.size(); ++p) {
    std::size_t hits = 0;
    std::size_t flagged = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].model == held_out || !flags[p][i]) continue;
      ++flagged;
      hits += answers[i].refused ? 1U : 0U;
    }
    if (hits >= kHitsMin &&
        static_cast<double>(hits) >= kPrecisionMin * static_cast<double>(flagged)) {
      chosen.push_back(p);
    }
  }
  return chosen;
}

void print_tables(const std::vector<Answer>& answers) {
  const Behavior refusal = find_behavior("refusal", "").value();
  const std::vector<bool> shipped = flags_of(refusal, answers);
  const std::vector<std::string> phrases = refusal.rule->patterns.at("match");
  std::vector<std::vector<bool>> flags;
  for (const std::string& phrase : phrases) {
    flags.push_back(flags_of(with_one_phrase(refusal, phrase), answers));
  }
  std::array<Counts, 4> pooled;
  const std::array<std::string, 4> names = {"rule, model left out", "rule as shipped",
                                            "string match", "GPT-4 judge"};
  fmt::print("| refusal on XSTest | precision | recall | F1 |\n|---|---|---|---|\n");
  for (std::size_t m = 0; m < kModels.size(); ++m) {
    const std::vector<std::size_t> chosen = choose(flags, answers, m);
    std::array<Counts, 4> counts;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].model != m) continue;
      bool left_out = false;
      for (const std::size_t p : chosen) left_out = left_out || flags[p][i];
      const std::array<bool, 4> says = {left_out, shipped[i], answers[i].by_strings,
                                        answers[i].by_gpt4};
      for (std::size_t k = 0; k < says.size(); ++k) {
        counts[k].add(says[k], answers[i].refused);
        pooled[k].add(says[k], answers[i].refused);
      }
    }
    for (std::size_t k = 0; k < counts.size(); ++k) {
      fmt::print("{}", line(fmt::format("{}: {}", kModels[m], names[k]), counts[k]));
    }
  }
  for (std::size_t k = 0; k < pooled.size(); ++k) {
    fmt::print("{}", line("all: " + names[k], pooled[k]));
  }
  const std::vector<std::size_t> kept = choose(flags, answers, kModels.size());
  fmt::print("\n{} of {} phrases are supported by all five models together\n", kept.size(),
             phrases.size());
  for (std::size_t p = 0, k = 0; p < phrases.size(); ++p) {
    if (k < kept.size() && kept[k] == p) {
      ++k;
    } else {
      fmt::print("not supported: {}\n", phrases[p]);
    }
  }
}

// Answers to jailbreak prompts, labeled by people: 1 what the attacker wanted, 0 anything else,
// which is refusals for the most part and answers that miss the point. So precision is meant, and
// recall is a lower bound. The prompts are not in the data; nothing was tuned on it.
void print_gptfuzz(const std::string& folder) {
  const Behavior refusal = find_behavior("refusal", "").value();
  fmt::print("\n| refusal on GPTFuzz | precision | recall | F1 |\n|---|---|---|---|\n");
  for (const char* part : {"train", "evaluate"}) {
    std::vector<Answer> answers;
    for (CsvRow& row : csv_rows(fmt::format("{}/responses_labeled/{}.csv", folder, part))) {
      Answer answer;
      answer.prefix.resize(1);
      answer.prefix[0].content = "How?";
      answer.content = std::move(row["Response"]);
      answer.refused = row["label"] == "0";
      answers.push_back(std::move(answer));
    }
    const std::vector<bool> flags = flags_of(refusal, answers);
    Counts counts;
    for (std::size_t i = 0; i < answers.size(); ++i) counts.add(flags[i], answers[i].refused);
    fmt::print("{}", line(fmt::format("{}, {} answers", part, answers.size()), counts));
  }
}

void print_if_there(const std::string& name, void (*print)(const std::string& folder)) {
  const std::string folder = UNDERSTUDY_SOURCE_DIR "/../shared/data/" + name;
  if (std::filesystem::exists(folder)) {
    print(folder);
  } else {
    fmt::print("skipped: {} is not in ../shared/data\n", name);
  }
}

}  // namespace
}  // namespace understudy

int main() {
  using namespace understudy;
  print_if_there("xstest", [](const std::string& folder) { print_tables(read_answers(folder)); });
  print_if_there("gptfuzz_labels", print_gptfuzz);
  return 0;
}
