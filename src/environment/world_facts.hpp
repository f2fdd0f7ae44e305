#pragma once
// What the results of a trajectory have said about its world, and where two of them contradict each
// other: another value under the same key of the same object, with no change of the world between.
//
// An object is known by its members whose names are ids ("id", "user_id", "orderId"); one without,
// by the ids that it was asked for by. In real logs some facts change by themselves (a price, a
// queue's length): a kind of fact that contradicts itself there even once is no contradiction
// anywhere.

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "environment/tool_rules.hpp"
#include "environment/tool_steps.hpp"

namespace understudy {

struct WorldFact {
  std::string kind;   ///< names alone: "reservation_id/cabin"
  std::string about;  ///< the kind with the values of the ids
  std::string value;  ///< canonical JSON
};
/// Of a result that is JSON and no error; at most kFactsMax, in the order of the text's keys.
inline constexpr std::size_t kFactsMax = 2'000;
[[nodiscard]] std::vector<WorldFact> facts_of(const ToolCall& call, std::string_view result);

/// Which kinds of facts change by themselves, as the logs show.
class FactKinds {
 public:
  void learn(const ToolRules& rules, const ToolSteps& steps);
  [[nodiscard]] bool changes(const std::string& kind) const { return changing_.contains(kind); }
  [[nodiscard]] std::size_t changing() const { return changing_.size(); }

 private:
  std::set<std::string, std::less<>> changing_;
};

class WorldFacts {
 public:
  /// The kinds outlive it.
  explicit WorldFacts(const FactKinds& kinds) : kinds_(kinds) {}

  /// What was said before and would be contradicted: the facts with their old values.
  [[nodiscard]] std::vector<WorldFact> contradicted(const ToolCall& call,
                                                    std::string_view result) const;
  /// Takes a result as said; the newest word stands. `changed`: the call has changed the world, so
  /// what was said before it is void. Gives how many facts contradicted.
  std::uint32_t take(const ToolCall& call, std::string_view result, bool changed);

 private:
  [[nodiscard]] bool contradicts(const WorldFact& fact) const;

  const FactKinds& kinds_;
  std::unordered_map<std::string, std::string> said_;
};

}  // namespace understudy
