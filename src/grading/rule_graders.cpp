#include "grading/rule_graders.hpp"

#include <fmt/format.h>
#include <re2/set.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"
#include "grading/language.hpp"
#include "grading/rule.hpp"

namespace understudy {
namespace {

constexpr std::array<std::pair<std::string_view, MakeRule>, 10> kRuleKinds = {{
    {"sentences", make_sentence_rule},
    {"tool_claims", make_tool_claim_rule},
    {"search_arithmetic", make_search_arithmetic_rule},
    {"repetition", make_repetition_rule},
    {"answer_language", make_language_rule},
    {"template_text", make_template_rule},
    {"ending", make_ending_rule},
    {"contact_data", make_contact_rule},
    {"links", make_link_rule},
    {"features", make_feature_rule},
}};

std::string_view lowered(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

}  // namespace

const std::string& AnswerFacts::language() {
  if (!language_) language_ = detect_language(view.content);
  return *language_;
}

ProseMap& AnswerFacts::prose() {
  if (!prose_) prose_.emplace(view.content);
  return *prose_;
}

struct PhraseSet::Part {
  Part() : set(pattern_options(), RE2::UNANCHORED) {}
  RE2::Set set;
  std::vector<int> numbers;  ///< by the set's own index
};

int PhraseSet::add(const Pattern& pattern, Scope scope) {
  std::shared_ptr<Part>& part = scope == Scope::kAnywhere ? anywhere_ : opening_;
  if (!part) part = std::make_shared<Part>();
  const int index = part->set.Add(pattern.piece, nullptr);
  UNDERSTUDY_ASSERT(index == static_cast<int>(part->numbers.size()));  // it compiled on its own
  part->numbers.push_back(count_);
  return count_++;
}

void PhraseSet::compile() {
  for (const std::shared_ptr<Part>& part : {anywhere_, opening_}) {
    if (part) UNDERSTUDY_ASSERT(part->set.Compile());
  }
}

void PhraseSet::find(std::string_view text, std::vector<int>& found) const {
  found.clear();
  const auto look = [&](const Part& part, std::string_view where) {
    RE2::Set::ErrorInfo error{};
    std::vector<int> indices;
    const bool any = part.set.Match(re2::StringPiece(where.data(), where.size()), &indices, &error);
    if (!any && error.kind != RE2::Set::kNoError) {
      // The automaton ran out of its memory: every pattern is then looked at by itself, which is
      // slower and gives the same verdicts.
      found.insert(found.end(), part.numbers.begin(), part.numbers.end());
      return;
    }
    for (const int index : indices) found.push_back(part.numbers[static_cast<std::size_t>(index)]);
  };
  if (anywhere_) look(*anywhere_, text);
  if (opening_) look(*opening_, utf8_prefix(text, kOpeningBytes));
  std::sort(found.begin(), found.end());
}

RuleReader::RuleReader(const Behavior& behavior) : behavior_(behavior) {}

ErrorContext RuleReader::where(const std::string& list) const {
  const auto line = behavior_.rule->pattern_lines.find(list);
  return {behavior_.file,
          line == behavior_.rule->pattern_lines.end() ? behavior_.rule->line : line->second,
          std::nullopt};
}

Result<std::vector<Pattern>> RuleReader::patterns(const std::string& list, bool required) {
  used_.push_back(list);
  const auto found = lists().find(list);
  if (found == lists().end()) {
    if (!required) return std::vector<Pattern>{};
    return unexpected(ErrorCode::kUsage,
                      fmt::format("a rule of kind \"{}\" needs the list \"{}\" in "
                                  "[rule.patterns]",
                                  behavior_.rule->kind, list),
                      where(list));
  }
  return compile_patterns(found->second, lists(), where(list));
}

std::vector<std::string> RuleReader::texts(const std::string& list) {
  used_.push_back(list);
  const auto found = lists().find(list);
  return found == lists().end() ? std::vector<std::string>{} : found->second;
}

std::vector<std::string> RuleReader::words(const std::string& list) {
  std::vector<std::string> words = texts(list);
  for (std::string& word : words) lowered(word);
  return words;
}

double RuleReader::number(const std::string& name, double fallback) {
  used_.push_back(name);
  const auto found = behavior_.rule->numbers.find(name);
  return found == behavior_.rule->numbers.end() ? fallback : found->second;
}

std::string RuleReader::option(const std::string& name, const std::string& fallback) {
  used_.push_back(name);
  const auto found = behavior_.rule->options.find(name);
  return found == behavior_.rule->options.end() ? fallback : found->second;
}

Result<void> RuleReader::check_all_used() const {
  const auto check = [&](const std::string& name, std::string_view what) -> Result<void> {
    if (std::find(used_.begin(), used_.end(), name) != used_.end()) return {};
    return unexpected(ErrorCode::kUsage,
                      fmt::format("a rule of kind \"{}\" has no {} \"{}\"{}", behavior_.rule->kind,
                                  what, name, did_you_mean(name, used_)),
                      where(name));
  };
  for (const auto& [name, value] : behavior_.rule->options) {
    UNDERSTUDY_CHECK(check(name, "option"));
  }
  for (const auto& [name, value] : behavior_.rule->numbers) {
    UNDERSTUDY_CHECK(check(name, "number"));
  }
  for (const auto& [name, value] : lists()) {
    const std::string reference = "{" + name + "}";
    const bool named = std::any_of(lists().begin(), lists().end(), [&](const auto& list) {
      return std::any_of(list.second.begin(), list.second.end(), [&](const std::string& pattern) {
        return pattern.find(reference) != std::string::npos;
      });
    });
    if (!named) UNDERSTUDY_CHECK(check(name, "pattern list"));
  }
  return {};
}

struct RuleGraders::Program {
  struct Entry {
    std::unique_ptr<Rule> rule;  ///< null: no rule
    std::vector<std::string> languages;
  };
  std::vector<Entry> entries;
  PhraseSet phrases;

