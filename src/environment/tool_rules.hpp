#pragma once
// What makes two calls of a tool the same call, and which tools change the world.
//
// Arguments are compared by meaning: key order, white space, 2 and 2.0, an argument left out and
// the same argument given as null or as its default are alike.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "records/conversation.hpp"

namespace understudy {

enum class ToolEffect : std::uint8_t {
  kRead,     ///< leaves the world as it is
  kWrite,    ///< changes it, unless its result is an error
  kCommand,  ///< may have changed it whatever its result says
};

struct ToolRule {
  std::optional<ToolEffect> effect{};      ///< empty: what the schema says, else the tool's name
  std::set<std::string> free_arguments{};  ///< the result does not depend on them
  std::map<std::string, Json> defaults{};  ///< beside those of the schema
  bool ignore_case = false;                ///< of text in arguments
};

class ToolRules {
 public:
  void set(std::string tool, ToolRule rule) { rules_[std::move(tool)] = std::move(rule); }

  /// Takes defaults and `annotations.readOnlyHint` from tool schemas, in any provider's or MCP's
  /// shape; what is no schema is passed over. A default that changed over time is none.
  void learn(std::string_view tools);
  void learn_schemas(const Json& tools);

  /// Where neither a rule nor a schema says: a name that begins like a question ("get_", "list",
  /// "search" …) reads, every other one writes, since a write taken for a read gives wrong answers
  /// and the other way round only fewer.
  [[nodiscard]] ToolEffect effect(std::string_view tool) const;

  /// The call in one form for all that mean the same; arguments that are no JSON object as text.
  [[nodiscard]] std::string canonical(const ToolCall& call) const;

 private:
  struct Learned {
    std::map<std::string, Json> defaults;
    std::set<std::string> changed;  ///< arguments whose default changed
    std::optional<bool> read_only;
  };
  std::map<std::string, ToolRule, std::less<>> rules_;
  std::map<std::string, Learned, std::less<>> learned_;
};

/// A result that says the call failed: "Error…", "Traceback…", {"error": …} with something in it.
[[nodiscard]] bool is_error_result(std::string_view result);

}  // namespace understudy
