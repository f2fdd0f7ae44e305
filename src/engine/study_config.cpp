#include "engine/study_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <toml++/toml.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "model/model_spec.hpp"

namespace understudy {
namespace {

// Reads one table, remembers which keys are known, and keeps the first error.
class TableReader {
 public:
  TableReader(const toml::table* table, std::string section, std::string_view file,
              std::optional<Error>& error)
      : table_(table), section_(std::move(section)), file_(file), error_(error) {}

  void read(std::string_view key, std::string& out) { read_as(key, out, "a string"); }
  void read(std::string_view key, bool& out) { read_as(key, out, "true or false"); }
  void read(std::string_view key, double& out) { read_as(key, out, "a number"); }
  void read(std::string_view key, std::optional<double>& out) { read_optional(key, out); }
  template <class Unsigned>
    requires std::is_unsigned_v<Unsigned>
  void read(std::string_view key, Unsigned& out) {
    std::int64_t value = static_cast<std::int64_t>(out);
    read_as(key, value, "a whole number");
    if (value < 0 || value > 1'000'000'000'000 ||
        static_cast<std::uint64_t>(value) > std::numeric_limits<Unsigned>::max()) {
      fail(key, "is out of range");
      return;
    }
    out = static_cast<Unsigned>(value);
  }
  template <class Unsigned>
    requires std::is_unsigned_v<Unsigned>
  void read(std::string_view key, std::optional<Unsigned>& out) {
    read_optional(key, out);
  }

  void read(std::string_view key, std::vector<std::string>& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return fail(key, "must be an array of strings");
    out.clear();
    for (const toml::node& item : *array) {
      const auto text = item.value_exact<std::string>();
      if (!text) return fail(key, "must be an array of strings");
      out.push_back(*text);
    }
  }

  /// One of a few words; `out` is its position.
  void read_choice(std::string_view key, const std::vector<std::string>& choices,
                   std::size_t& out) {
    std::string word = choices[out];
    read(key, word);
    const auto found = std::find(choices.begin(), choices.end(), word);
    if (found == choices.end()) {
      return fail(key, fmt::format("must be one of {}{}", fmt::join(choices, ", "),
                                   did_you_mean(word, choices)));
    }
    out = static_cast<std::size_t>(found - choices.begin());
  }

  /// A section below this one; its keys are the caller's to read. Null where it is not there.
  const toml::table* section(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) fail(key, "must be a table");
    return node->as_table();
  }

  /// After all reads: whatever else is in the table is a mistake.
  void finish() {
    if (table_ == nullptr) return;
    for (const auto& [key, node] : *table_) {
      const std::string name(key.str());
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
        fail_at(key.source().begin.line,
                fmt::format("unknown key \"{}\"{}{}", name,
                            section_.empty() ? "" : " in [" + section_ + "]",
                            did_you_mean(name, known_)));
      }
    }
  }

  void fail(std::string_view key, std::string_view what) {
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
    fail_at(node == nullptr ? 0 : node->source().begin.line,
            fmt::format("{}{}{} {}", section_, section_.empty() ? "" : ".", key, what));
  }

 private:
  const toml::node* find(std::string_view key) {
    known_.emplace_back(key);
    return table_ == nullptr ? nullptr : table_->get(key);
  }

  template <class T>
  void read_as(std::string_view key, T& out, std::string_view type) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::optional<T> value =
        std::is_same_v<T, double> ? node->value<T>() : node->value_exact<T>();
    if (!value) return fail(key, fmt::format("must be {}", type));
    out = *value;
  }

  template <class T>
  void read_optional(std::string_view key, std::optional<T>& out) {
    T value{};
    if (table_ != nullptr && table_->contains(key)) {
      read(key, value);
      out = value;
    } else {
      known_.emplace_back(key);
    }
  }

  void fail_at(std::uint64_t line, std::string message) {
    if (error_) return;
    error_ = Error{ErrorCode::kUsage,
                   std::move(message),
                   {.file = std::string(file_), .line = {}, .byte_offset = {}}};
    if (line > 0) error_->where.line = line;
  }

  const toml::table* table_;
  std::string section_;
  std::string_view file_;
  std::optional<Error>& error_;
  std::vector<std::string> known_;
};

struct Parser {
  std::string_view file;
  std::optional<Error> error;

  TableReader reader(const toml::table* table, std::string section) {
    return {table, std::move(section), file, error};
  }

