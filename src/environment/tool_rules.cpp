#include "environment/tool_rules.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::array<std::string_view, 18> kReadingWords = {
    "get",   "list",  "search", "find",     "read",      "view",  "show",   "fetch", "lookup",
    "query", "count", "check",  "describe", "calculate", "think", "browse", "open",  "is"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// "get" of get_user, getUser, get-user and "get user"; all in small letters.
std::string first_word(std::string_view name) {
  std::string word;
  for (const char c : name) {
    const bool ends = c == '_' || c == '-' || c == ' ' || c == '.' || (c >= 'A' && c <= 'Z');
    if (ends && !word.empty()) break;
    word += lower(c);
  }
  return word;
}

/// White space at the ends goes, runs of it become one space.
std::string collapsed(std::string_view text, bool ignore_case) {
  std::string out;
  bool space = false;
  for (const char c : trimmed(text)) {
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      space = true;
      continue;
    }
    if (space) out += ' ';
    space = false;
    out += ignore_case ? lower(c) : c;
  }
  return out;
}

Json normalized(const Json& value, bool ignore_case) {
  if (value.is_string()) return collapsed(value.get_ref<const std::string&>(), ignore_case);
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value) out.push_back(normalized(item, ignore_case));
    return out;
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const auto& [key, member] : value.items()) {
    if (!member.is_null()) out[key] = normalized(member, ignore_case);
  }
  return out;
}

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json* parameters_of(const Json& tool) {
  for (const char* key : {"parameters", "input_schema", "inputSchema"}) {
    if (const Json* found = member(tool, key)) return found;
  }
  return nullptr;
}

}  // namespace

void ToolRules::learn(std::string_view tools) {
  if (tools.empty()) return;
  if (const Result<Json> parsed = parse_json(tools)) learn_schemas(*parsed);
}

void ToolRules::learn_schemas(const Json& tools) {
  if (const Json* inner = member(tools, "tools")) return learn_schemas(*inner);
  if (!tools.is_array()) return;
  for (const Json& entry : tools) {
    const Json* function = member(entry, "function");
    const Json& tool = function != nullptr ? *function : entry;
    const Json* name = member(tool, "name");
    if (name == nullptr || !name->is_string()) continue;
    Learned& learned = learned_[name->get<std::string>()];
    if (const Json* annotations = member(tool, "annotations")) {
      const Json* hint = member(*annotations, "readOnlyHint");
      if (hint != nullptr && hint->is_boolean()) learned.read_only = hint->get<bool>();
    }
    const Json* parameters = parameters_of(tool);
    const Json* properties = parameters == nullptr ? nullptr : member(*parameters, "properties");
    if (properties == nullptr || !properties->is_object()) continue;
    for (const auto& [argument, schema] : properties->items()) {
      const Json* value = member(schema, "default");
      if (value == nullptr) continue;
      const auto [known, is_new] = learned.defaults.emplace(argument, *value);
      if (!is_new && known->second != *value) learned.changed.insert(argument);
    }
  }
}

ToolEffect ToolRules::effect(std::string_view tool) const {
  const auto rule = rules_.find(tool);
  if (rule != rules_.end() && rule->second.effect) return *rule->second.effect;
  const auto learned = learned_.find(tool);
  if (learned != learned_.end() && learned->second.read_only) {
    return *learned->second.read_only ? ToolEffect::kRead : ToolEffect::kWrite;
  }
  const std::string word = first_word(tool);
  const bool reads =
      std::find(kReadingWords.begin(), kReadingWords.end(), word) != kReadingWords.end();
  return reads ? ToolEffect::kRead : ToolEffect::kWrite;
}

std::string ToolRules::canonical(const ToolCall& call) const {
  static const ToolRule kPlain;
  const auto found = rules_.find(call.name);
  const ToolRule& rule = found == rules_.end() ? kPlain : found->second;
  const std::string name = call.name + "\n";
  const std::string_view text = trimmed(call.arguments);
  const Result<Json> parsed = parse_json(text.empty() ? "{}" : text);
  if (!parsed || !parsed->is_object()) return name + collapsed(text, rule.ignore_case);

  Json arguments = normalized(*parsed, rule.ignore_case);
  const auto leave_out = [&](const std::string& argument, const Json& value) {
    const auto given = arguments.find(argument);
    if (given != arguments.end() && *given == normalized(value, rule.ignore_case)) {
      arguments.erase(given);
    }
  };
  const auto learned = learned_.find(call.name);
  if (learned != learned_.end()) {
    for (const auto& [argument, value] : learned->second.defaults) {
      if (!learned->second.changed.contains(argument)) leave_out(argument, value);
    }
  }
  for (const auto& [argument, value] : rule.defaults) leave_out(argument, value);
  for (const std::string& argument : rule.free_arguments) arguments.erase(argument);
  return name + write_json(arguments, JsonStyle::kCanonical);
}

bool is_error_result(std::string_view result) {
  const std::string_view text = trimmed(result);
  for (const std::string_view opening :
       {"Error", "error:", "ERROR", "Traceback (most recent call last)", "Exception"}) {
    if (text.starts_with(opening)) return true;
  }
  if (!text.starts_with('{') || text.find("\"error\"") == std::string_view::npos) return false;
  const Result<Json> parsed = parse_json(text);
  if (!parsed) return false;
  const Json* error = member(*parsed, "error");
  return error != nullptr && *error != Json(false) && *error != Json("");
}

}  // namespace understudy
