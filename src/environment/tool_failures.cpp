#include "environment/tool_failures.hpp"

#include "base/assert.hpp"
#include "base/hash.hpp"
#include "base/rng.hpp"
#include "environment/tool_rules.hpp"

namespace understudy {

void ToolFailures::learn(const ToolSteps& steps) {
  for (const ToolStep& step : steps.steps) {
    if (!step.result) continue;
    Tool& tool = tools_[step.call.name];
    ++tool.results;
    if (!is_error_result(*step.result)) continue;
    ++tool.errors;
    ++tool.texts[*step.result];
  }
}

std::optional<std::string> ToolFailures::draw(std::uint64_t seed, std::uint64_t trajectory,
                                              std::uint32_t number, std::string_view tool) const {
  const auto found = tools_.find(tool);
  if (found == tools_.end() || found->second.errors == 0) return std::nullopt;
  const std::uint64_t key = first64(Sha256()
                                        .field("tool failure")
                                        .number(seed)
                                        .number(trajectory)
                                        .number(number)
                                        .field(tool)
                                        .finish());
  // One number decides both: below `errors` it fails, and which error it is the number says.
  std::uint64_t place = Rng(key).below(found->second.results);
  if (place >= found->second.errors) return std::nullopt;
  for (const auto& [text, count] : found->second.texts) {
    if (place < count) return text;
    place -= count;
  }
  UNDERSTUDY_ASSERT(false);
}

std::optional<ToolAnswer> FailureSource::answer(const ToolQuestion& question) {
  std::optional<std::string> text =
      failures_.draw(seed_, trajectory_, question.number, question.call.name);
  if (!text) return std::nullopt;
  return ToolAnswer{
      .level = ToolLevel::kInjected, .result = *std::move(text), .trouble = ToolTrouble::kNone};
}

}  // namespace understudy
