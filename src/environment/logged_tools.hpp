#pragma once
// What the logs show of each tool, for whoever has to make up a result of it: schema, shape,
// lengths, the recorded calls, and which facts change by themselves. Learned once, then only read:
// worlds share it.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "environment/result_lengths.hpp"
#include "environment/result_shape.hpp"
#include "environment/similar_calls.hpp"
#include "environment/tool_rules.hpp"
#include "environment/tool_steps.hpp"
#include "environment/world_facts.hpp"

namespace understudy {

/// Text in which a model excuses itself instead of doing what it was asked.
[[nodiscard]] bool reads_as_refusal(std::string_view text);
/// Text that asks whoever reads it for something before going on.
[[nodiscard]] bool reads_as_question(std::string_view text);

class LoggedTools {
 public:
  struct Tool {
    std::string schema;  ///< JSON, the last that was logged; empty: none was
    ResultShape shape;
    ResultLengths lengths;
    std::uint64_t refusals = 0;  ///< logged results that read like one: then it is no sign
    std::uint64_t questions = 0;
  };

  /// Conversation::tools.
  void learn_schemas(std::string_view tools);
  /// One trajectory, in the order of the logs.
  void learn(const ToolRules& rules, const ToolSteps& steps);

  /// Null where the logs hold neither a schema nor a result of it.
  [[nodiscard]] const Tool* find(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, Tool, std::less<>>& tools() const { return tools_; }
  [[nodiscard]] const SimilarCalls& calls() const { return calls_; }
  [[nodiscard]] const FactKinds& facts() const { return facts_; }

 private:
  std::map<std::string, Tool, std::less<>> tools_;
  SimilarCalls calls_;
  FactKinds facts_;
};

}  // namespace understudy