  static bool reads(const Entry& entry, AnswerFacts& facts) {
    if (entry.languages.empty() || facts.language().empty()) return true;
    return std::find(entry.languages.begin(), entry.languages.end(), facts.language()) !=
           entry.languages.end();
  }
};

RuleGraders::RuleGraders(std::unique_ptr<Program> program) : program_(std::move(program)) {}
RuleGraders::RuleGraders(RuleGraders&&) noexcept = default;
RuleGraders& RuleGraders::operator=(RuleGraders&&) noexcept = default;
RuleGraders::~RuleGraders() = default;

Result<RuleGraders> RuleGraders::build(std::span<const Behavior> behaviors) {
  auto program = std::make_unique<Program>();
  for (const Behavior& behavior : behaviors) {
    Program::Entry entry;
    entry.languages = behavior.languages;
    if (behavior.rule) {
      const auto kind = std::find_if(kRuleKinds.begin(), kRuleKinds.end(), [&](const auto& known) {
        return known.first == behavior.rule->kind;
      });
      if (kind == kRuleKinds.end()) {
        std::vector<std::string> known;
        for (const auto& [name, make] : kRuleKinds) known.emplace_back(name);
        return unexpected(
            ErrorCode::kUsage,
            fmt::format("there is no rule kind \"{}\"{}; the kinds are {}", behavior.rule->kind,
                        did_you_mean(behavior.rule->kind, known), fmt::join(known, ", ")),
            {behavior.file, behavior.rule->line, std::nullopt});
      }
      RuleReader reader(behavior);
      UNDERSTUDY_TRY(entry.rule, kind->second(reader));
      UNDERSTUDY_CHECK(reader.check_all_used());
      entry.rule->register_phrases(program->phrases);
    }
    program->entries.push_back(std::move(entry));
  }
  program->phrases.compile();
  return RuleGraders(std::move(program));
}

std::size_t RuleGraders::size() const {
  return program_->entries.size();
}

bool RuleGraders::has_rule(std::size_t behavior) const {
  return program_->entries[behavior].rule != nullptr;
}

void RuleGraders::grade(const AnswerView& answer, std::span<Verdict> out) const {
  UNDERSTUDY_ASSERT(out.size() == size());
  AnswerFacts facts(answer);
  program_->phrases.find(answer.content, facts.found_phrases);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Program::Entry& entry = program_->entries[i];
    if (!entry.rule) {
      out[i] = Verdict::kNotGradedNoJudge;
    } else if (!Program::reads(entry, facts)) {
      out[i] = Verdict::kUngradableLanguage;
    } else {
      Finds finds(1);
      entry.rule->look(facts, finds);
      out[i] = finds.any()          ? Verdict::kPresent
               : answer.ended_early ? Verdict::kUngradableEndedEarly
                                    : Verdict::kAbsent;
    }
  }
}

std::vector<Evidence> RuleGraders::evidence(const AnswerView& answer, std::size_t behavior) const {
  UNDERSTUDY_ASSERT(behavior < size());
  const Program::Entry& entry = program_->entries[behavior];
  AnswerFacts facts(answer);
  if (!entry.rule || !Program::reads(entry, facts)) return {};
  program_->phrases.find(answer.content, facts.found_phrases);
  Finds finds(kEvidenceMax);
  entry.rule->look(facts, finds);
  std::vector<Evidence> places = std::move(finds.places());
  std::sort(places.begin(), places.end(), [](const Evidence& a, const Evidence& b) {
    return std::tie(a.where, a.index, a.begin, a.end) < std::tie(b.where, b.index, b.begin, b.end);
  });
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

}  // namespace understudy
