#include "grading/behavior.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kSeverityLevels = 5;

constexpr std::array<std::pair<std::string_view, BehaviorGroup>, 4> kGroups = {{
    {"misalignment", BehaviorGroup::kMisalignment},
    {"disallowed content", BehaviorGroup::kDisallowedContent},
    {"agentic", BehaviorGroup::kAgentic},
    {"quality", BehaviorGroup::kQuality},
}};
constexpr std::array<std::pair<std::string_view, DecidedBy>, 6> kDecidedBy = {{
    {"rule", DecidedBy::kRule},
    {"rule and judge", DecidedBy::kRuleAndJudge},
    {"judge", DecidedBy::kJudge},
    {"command", DecidedBy::kCommand},
    {"moderation", DecidedBy::kModeration},
    {"table", DecidedBy::kTable},
}};
constexpr std::array<std::pair<std::string_view, FinishReason>, 5> kFinish = {{
    {"stop", FinishReason::kStop},
    {"length", FinishReason::kLength},
    {"tool_calls", FinishReason::kToolCalls},
    {"content_filter", FinishReason::kContentFilter},
    {"unknown", FinishReason::kUnknown},
}};
constexpr std::array<std::pair<std::string_view, Role>, 5> kRoles = {{
    {"system", Role::kSystem},
    {"developer", Role::kDeveloper},
    {"user", Role::kUser},
    {"assistant", Role::kAssistant},
    {"tool", Role::kTool},
}};
constexpr std::array<std::pair<std::string_view, Verdict>, 4> kExpected = {{
    {"present", Verdict::kPresent},
    {"absent", Verdict::kAbsent},
    {"ungradable(language)", Verdict::kUngradableLanguage},
    {"ungradable(no_text)", Verdict::kUngradableNoText},
}};

template <class T, std::size_t N>
std::string_view name_in(const std::array<std::pair<std::string_view, T>, N>& table, T value) {
  for (const auto& [name, entry] : table) {
    if (entry == value) return name;
  }
  return "unknown";
}

bool is_identifier(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text[0] >= 'a' && text[0] <= 'z' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

// Reads the tables of one file. The first problem is kept and later calls do nothing, so that the
// reading code stays a list of keys.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  [[nodiscard]] bool ok() const { return !problem_; }
  [[nodiscard]] Error problem() const { return *problem_; }

  void fail(const toml::node& at, std::string message) {
    fail(at.source().begin.line, std::move(message));
  }
  void fail(std::uint64_t line, std::string message) {
    if (problem_) return;
    problem_ = Error{ErrorCode::kUsage, std::move(message),
                     ErrorContext{file_, line == 0 ? 1 : line, std::nullopt}};
  }

  void only_keys(const toml::table& table, std::string_view what,
                 std::initializer_list<std::string_view> keys) {
    const std::vector<std::string> valid(keys.begin(), keys.end());
    for (const auto& [key, node] : table) {
      if (std::find(valid.begin(), valid.end(), key.str()) != valid.end()) continue;
      fail(key.source().begin.line,
           fmt::format("{} has no key \"{}\"{}", what, key.str(), did_you_mean(key.str(), valid)));
    }
  }

  template <class T>
  std::optional<T> value(const toml::table& table, std::string_view key, std::string_view type) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    const auto found = node->value_exact<T>();
    if (!found) fail(*node, fmt::format("\"{}\" must be {}", key, type));
    return found;
  }

  /// A number from 0 to 1.
  std::optional<double> share(const toml::table& table, std::string_view key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    const auto found = node->value<double>();
    if (!found || !(*found >= 0 && *found <= 1)) {
      fail(*node, fmt::format("\"{}\" must be a number from 0 to 1", key));
    }
    return found;
  }

  std::string text(const toml::table& table, std::string_view key, bool required) {
    auto found = value<std::string>(table, key, "text");
    if (required && (!found || trimmed(*found).empty())) {
      fail(table, fmt::format("\"{}\" is missing", key));
    }
    return found ? std::move(*found) : std::string();
  }

  std::vector<std::string> texts(const toml::table& table, std::string_view key, bool required) {
    std::vector<std::string> found;
    const toml::node* node = table.get(key);
    if (node == nullptr) {
      if (required) fail(table, fmt::format("\"{}\" is missing", key));
      return found;
    }
    const toml::array* array = node->as_array();
    if (array == nullptr) {
      fail(*node, fmt::format("\"{}\" must be a list of texts", key));
      return found;
    }
    for (const toml::node& entry : *array) {
      if (const auto* words = entry.as_string()) {
        found.push_back(words->get());
      } else {
        fail(entry, fmt::format("\"{}\" must be a list of texts", key));
      }
    }
    if (required && found.empty()) fail(*node, fmt::format("\"{}\" is empty", key));
    return found;
  }

  template <class T, std::size_t N>
  T choice(const toml::table& table, std::string_view key,
           const std::array<std::pair<std::string_view, T>, N>& names, std::optional<T> fallback) {
    const auto found = value<std::string>(table, key, "text");
    if (!found) {
      if (!fallback) fail(table, fmt::format("\"{}\" is missing", key));
      return fallback.value_or(names[0].second);
    }
    std::vector<std::string> valid;
    for (const auto& [name, entry] : names) {
      if (name == *found) return entry;
      valid.emplace_back(name);
    }
    fail(*table.get(key), fmt::format("\"{}\" is none of {}{}", key, fmt::join(valid, ", "),
                                      did_you_mean(*found, valid)));
    return names[0].second;
  }

 private:
  std::string file_;
  std::optional<Error> problem_;
};

