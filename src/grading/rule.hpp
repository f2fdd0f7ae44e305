#pragma once
// Inside of the rule engine: what one rule is, and what all rules of an answer share.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "grading/answer_view.hpp"
#include "grading/behavior.hpp"
#include "grading/evidence.hpp"
#include "grading/pattern.hpp"
#include "grading/prose.hpp"
#include "grading/request_context.hpp"

namespace understudy {

/// What several rules ask of one answer, worked out at most once, on demand.
class AnswerFacts {
 public:
  explicit AnswerFacts(const AnswerView& answer) : view(answer), request(answer.prefix) {}

  const AnswerView& view;
  /// Patterns that may be somewhere in the answer, as PhraseSet numbers them.
  std::vector<int> found_phrases;
  RequestContext request;

  [[nodiscard]] const std::string& language();
  [[nodiscard]] ProseMap& prose();

 private:
  std::optional<std::string> language_;
  std::optional<ProseMap> prose_;
};

/// Collects where a rule found its reason. A verdict alone needs only the first place.
class Finds {
 public:
  explicit Finds(std::size_t places_max) : places_max_(places_max) {}
  /// Whether the rule may stop looking.
  bool add(Evidence place) {
    if (places_.size() < places_max_) places_.push_back(place);
    return places_.size() >= places_max_;
  }
  [[nodiscard]] bool any() const { return !places_.empty(); }
  [[nodiscard]] std::vector<Evidence>& places() { return places_; }

 private:
  std::size_t places_max_;
  std::vector<Evidence> places_;
};

class PhraseSet;

class Rule {
 public:
  virtual ~Rule() = default;
  /// Patterns that `look` may rely on AnswerFacts::found_phrases for.
  virtual void register_phrases(PhraseSet& phrases) { static_cast<void>(phrases); }
  virtual void look(AnswerFacts& facts, Finds& finds) const = 0;
};

/// One pass over the answer finds which patterns of all rules are worth a closer look: those whose
/// piece is in it.
class PhraseSet {
 public:
  enum class Scope { kAnywhere, kOpening };
  /// The opening is this much of an answer.
  static constexpr std::size_t kOpeningBytes = 400;

  /// Gives the pattern's number.
  int add(const Pattern& pattern, Scope scope);
  /// Call once, after all are added.
  void compile();
  /// Numbers of all patterns that may match, ascending.
  void find(std::string_view text, std::vector<int>& found) const;

 private:
  struct Part;
  std::shared_ptr<Part> anywhere_;
  std::shared_ptr<Part> opening_;
  int count_ = 0;
};

/// Reads the options of a [rule], and names what is unknown or missing, with file and line.
class RuleReader {
 public:
  explicit RuleReader(const Behavior& behavior);

  [[nodiscard]] Result<std::vector<Pattern>> patterns(const std::string& list, bool required);
  /// The list as it stands.
  [[nodiscard]] std::vector<std::string> texts(const std::string& list);
  /// The list as plain words, lowercase.
  [[nodiscard]] std::vector<std::string> words(const std::string& list);
  [[nodiscard]] double number(const std::string& name, double fallback);
  [[nodiscard]] std::string option(const std::string& name, const std::string& fallback);
  /// Every list, number and option of the file must have been asked for, or be named by a pattern.
  [[nodiscard]] Result<void> check_all_used() const;
  [[nodiscard]] const PatternLists& lists() const { return behavior_.rule->patterns; }
  [[nodiscard]] ErrorContext where(const std::string& list) const;

 private:
  const Behavior& behavior_;
  std::vector<std::string> used_;
};

using MakeRule = Result<std::unique_ptr<Rule>> (*)(RuleReader&);

Result<std::unique_ptr<Rule>> make_sentence_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_tool_claim_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_search_arithmetic_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_repetition_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_language_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_template_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_ending_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_contact_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_link_rule(RuleReader& in);
Result<std::unique_ptr<Rule>> make_feature_rule(RuleReader& in);

}  // namespace understudy
