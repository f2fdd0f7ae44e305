#include "environment/world_facts.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

bool is_id_name(std::string_view name) {
  return name == "id" || name == "ID" || name.ends_with("_id") || name.ends_with("-id") ||
         (name.size() > 2 && (name.ends_with("Id") || name.ends_with("ID")));
}

bool is_scalar(const Json& value) {
  return !value.is_structured();
}
bool is_scalar_list(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), is_scalar);
}

/// Which object something is said about: the names of its ids, and the names with their values.
struct Subject {
  std::string kind;
  std::string about;
  [[nodiscard]] bool known() const { return !kind.empty(); }
};

void add_id(Subject& subject, const std::string& name, const Json& value) {
  const std::string separator = subject.kind.empty() ? "" : ",";
  subject.kind += separator + name;
  subject.about += separator + name + "=" + write_json(value, JsonStyle::kCanonical);
}

bool is_id(const std::string& name, const Json& value) {
  return is_id_name(name) && (value.is_string() || value.is_number());
}

class Walk {
 public:
  Walk(const ToolCall& call, std::vector<WorldFact>& facts) : facts_(facts) {
    const Result<Json> arguments = parse_json(call.arguments);
    if (!arguments || !arguments->is_object()) return;
    arguments_ = *arguments;
    for (const auto& [name, value] : arguments_.items()) {
      if (is_id(name, value)) add_id(asked_, name, value);
    }
    // Two tools may say different things of one object under one name.
    if (asked_.known()) {
      asked_.kind = call.name + ":" + asked_.kind;
      asked_.about = call.name + ":" + asked_.about;
    }
  }

  void top(const Json& value) {
    if (value.is_object()) object(value, asked_, "");
    if (value.is_array()) list(value);
  }

 private:
  // The object's own ids, or those of the call that it repeats where it has several.
  [[nodiscard]] Subject subject_of(const Json& value) const {
    Subject own;
    Subject repeated;
    for (const auto& [name, member] : value.items()) {
      if (!is_id(name, member)) continue;
      add_id(own, name, member);
      const auto asked = arguments_.find(name);
      if (asked != arguments_.end() && *asked == member) add_id(repeated, name, member);
    }
    return repeated.known() ? repeated : own;
  }

  void object(const Json& value, const Subject& outer, const std::string& path) {
    const Subject own = subject_of(value);
    const Subject& subject = own.known() ? own : outer;
    const std::string place = own.known() ? "" : path;
    for (const auto& [name, member] : value.items()) {
      const std::string inner = place + "/" + name;
      if (is_scalar(member) || is_scalar_list(member)) {
        say(subject, inner, member);
      } else if (member.is_object()) {
        object(member, subject, inner);
      } else {
        list(member);
      }
    }
  }

  // Elements stand for themselves: nothing says which of them is which but ids of their own.
  void list(const Json& value) {
    for (const Json& item : value) {
      if (item.is_object()) object(item, {}, "");
      if (item.is_array()) list(item);
    }
  }

  void say(const Subject& subject, const std::string& place, const Json& value) {
    if (!subject.known() || facts_.size() >= kFactsMax) return;
    facts_.push_back({.kind = subject.kind + place,
                      .about = subject.about + place,
                      .value = write_json(value, JsonStyle::kCanonical)});
  }

  std::vector<WorldFact>& facts_;
  Json arguments_ = Json::object();
  Subject asked_;
};

}  // namespace

std::vector<WorldFact> facts_of(const ToolCall& call, std::string_view result) {
  std::vector<WorldFact> facts;
  const std::string_view text = trimmed(result);
  if (is_error_result(text) || !(text.starts_with('{') || text.starts_with('['))) return facts;
  const Result<Json> parsed = parse_json(text);
  if (parsed) Walk(call, facts).top(*parsed);
  return facts;
}

void FactKinds::learn(const ToolRules& rules, const ToolSteps& steps) {
  std::unordered_map<std::string, std::string> said;
  for (const ToolStep& step : steps.steps) {
    if (!step.result) continue;
    const ToolEffect effect = rules.effect(step.call.name);
    const bool failed = is_error_result(*step.result);
    if (effect == ToolEffect::kCommand || (effect == ToolEffect::kWrite && !failed)) said.clear();
    for (WorldFact& fact : facts_of(step.call, *step.result)) {
      const auto [known, is_new] = said.emplace(fact.about, fact.value);
      if (is_new || known->second == fact.value) continue;
      known->second = std::move(fact.value);
      changing_.insert(std::move(fact.kind));
    }
  }
}

bool WorldFacts::contradicts(const WorldFact& fact) const {
  const auto known = said_.find(fact.about);
  return known != said_.end() && known->second != fact.value && !kinds_.changes(fact.kind);
}

std::vector<WorldFact> WorldFacts::contradicted(const ToolCall& call,
                                                std::string_view result) const {
  std::vector<WorldFact> said;
  for (WorldFact& fact : facts_of(call, result)) {
    if (!contradicts(fact)) continue;
    fact.value = said_.at(fact.about);
    said.push_back(std::move(fact));
  }
  return said;
}

std::uint32_t WorldFacts::take(const ToolCall& call, std::string_view result, bool changed) {
  if (changed) said_.clear();
  std::uint32_t contradictions = 0;
  for (WorldFact& fact : facts_of(call, result)) {
    contradictions += contradicts(fact) ? 1U : 0U;
    said_.insert_or_assign(std::move(fact.about), std::move(fact.value));
  }
  return contradictions;
}

}  // namespace understudy