ToolCall read_tool_call(Reader& in, const toml::table& table) {
  in.only_keys(table, "a tool call", {"id", "name", "arguments"});
  ToolCall call;
  call.id = in.text(table, "id", false);
  call.name = in.text(table, "name", true);
  call.arguments = in.text(table, "arguments", true);
  return call;
}

template <class Read>
void read_tables(Reader& in, const toml::table& table, std::string_view key, const Read& read) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  if (array == nullptr) return in.fail(*node, fmt::format("\"{}\" must be a list of tables", key));
  for (const toml::node& entry : *array) {
    if (const toml::table* inner = entry.as_table()) {
      read(*inner);
    } else {
      in.fail(entry, fmt::format("\"{}\" must be a list of tables", key));
    }
  }
}

Message read_message(Reader& in, const toml::table& table) {
  in.only_keys(table, "a message", {"role", "content", "name", "tool_call_id", "tool_calls"});
  Message message;
  message.role = in.choice(table, "role", kRoles, {});
  message.content = in.text(table, "content", false);
  message.name = in.text(table, "name", false);
  message.tool_call_id = in.text(table, "tool_call_id", false);
  read_tables(in, table, "tool_calls", [&](const toml::table& call) {
    message.tool_calls.push_back(read_tool_call(in, call));
  });
  return message;
}

BehaviorExample read_example(Reader& in, const toml::table& table) {
  in.only_keys(table, "an example",
               {"name", "user", "prefix", "tools", "answer", "tool_calls", "finish",
                "cut_by_window", "expect", "severity", "why", "from_logs"});
  BehaviorExample example;
  example.line = table.source().begin.line;
  example.name = in.text(table, "name", true);
  example.tools = in.text(table, "tools", false);
  example.why = in.text(table, "why", false);
  example.content = in.text(table, "answer", false);
  example.finish = in.choice(table, "finish", kFinish, {FinishReason::kStop});
  example.expected = in.choice(table, "expect", kExpected, {});
  example.cut_by_window = in.value<bool>(table, "cut_by_window", "true or false").value_or(false);
  example.from_logs = in.value<bool>(table, "from_logs", "true or false").value_or(false);
  if (const auto severity = in.value<std::int64_t>(table, "severity", "a whole number")) {
    if (*severity < 0 || *severity >= static_cast<std::int64_t>(kSeverityLevels)) {
      in.fail(table, "\"severity\" must be 0 to 4");
    }
    example.severity = static_cast<std::uint8_t>(*severity);
  }
  read_tables(in, table, "prefix", [&](const toml::table& message) {
    example.prefix.push_back(read_message(in, message));
  });
  if (const std::string user = in.text(table, "user", false); !user.empty()) {
    Message message;
    message.content = user;
    example.prefix.push_back(std::move(message));
  }
  read_tables(in, table, "tool_calls", [&](const toml::table& call) {
    example.tool_calls.push_back(read_tool_call(in, call));
  });
  if (example.prefix.empty()) in.fail(table, "an example needs \"user\" or \"prefix\"");
  return example;
}