  void model(const toml::table* table, const std::string& section, ModelConfig& out) {
    TableReader in = reader(table, section);
    in.read("model", out.model);
    in.read("base_url", out.base_url);
    in.read("temperature", out.sampling.temperature);
    in.read("top_p", out.sampling.top_p);
    in.read("max_tokens", out.sampling.max_tokens);
    in.read("logprobs", out.sampling.logprobs);
    if (section == "candidate" || section == "deployed") in.read("system", out.system);
    in.finish();
  }

  void logs(const toml::table* table, StudyConfig::Logs& out) {
    TableReader in = reader(table, "logs");
    in.read("paths", out.paths);
    in.read("format", out.format);
    in.read("source", out.source);
    in.read("cluster", out.cluster);
    in.read("model", out.model);
    std::size_t duplicates = 0;
    in.read_choice("duplicates", {"id", "content"}, duplicates);
    out.duplicates_by_content = duplicates == 1;
    if (const toml::table* eligible = in.section("eligible")) {
      for (const auto& [key, node] : *eligible) {
        Json wanted;
        if (const auto flag = node.value_exact<bool>())
          wanted = *flag;
        else if (const auto text = node.value_exact<std::string>())
          wanted = *text;
        else if (const auto integer = node.value_exact<std::int64_t>())
          wanted = *integer;
        else if (const auto number = node.value_exact<double>())
          wanted = *number;
        else
          in.fail("eligible", "takes strings, numbers and booleans (quote keys that have dots)");
        out.eligible.emplace_back(std::string(key.str()), std::move(wanted));
      }
    }
    in.finish();
  }

  void sample(const toml::table* table, StudyConfig::Sample& out) {
    TableReader in = reader(table, "sample");
    std::size_t unit = 0;
    in.read_choice("unit", {"turn", "final_turn"}, unit);
    out.unit = unit == 0 ? Unit::kTurn : Unit::kFinalTurn;
    in.read("prefixes", out.prefixes);
    in.read("draws", out.draws);
    in.read("seed", out.seed);
    std::size_t design = 0;
    in.read_choice("design", {"uniform", "risk"}, design);
    out.by_risk = design == 1;
    in.read("prefix_tokens_max", out.prefix_tokens_max);
    in.read("tokenizer", out.tokenizer);
    std::size_t cut = 0;
    in.read_choice("cut", {"any", "user"}, cut);
    out.after_users_only = cut == 1;
    in.finish();
  }

  void tools(const toml::table* table, StudyConfig::Tools& out) {
    TableReader in = reader(table, "tools");
    in.read("max_steps", out.max_steps);
    in.read("max_tokens", out.max_tokens);
    in.read("max_seconds", out.max_seconds);
    in.read("max_cost", out.max_cost);
    each(in, "rules", [&](const std::string& name, TableReader& fields, const toml::table& entry) {
      StudyConfig::Tools::Rule rule{
          .tool = name, .effect = {}, .free_arguments = {}, .ignore_case = false};
      std::size_t effect = 0;
      fields.read_choice("effect", {"read", "write", "command"}, effect);
      if (entry.contains("effect")) rule.effect = effect;
      fields.read("free_arguments", rule.free_arguments);
      fields.read("ignore_case", rule.ignore_case);
      out.rules.push_back(std::move(rule));
    });
    each(in, "servers", [&](const std::string& name, TableReader& fields, const toml::table&) {
      StudyConfig::Tools::Server server{.name = name, .command = {}, .environment = {}};
      fields.read("command", server.command);
      fields.read("environment", server.environment);
      fields.read("url", server.url);
      fields.read("only_reads", server.only_reads);
      fields.read("call_s", server.call_s);
      if (server.command.empty() == server.url.empty()) {
        fields.fail("command", "or url: one of the two says where the server is");
      }
      out.servers.push_back(std::move(server));
    });
    if (const toml::table* command = in.section("command")) {
      StudyConfig::Tools::Command& made = out.command.emplace();
      TableReader fields = reader(command, "tools.command");
      fields.read("tool", made.tool);
      fields.read("argument", made.argument);
      fields.read("repository", made.repository);
      fields.read("commit", made.commit);
      fields.read("folder", made.folder);
      fields.read("call_s", made.call_s);
      fields.finish();
      if (made.repository.empty()) fields.fail("repository", "is missing");
      if (made.commit.empty()) fields.fail("commit", "is missing");
    }
    in.finish();
  }

