#include "environment/logged_tools.hpp"

#include <re2/re2.h>

#include "base/json.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

bool matches(std::string_view text, const RE2& pattern) {
  const std::string_view all = trimmed(text);
  return RE2::PartialMatch(re2::StringPiece(all.data(), all.size()), pattern);
}

}  // namespace

bool reads_as_refusal(std::string_view text) {
  static const RE2 kRefusal(
      R"((?i)^(?:(?:i(?:'|\x{2019})m|i am) (?:really |very |so )?(?:sorry|unable|not able|afraid))"
      R"(|(?:i(?:'|\x{2019})m|i am) (?:just )?an? (?:ai|language model|assistant))"
      R"(|i (?:can(?:'|\x{2019})?t|cannot|can not|won(?:'|\x{2019})t|do not have access|don(?:'|\x{2019})t have))"
      R"(|(?:i )?apologi[sz]e|my apologies|sorry\b|as an? (?:ai|language model|assistant))"
      R"(|unfortunately,? i|unable to (?:assist|help|comply)))");
  return matches(text, kRefusal);
}

bool reads_as_question(std::string_view text) {
  static const RE2 kQuestion(
      R"((?is)^(?:could|can|would|will|do|did|what|which|who|when|where|how|should|shall|may|is|are)\b[^\n]*\?$)"
      R"(|\b(?:could|can|would) you (?:please )?(?:provide|clarify|confirm|specify|tell|share|give|let)\b[^\n]*\?)"
      R"(|\bplease (?:provide|clarify|confirm|specify|share|tell me|let me know)\b)"
      R"(|\b(?:i(?:'|\x{2019})?(?:ll)? need|i would need|i(?:'|\x{2019})d need) (?:some |a bit )?(?:more|additional|further)\b)");
  return matches(text, kQuestion);
}

void LoggedTools::learn_schemas(std::string_view tools) {
  const Result<Json> parsed = parse_json(tools);
  if (!parsed) return;
  const bool has_choice = parsed->is_object() && parsed->contains("tools");
  const Json& list = has_choice ? (*parsed)["tools"] : *parsed;
  if (!list.is_array()) return;
  for (const Json& entry : list) {
    if (!entry.is_object()) continue;
    const auto function = entry.find("function");
    const Json& tool = function != entry.end() && function->is_object() ? *function : entry;
    const auto name = tool.find("name");
    if (name == tool.end() || !name->is_string()) continue;
    tools_[name->get<std::string>()].schema = write_json(tool, JsonStyle::kCanonical);
  }
}

void LoggedTools::learn(const ToolRules& rules, const ToolSteps& steps) {
  for (const ToolStep& step : steps.steps) {
    if (!step.result) continue;
    Tool& tool = tools_[step.call.name];
    tool.lengths.learn(*step.result);
    if (!ResultLengths::cut_mark(*step.result)) tool.shape.learn(*step.result);
    tool.refusals += reads_as_refusal(*step.result) ? 1U : 0U;
    tool.questions += reads_as_question(*step.result) ? 1U : 0U;
    calls_.learn(step.call, *step.result);
  }
  facts_.learn(rules, steps);
}

const LoggedTools::Tool* LoggedTools::find(std::string_view name) const {
  const auto found = tools_.find(name);
  return found == tools_.end() ? nullptr : &found->second;
}

}  // namespace understudy