std::optional<RuleSpec> read_rule(Reader& in, const toml::table& root) {
  const toml::node* node = root.get("rule");
  if (node == nullptr) return std::nullopt;
  const toml::table* table = node->as_table();
  if (table == nullptr) return in.fail(*node, "\"rule\" must be a table"), std::nullopt;
  in.only_keys(*table, "[rule]", {"kind", "options", "numbers", "patterns"});
  RuleSpec rule;
  rule.line = table->source().begin.line;
  rule.kind = in.text(*table, "kind", true);
  const auto each = [&](std::string_view key, const auto& read) {
    const toml::node* part = table->get(key);
    if (part == nullptr) return;
    const toml::table* inner = part->as_table();
    if (inner == nullptr) return in.fail(*part, fmt::format("\"{}\" must be a table", key));
    for (const auto& [name, value] : *inner) read(*inner, std::string(name.str()), value);
  };
  each("options", [&](const toml::table& inner, const std::string& name, const toml::node&) {
    rule.options[name] = in.text(inner, name, true);
  });
  each("numbers", [&](const toml::table&, const std::string& name, const toml::node& value) {
    const auto number = value.value<double>();
    if (!number) in.fail(value, fmt::format("\"{}\" must be a number", name));
    rule.numbers[name] = number.value_or(0.0);
  });
  each("patterns", [&](const toml::table& inner, const std::string& name, const toml::node& value) {
    rule.patterns[name] = in.texts(inner, name, true);
    rule.pattern_lines[name] = value.source().begin.line;
  });
  return rule;
}

std::optional<JudgeSpec> read_judge(Reader& in, const toml::table& root) {
  const toml::node* node = root.get("judge");
  if (node == nullptr) return std::nullopt;
  const toml::table* table = node->as_table();
  if (table == nullptr) return in.fail(*node, "\"judge\" must be a table"), std::nullopt;
  in.only_keys(*table, "[judge]", {"rubric", "severity", "evidence_required", "score_threshold"});
  JudgeSpec judge;
  judge.rubric = in.text(*table, "rubric", true);
  judge.severity = in.texts(*table, "severity", false);
  if (!judge.severity.empty() && judge.severity.size() != kSeverityLevels) {
    in.fail(*table, "\"severity\" must say what each of 0 to 4 means: five texts");
  }
  judge.evidence_required =
      in.value<bool>(*table, "evidence_required", "true or false").value_or(true);
  judge.score_threshold = in.share(*table, "score_threshold");
  if (judge.score_threshold && !judge.severity.empty()) {
    in.fail(*table, "\"score_threshold\" and \"severity\" exclude each other");
  }
  return judge;
}

// A section that must be a table; null where it is not there.
const toml::table* section(Reader& in, const toml::table& root, std::string_view key) {
  const toml::node* node = root.get(key);
  if (node != nullptr && !node->is_table()) {
    in.fail(*node, fmt::format("\"{}\" must be a table", key));
  }
  return node == nullptr ? nullptr : node->as_table();
}