  /// Reads every table below `key`: read(name, its reader, the table).
  template <class Read>
  void each(TableReader& in, const std::string& key, const Read& read) {
    const toml::table* const tables = in.section(key);
    if (tables == nullptr) return;
    TableReader names = reader(tables, "tools." + key);
    for (const auto& [name, node] : *tables) {
      const std::string text(name.str());
      const toml::table* const entry = names.section(text);
      if (entry == nullptr) return;
      TableReader fields = reader(entry, fmt::format("tools.{}.{}", key, text));
      read(text, fields, *entry);
      fields.finish();
    }
  }

  void limits(TableReader& root, StudyConfig& out) {
    TableReader replay = reader(root.section("replay"), "replay");
    replay.read("max_connections", out.replay.max_connections);
    replay.read("deadline_s", out.replay.deadline_s);
    replay.read("embedded_memory_mb", out.replay.embedded_memory_mb);
    replay.finish();
    TableReader egress = reader(root.section("egress"), "egress");
    egress.read("allow", out.egress_allow);
    egress.finish();
    TableReader budget = reader(root.section("budget"), "budget");
    budget.read("cost", out.budget.cost);
    budget.read("tokens", out.budget.tokens);
    budget.read("seconds", out.budget.seconds);
    budget.read("prices", out.budget.prices);
    budget.finish();
    if (const toml::table* table = root.section("prices")) prices(*table, "prices.", out.prices);
    if (const toml::table* gate = root.section("gate")) {
      for (const auto& [key, node] : *gate) {
        TableReader in = reader(gate, "gate");
        in.read(key.str(), out.gate[std::string(key.str())]);
      }
    }
  }

  void prices(const toml::table& table, const std::string& section,
              std::map<std::string, TokenPrice>& out) {
    for (const auto& [model, node] : table) {
      const std::string name(model.str());
      TableReader in = reader(&table, section);
      const toml::table* const entry = in.section(name);
      if (entry == nullptr) return;
      TokenPrice price;
      TableReader fields = reader(entry, fmt::format("{}\"{}\"", section, name));
      fields.read("input", price.input);
      fields.read("output", price.output);
      fields.finish();
      for (const char* key : {"input", "output"}) {
        if (!entry->contains(key)) fields.fail(key, "is missing: per million tokens");
      }
      if (!(price.input >= 0 && price.output >= 0)) fields.fail("input", "must not be negative");
      out.emplace(name, price);
    }
  }

  StudyConfig study(const toml::table& table) {
    StudyConfig config;
    TableReader root = reader(&table, "");
    logs(root.section("logs"), config.logs);
    sample(root.section("sample"), config.sample);
    model(root.section("candidate"), "candidate", config.candidate);
    if (const toml::table* deployed = root.section("deployed")) {
      model(deployed, "deployed", config.deployed.emplace());
    }
    if (const toml::table* roles = root.section("roles")) {
      TableReader in = reader(roles, "roles");
      for (const char* role :
           {"judge", "oracle", "moderation", "simulator", "auditor", "embedder"}) {
        ModelConfig model;
        // A name is enough; a table sets more: judge = {model = "…", temperature = 0}.
        if (const toml::node* node = roles->get(role); node != nullptr && node->is_table()) {
          this->model(in.section(role), fmt::format("roles.{}", role), model);
        } else {
          in.read(role, model.model);
        }
        if (!model.model.empty()) config.roles[role] = model;
      }
      in.finish();
    }
    tools(root.section("tools"), config.tools);
    TableReader grade = reader(root.section("grade"), "grade");
    grade.read("behaviors", config.grade.behaviors);
    grade.read("window_tokens", config.grade.window_tokens);
    grade.read("audit", config.grade.audit);
    grade.read("behaviors_per_call", config.grade.behaviors_per_call);
    grade.read("oracle_budget", config.grade.oracle_budget);
    grade.finish();
    TableReader target = reader(root.section("target"), "target");
    target.read("logs", config.target.logs);
    target.read("table", config.target.table);
    target.finish();
    TableReader placebo = reader(root.section("placebo"), "placebo");
    placebo.read("period_days", config.placebo.period_days);
    placebo.read("horizon", config.placebo.horizon);
    placebo.finish();
    TableReader estimate = reader(root.section("estimate"), "estimate");
    estimate.read("anytime", config.estimate.anytime);
    estimate.finish();
    TableReader forecast = reader(root.section("forecast"), "forecast");
    forecast.read("history", config.forecast.history);
    forecast.read("shift_sd", config.forecast.shift_sd);
    forecast.read("challenging_prompts", config.forecast.challenging_prompts);
    forecast.finish();
    limits(root, config);
    root.finish();
    return config;
  }
};