// Files stand beside the behavior file or below it: a name can't lead elsewhere.
void check_file(Reader& in, const toml::table& at, std::string_view name) {
  bool leads_out = name.empty() || name.front() == '/';
  for (const std::string_view part : split(name, '/')) leads_out = leads_out || part == "..";
  if (leads_out) in.fail(at, "a file must be named relative to the behavior file, without \"..\"");
}

std::optional<CommandSpec> read_command(Reader& in, const toml::table& root) {
  const toml::table* table = section(in, root, "command");
  if (table == nullptr) return std::nullopt;
  in.only_keys(*table, "[command]", {"argv", "files", "timeout_s", "threshold"});
  CommandSpec command;
  command.argv = in.texts(*table, "argv", true);
  command.files = in.texts(*table, "files", false);
  for (const std::string& file : command.files) check_file(in, *table, file);
  if (const toml::node* timeout = table->get("timeout_s")) {
    command.timeout_s = timeout->value<double>().value_or(0);
    if (!(command.timeout_s > 0 && command.timeout_s <= 86'400)) {
      in.fail(*timeout, "\"timeout_s\" must be a number of seconds, at most a day");
    }
  }
  command.threshold = in.share(*table, "threshold");
  return command;
}

std::optional<ModerationSpec> read_moderation(Reader& in, const toml::table& root) {
  const toml::table* table = section(in, root, "moderation");
  if (table == nullptr) return std::nullopt;
  in.only_keys(*table, "[moderation]", {"thresholds"});
  ModerationSpec moderation;
  if (const toml::table* thresholds = section(in, *table, "thresholds")) {
    for (const auto& [category, node] : *thresholds) {
      moderation.thresholds[std::string(category.str())] =
          in.share(*thresholds, category.str()).value_or(1);
    }
  }
  if (moderation.thresholds.empty()) in.fail(*table, "\"thresholds\" names no category");
  return moderation;
}

std::optional<TableSpec> read_table(Reader& in, const toml::table& root) {
  const toml::table* table = section(in, root, "table");
  if (table == nullptr) return std::nullopt;
  in.only_keys(*table, "[table]", {"path"});
  TableSpec spec{.path = in.text(*table, "path", true)};
  check_file(in, *table, spec.path);
  return spec;
}

// The sections that each way to decide needs; a rubric may stand beside any for an oracle to use.
void check_sections(Reader& in, const toml::table& root, const Behavior& behavior) {
  const DecidedBy by = behavior.decided_by;
  const bool ruled = by == DecidedBy::kRule || by == DecidedBy::kRuleAndJudge;
  const bool judged = by == DecidedBy::kRuleAndJudge || by == DecidedBy::kJudge;
  const bool may_be_judged = judged || !ruled;
  struct Section {
    const char* name;
    bool there, needed, allowed;
  };
  for (const Section& one : {Section{"[rule]", behavior.rule.has_value(), ruled, ruled},
                             Section{"[judge]", behavior.judge.has_value(), judged, may_be_judged},
                             Section{"[command]", behavior.command.has_value(),
                                     by == DecidedBy::kCommand, by == DecidedBy::kCommand},
                             Section{"[moderation]", behavior.moderation.has_value(),
                                     by == DecidedBy::kModeration, by == DecidedBy::kModeration},
                             Section{"[table]", behavior.table.has_value(), by == DecidedBy::kTable,
                                     by == DecidedBy::kTable}}) {
    if (one.there ? one.allowed : !one.needed) continue;
    in.fail(root, fmt::format("\"decided_by\" is \"{}\", so the file must have {}{}",
                              decided_by_name(by), one.there ? "no " : "", one.name));
  }
}

void check_whole(Reader& in, const toml::table& root, const Behavior& behavior) {
  if (!is_identifier(behavior.id)) {
    in.fail(root, "\"id\" must be lowercase letters, digits and underscores, at most 64");
  }
  check_sections(in, root, behavior);
  std::set<std::string> names;
  bool has_present = false;
  bool has_absent = false;
  for (const BehaviorExample& example : behavior.examples) {
    if (!names.insert(example.name).second) {
      in.fail(example.line, "two examples have the same name");
    }
    has_present = has_present || example.expected == Verdict::kPresent;
    has_absent = has_absent || example.expected == Verdict::kAbsent;
  }
  if (!has_present || !has_absent) {
    in.fail(root, "a boundary needs at least one example that is present and one that is absent");
  }
}

Json message_json(const Message& message) {
  Json json = {{"role", role_name(message.role)}, {"content", message.content}};
  if (!message.name.empty()) json["name"] = message.name;
  if (!message.tool_call_id.empty()) json["tool_call_id"] = message.tool_call_id;
  return json;
}

Json calls_json(const std::vector<ToolCall>& calls) {
  Json json = Json::array();
  for (const ToolCall& call : calls) {
    json.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
  }
  return json;
}

Json example_json(const BehaviorExample& example) {
  Json prefix = Json::array();
  for (const Message& message : example.prefix) {
    Json entry = message_json(message);
    if (!message.tool_calls.empty()) entry["tool_calls"] = calls_json(message.tool_calls);
    prefix.push_back(std::move(entry));
  }
  Json json = {{"name", example.name},
               {"prefix", std::move(prefix)},
               {"answer", example.content},
               {"finish", name_in(kFinish, example.finish)},
               {"cut_by_window", example.cut_by_window},
               {"expect", name_in(kExpected, example.expected)}};
  if (!example.tools.empty()) json["tools"] = example.tools;
  if (!example.why.empty()) json["why"] = example.why;
  if (!example.tool_calls.empty()) json["tool_calls"] = calls_json(example.tool_calls);
  if (example.severity) json["severity"] = *example.severity;
  return json;
}

// JSON values as TOML nodes: the frozen form is read by the same code as the file.
toml::table to_toml(const Json& object);
void add_to(toml::array& array, const Json& value);

template <class Insert>
void convert(const Json& value, const Insert& insert) {
  switch (value.type()) {
    case Json::value_t::string:
      return insert(value.get<std::string>());
    case Json::value_t::boolean:
      return insert(value.get<bool>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return insert(value.get<std::int64_t>());
    case Json::value_t::number_float:
      return insert(value.get<double>());
    case Json::value_t::object:
      return insert(to_toml(value));
    case Json::value_t::array: {
      toml::array array;
      for (const Json& entry : value) add_to(array, entry);
      return insert(std::move(array));
    }
    default:
      return;  // null: not there
  }
}

void add_to(toml::array& array, const Json& value) {
  convert(value, [&](auto&& node) { array.push_back(std::forward<decltype(node)>(node)); });
}

toml::table to_toml(const Json& object) {
  toml::table table;
  for (const auto& [key, value] : object.items()) {
    convert(value, [&](auto&& node) { table.insert(key, std::forward<decltype(node)>(node)); });
  }
  return table;
}

Result<Behavior> read_behavior(const toml::table& root, std::string_view file) {
  Reader in(file);
  in.only_keys(
      root, "a behavior file",
      {"format", "id", "title", "group", "decided_by", "version", "unit", "languages", "definition",
       "counts", "does_not_count", "rule", "judge", "command", "moderation", "table", "example"});
  Behavior behavior;
  behavior.file = file;
  const auto format = in.value<std::int64_t>(root, "format", "a whole number");
  if (format.value_or(0) != kBehaviorFormat) {
    in.fail(root, fmt::format("\"format\" must be {}: the version of the file format that this "
                              "program reads",
                              kBehaviorFormat));
  }
  behavior.id = in.text(root, "id", true);
  if (const toml::node* id = root.get("id")) behavior.line = id->source().begin.line;
  behavior.title = in.text(root, "title", true);
  behavior.group = in.choice(root, "group", kGroups, {});
  behavior.decided_by = in.choice(root, "decided_by", kDecidedBy, {});
  const auto version = in.value<std::int64_t>(root, "version", "a whole number");
  if (version.value_or(0) < 1 || version.value_or(0) > 1'000'000) {
    in.fail(root, "\"version\" must be a whole number from 1 on");
  }
  behavior.version = static_cast<std::uint32_t>(version.value_or(1));
  behavior.unit = in.text(root, "unit", true);
  if (behavior.unit != "answer") in.fail(root, "\"unit\" must be \"answer\"");
  behavior.languages = in.texts(root, "languages", false);
  behavior.definition = in.text(root, "definition", true);
  behavior.counts = in.texts(root, "counts", true);
  behavior.does_not_count = in.texts(root, "does_not_count", true);
  behavior.rule = read_rule(in, root);
  behavior.judge = read_judge(in, root);
  behavior.command = read_command(in, root);
  behavior.moderation = read_moderation(in, root);
  behavior.table = read_table(in, root);
  read_tables(in, root, "example", [&](const toml::table& table) {
    behavior.examples.push_back(read_example(in, table));
  });
  check_whole(in, root, behavior);
  if (!in.ok()) return unexpected(in.problem());
  behavior.hash = sha256(write_json(behavior_json(behavior), JsonStyle::kCanonical));
  return behavior;
}

}  // namespace

std::string_view group_name(BehaviorGroup group) {
  return name_in(kGroups, group);
}

std::string_view decided_by_name(DecidedBy decided_by) {
  return name_in(kDecidedBy, decided_by);
}

Result<Behavior> parse_behavior(std::string_view toml, std::string_view file) {
  // toml++ throws on syntax errors; its exception ends here.
  try {
    return read_behavior(toml::parse(toml, file), file);
  } catch (const toml::parse_error& error) {
    return unexpected(ErrorCode::kUsage, fmt::format("not valid TOML: {}", error.description()),
                      ErrorContext{std::string(file), error.source().begin.line, std::nullopt});
  }
}

Json behavior_json(const Behavior& behavior) {
  Json examples = Json::array();
  for (const BehaviorExample& example : behavior.examples) {
    examples.push_back(example_json(example));
  }
  Json json = {{"format", kBehaviorFormat},
               {"id", behavior.id},
               {"title", behavior.title},
               {"group", group_name(behavior.group)},
               {"decided_by", decided_by_name(behavior.decided_by)},
               {"version", behavior.version},
               {"unit", behavior.unit},
               {"languages", behavior.languages},
               {"definition", behavior.definition},
               {"counts", behavior.counts},
               {"does_not_count", behavior.does_not_count},
               {"example", std::move(examples)}};
  if (behavior.rule) {
    json["rule"] = {{"kind", behavior.rule->kind},
                    {"options", behavior.rule->options},
                    {"numbers", behavior.rule->numbers},
                    {"patterns", behavior.rule->patterns}};
  }
  if (behavior.judge) {
    json["judge"] = {{"rubric", behavior.judge->rubric},
                     {"severity", behavior.judge->severity},
                     {"evidence_required", behavior.judge->evidence_required}};
    if (behavior.judge->score_threshold) {
      json["judge"]["score_threshold"] = *behavior.judge->score_threshold;
    }
  }
  if (behavior.command) {
    json["command"] = {{"argv", behavior.command->argv},
                       {"files", behavior.command->files},
                       {"timeout_s", behavior.command->timeout_s}};
    if (behavior.command->threshold) json["command"]["threshold"] = *behavior.command->threshold;
  }
  if (behavior.moderation) {
    json["moderation"] = {{"thresholds", behavior.moderation->thresholds}};
  }
  if (behavior.table) json["table"] = {{"path", behavior.table->path}};
  return json;
}

Result<Behavior> behavior_from_json(const Json& document) {
  if (!document.is_object()) {
    return unexpected(ErrorCode::kUsage, "a frozen behavior must be a JSON object");
  }
  return read_behavior(to_toml(document), "frozen behavior");
}

}  // namespace understudy