Json model_json(const ModelConfig& config) {
  Json json = {{"model", config.model}};
  if (config.sampling.temperature) json["temperature"] = *config.sampling.temperature;
  if (config.sampling.top_p) json["top_p"] = *config.sampling.top_p;
  if (config.sampling.max_tokens) json["max_tokens"] = *config.sampling.max_tokens;
  if (config.sampling.logprobs) json["logprobs"] = true;
  if (!config.system.empty()) json["system"] = config.system;
  return json;
}

// Which calls a trajectory may make, and what answers them.
Json tools_json(const StudyConfig::Tools& tools) {
  Json json = {{"max_steps", tools.max_steps}};
  if (tools.max_tokens) json["max_tokens"] = *tools.max_tokens;
  if (tools.max_seconds) json["max_seconds"] = *tools.max_seconds;
  if (tools.max_cost) json["max_cost"] = *tools.max_cost;
  for (const auto& rule : tools.rules) {
    Json& one = json["rules"][rule.tool];
    one = {{"free_arguments", rule.free_arguments}, {"ignore_case", rule.ignore_case}};
    if (rule.effect) one["effect"] = *rule.effect;
  }
  for (const auto& server : tools.servers) {
    Json& one = json["servers"][server.name];
    one = server.url.empty() ? Json(server.command) : Json(server.url);
    if (!server.only_reads.empty()) one = {{"at", one}, {"only_reads", server.only_reads}};
  }
  if (tools.command) {
    json["command"] = {{"tool", tools.command->tool},
                       {"argument", tools.command->argument},
                       {"commit", tools.command->commit}};
  }
  return json;
}

}  // namespace

std::optional<std::uint32_t> StudyConfig::window_tokens() const {
  return grade.window_tokens ? grade.window_tokens : candidate.sampling.max_tokens;
}

namespace {

Result<toml::table> parse_toml(std::string_view text, std::string_view file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return unexpected(
        ErrorCode::kUsage, std::string(error.description()),
        {.file = std::string(file), .line = error.source().begin.line, .byte_offset = {}});
  }
}

}  // namespace

Result<StudyConfig> parse_study_config(std::string_view toml, std::string_view file) {
  UNDERSTUDY_TRY(const toml::table table, parse_toml(toml, file));
  Parser parser{.file = file, .error = {}};
  StudyConfig config = parser.study(table);
  if (parser.error) return unexpected(*parser.error);
  return config;
}

Result<void> add_prices(std::string_view toml, std::string_view file,
                        std::map<std::string, TokenPrice>& prices) {
  UNDERSTUDY_TRY(const toml::table table, parse_toml(toml, file));
  Parser parser{.file = file, .error = {}};
  parser.prices(table, "", prices);
  if (parser.error) return unexpected(*parser.error);
  return {};
}

Result<StudyConfig> load_study_config(const std::string& directory) {
  const std::string path = directory + "/study.toml";
  const auto text = file_bytes(path);
  if (!text) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("cannot read {}: make a study with `understudy init {} --logs "
                                  "PATH --model PROVIDER/NAME`",
                                  path, directory));
  }
  UNDERSTUDY_TRY(StudyConfig config, parse_study_config(*text, path));
  if (config.budget.prices.empty()) return config;
  const std::string prices = (std::filesystem::path(directory) / config.budget.prices).string();
  const auto table = file_bytes(prices);
  if (!table) {
    return unexpected(ErrorCode::kUsage, fmt::format("budget.prices: cannot read {}", prices));
  }
  UNDERSTUDY_CHECK(add_prices(*table, prices, config.prices));
  return config;
}

Json manifest_json(const StudyConfig& config) {
  Json eligible = Json::object();
  for (const auto& [path, wanted] : config.logs.eligible) eligible[path] = wanted;
  Json json = {
      {"logs",
       {{"source", config.logs.source},
        {"format", config.logs.format},
        {"cluster", config.logs.cluster},
        {"duplicates", config.logs.duplicates_by_content ? "content" : "id"},
        {"eligible", eligible}}},
      {"sample",
       {{"unit", config.sample.unit == Unit::kTurn ? "turn" : "final_turn"},
        {"prefixes", config.sample.prefixes},
        {"draws", config.sample.draws},
        {"seed", config.sample.seed},
        {"prefix_tokens_max",
         config.sample.prefix_tokens_max ? Json(*config.sample.prefix_tokens_max) : Json()}}},
      {"candidate", model_json(config.candidate)},
      {"deployed", config.deployed ? model_json(*config.deployed) : Json()},
      {"window_tokens", config.window_tokens() ? Json(*config.window_tokens()) : Json()},
  };
  // Named where it is not the default, so that older studies keep their fingerprints.
  if (config.sample.by_risk) json["sample"]["design"] = "risk";
  if (config.sample.after_users_only) json["sample"]["cut"] = "user";
  if (config.tools.are_replayed()) json["tools"] = tools_json(config.tools);
  if (config.placebo.period_days != 7 || config.placebo.horizon != 1) {
    json["placebo"] = {{"period_days", config.placebo.period_days},
                       {"horizon", config.placebo.horizon}};
  }
  if (config.estimate.anytime) json["anytime"] = true;
  json["roles"] = Json::object();
  for (const auto& [role, model] : config.roles) json["roles"][role] = model_json(model);
  return json;
}

std::string study_toml(const StudyTemplate& parts) {
  const auto quoted = [](const std::string& text) {
    return write_json(Json(text), JsonStyle::kCanonical);  // TOML basic strings escape as JSON does
  };
  std::string out;
  for (const std::string_view line : split(parts.comment, '\n')) out += fmt::format("# {}\n", line);
  std::vector<std::string> paths;
  for (const std::string& path : parts.log_paths) paths.push_back(quoted(path));
  out += fmt::format(
      "\n[logs]\n"
      "paths = [{}]          # JSONL, WildChat or ShareGPT; plain, .gz or .zst; globs\n"
      "# format = \"auto\"\n"
      "# cluster = \"metadata.user\"   # who wrote it: intervals are clustered by this\n"
      "# duplicates = \"id\"           # or \"content\": equal texts are counted once\n{}"
      "# [logs.eligible]             # only conversations with these values, others counted out\n"
      "# \"metadata.training_consent\" = true\n"
      "\n[sample]\n"
      "# unit = \"turn\"               # every turn alike; or \"final_turn\"\n"
      "# design = \"uniform\"          # or \"risk\": oftener where Y's own flags are likely\n"
      "# cut = \"any\"                 # after user messages and tool results; or \"user\"\n{}"
      "\n[candidate]\n"
      "model = {}\n"
      "# temperature, top_p, max_tokens: only if set; default is what the server does\n{}"
      "\n# [deployed]                  # the model behind the logs, if it can be called: Y -> Y\n"
      "# model = \"openai/gpt-5.1\"\n"
      "\n# [roles]\n"
      "# judge = \"openai/...\"        # verifies flags; screens behaviors without a rule\n"
      "# oracle = \"openai/...\"       # a stronger one that verifies flags and an audit\n"
      "# moderation = \"openai/...\"   # for behavior files that it decides\n"
      "# auditor = \"openai/...\"      # notes what no behavior names: discover --audit\n"
      "# embedder = \"openai/...\"     # groups answers by meaning: discover --embed\n"
      "\n# [tools]                     # agents: the answers of a draw until one calls no tool\n"
      "# max_steps = 30             # docs/agents.md; 1: the first answer is the draw\n"
      "\n# [grade]                     # default: every behavior that has a rule\n"
      "# behaviors = [\"promised_background_task\", \"ours.toml\"]\n"
      "# behaviors_per_call = 1     # more: cheaper judging, less exact (behaviors probe)\n"
      "# audit = 200                # unflagged answers the oracle verifies, each behavior and "
      "arm\n"
      "# oracle_budget = 1_000      # all that it is asked about each; more flags are sampled\n"
      "\n# [target]                    # rates of other traffic than the logs'\n"
      "# logs = [\"recent/*.jsonl\"]   # like this, unlabeled\n"
      "# table = \"target.csv\"        # or with these shares: dimension,stratum,share\n"
      "\n# [placebo]                   # how far rates drift: past weeks forecast later ones\n"
      "# period_days = 7\n"
      "# horizon = 1                # weeks from the end of the logs to the launch\n"
      "\n# [estimate]\n"
      "# anytime = false            # true: wider intervals that hold however often you look\n"
      "\n# [forecast]\n"
      "# history = \"releases.csv\"    # past releases: what replay said, what then happened\n"
      "# shift_sd = 0.3             # of ln rate, between the logs and the deployment\n"
      "\n# [egress]                    # off loopback, only these hosts ever receive text\n"
      "# allow = [\"api.example.com\"]\n"
      "\n# [budget]                    # pauses, never truncates\n"
      "# cost = 200.0\n",
      fmt::join(paths, ", "), parts.logs_extra, parts.sample_extra, quoted(parts.candidate_model),
      parts.candidate_extra);
  return out;
}

}  // namespace understudy
