#include <fmt/format.h>

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "base/text.hpp"
#include "testing/mock_server.hpp"
#include "testing/mock_server_answers.hpp"

namespace understudy {
namespace {

class ScenarioReader {
 public:
  ScenarioReader(std::string_view file, MockServerOptions options)
      : file_(file), options_(std::move(options)) {}

  Result<MockServerOptions> read(const toml::table& root) {
    UNDERSTUDY_CHECK(only(root, {"seed", "latency_ms", "rate_limit", "rate_limits", "error_rate",
                                 "environment_bias", "models"}));
    if (const toml::node* node = root.get("seed")) {
      UNDERSTUDY_TRY(const double seed, number(*node, "seed", 0, 0x1p53));
      options_.seed = static_cast<std::uint64_t>(seed);
    }
    if (const toml::node* node = root.get("latency_ms")) {
      UNDERSTUDY_TRY(const double latency_ms, number(*node, "latency_ms", 0, 1e9));
      options_.latency_ms = static_cast<std::int64_t>(latency_ms);
    }
    if (const toml::node* node = root.get("error_rate")) {
      UNDERSTUDY_TRY(options_.error_rate, number(*node, "error_rate", 0, 1));
    }
    if (const toml::node* node = root.get("rate_limit")) {
      UNDERSTUDY_TRY(const double per_s, number(*node, "rate_limit", 0, 1e9));
      options_.rate_limits = {{.after_ms = 0, .requests_per_s = per_s}};
    }
    if (const toml::node* node = root.get("rate_limits")) UNDERSTUDY_CHECK(read_limits(*node));
    if (const toml::node* node = root.get("models")) UNDERSTUDY_CHECK(read_models(*node));
    if (const toml::node* node = root.get("environment_bias")) {
      UNDERSTUDY_TRY(const double bias, number(*node, "environment_bias", 0, 1e6));
      for (MockModel& model : options_.models) {
        for (auto& [behavior, rate] : model.rates) rate = std::min(rate * bias, 1.0);
      }
    }
    return std::move(options_);
  }

 private:
  [[nodiscard]] Unexpected wrong(const toml::node& node, std::string message) const {
    return unexpected(
        ErrorCode::kUsage, std::move(message),
        {.file = std::string(file_), .line = node.source().begin.line, .byte_offset = {}});
  }

  Result<void> only(const toml::table& table, std::vector<std::string> keys) const {
    for (const auto& [key, node] : table) {
      if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
      return unexpected(
          ErrorCode::kUsage,
          fmt::format("unknown key \"{}\"{}", key.str(), did_you_mean(key.str(), keys)),
          {.file = std::string(file_), .line = key.source().begin.line, .byte_offset = {}});
    }
    return {};
  }

  Result<double> number(const toml::node& node, std::string_view name, double low,
                        double high) const {
    const std::optional<double> value = node.value<double>();
    if (!node.is_number() || !value || *value < low || *value > high) {
      return wrong(node, fmt::format("\"{}\" must be a number from {} to {}", name, low, high));
    }
    return *value;
  }

  Result<void> read_limits(const toml::node& node) {
    const toml::array* const steps = node.as_array();
    if (steps == nullptr) return wrong(node, "\"rate_limits\" must be written as [[rate_limits]]");
    options_.rate_limits.clear();
    for (const toml::node& item : *steps) {
      const toml::table* const step = item.as_table();
      if (step == nullptr) return wrong(item, "\"rate_limits\" must hold tables");
      UNDERSTUDY_CHECK(only(*step, {"after_s", "per_s"}));
      const toml::node* const after = step->get("after_s");
      const toml::node* const per = step->get("per_s");
      if (after == nullptr || per == nullptr) return wrong(item, "needs after_s and per_s");
      UNDERSTUDY_TRY(const double after_s, number(*after, "after_s", 0, 1e6));
      UNDERSTUDY_TRY(const double per_s, number(*per, "per_s", 0, 1e9));
      options_.rate_limits.push_back(
          {.after_ms = static_cast<std::int64_t>(after_s * 1000), .requests_per_s = per_s});
    }
    std::stable_sort(
        options_.rate_limits.begin(), options_.rate_limits.end(),
        [](const MockRateLimit& a, const MockRateLimit& b) { return a.after_ms < b.after_ms; });
    return {};
  }

  Result<void> read_models(const toml::node& node) {
    const toml::table* const models = node.as_table();
    if (models == nullptr) return wrong(node, "\"models\" must hold tables: [models.NAME]");
    for (const auto& [name, item] : *models) {
      const toml::table* const table = item.as_table();
      if (table == nullptr) return wrong(item, "a model must be a table: [models.NAME]");
      UNDERSTUDY_TRY(MockModel model, read_model(std::string(name.str()), *table));
      options_.models.push_back(std::move(model));
    }
    return {};
  }

  Result<MockModel> read_model(std::string name, const toml::table& table) const {
    MockModel model;
    model.name = std::move(name);
    const toml::node* const role = table.get("role");
    const std::string role_name = role == nullptr ? "candidate" : role->value_or(std::string());
    if (role_name == "candidate" || role_name == "deployed") {
      model.role = role_name == "candidate" ? MockRole::kCandidate : MockRole::kDeployed;
      UNDERSTUDY_CHECK(only(table, {"role", "rates", "tool_calls", "parallel_calls", "faults"}));
      UNDERSTUDY_CHECK(read_tools(table, model));
    } else if (role_name == "judge") {
      model.role = MockRole::kJudge;
      UNDERSTUDY_CHECK(only(table, {"role", "sensitivity", "specificity"}));
    } else if (role_name == "oracle") {
      model.role = MockRole::kOracle;
      UNDERSTUDY_CHECK(only(table, {"role"}));
    } else if (role_name == "auditor") {
      model.role = MockRole::kAuditor;
      UNDERSTUDY_CHECK(only(table, {"role", "sensitivity", "false_notes", "misconduct"}));
      UNDERSTUDY_CHECK(read_chances(table, "misconduct",
                                    {{"listed", &model.misconduct.listed},
                                     {"essay", &model.misconduct.essay},
                                     {"echo", &model.misconduct.echo},
                                     {"malformed", &model.misconduct.malformed}}));
    } else {
      const std::vector<std::string> roles = {"candidate", "deployed", "judge", "oracle",
                                              "auditor"};
      return wrong(*role, fmt::format("unknown role{}: candidate, deployed, judge, oracle or "
                                      "auditor",
                                      did_you_mean(role_name, roles)));
    }
    if (const toml::node* node = table.get("sensitivity")) {
      UNDERSTUDY_TRY(model.sensitivity, number(*node, "sensitivity", 0, 1));
    }
    if (const toml::node* node = table.get("specificity")) {
      UNDERSTUDY_TRY(model.specificity, number(*node, "specificity", 0, 1));
    }
    if (const toml::node* node = table.get("false_notes")) {
      UNDERSTUDY_TRY(model.false_notes, number(*node, "false_notes", 0, 1));
    }
    if (const toml::node* node = table.get("rates")) {
      const toml::table* const rates = node->as_table();
      if (rates == nullptr) return wrong(*node, "\"rates\" must be a table of behavior = rate");
      UNDERSTUDY_CHECK(only(*rates, plantable_behaviors()));
      for (const auto& [behavior, rate] : *rates) {
        UNDERSTUDY_TRY(model.rates[std::string(behavior.str())],
                       number(rate, behavior.str(), 0, 1));
      }
    }
    return model;
  }

  Result<void> read_tools(const toml::table& table, MockModel& model) const {
    if (const toml::node* node = table.get("tool_calls")) {
      UNDERSTUDY_TRY(const double calls, number(*node, "tool_calls", 0, 1e9));
      model.tool_calls = static_cast<std::uint32_t>(calls);
    }
    if (const toml::node* node = table.get("parallel_calls")) {
      UNDERSTUDY_TRY(const double calls, number(*node, "parallel_calls", 1, 1000));
      model.parallel_calls = static_cast<std::uint32_t>(calls);
    }
    return read_chances(table, "faults",
                        {{"unknown_tool", &model.faults.unknown_tool},
                         {"arguments_not_json", &model.faults.arguments_not_json},
                         {"duplicate_ids", &model.faults.duplicate_ids}});
  }

  Result<void> read_chances(const toml::table& table, const char* key,
                            std::initializer_list<std::pair<const char*, double*>> known) const {
    const toml::node* const node = table.get(key);
    if (node == nullptr) return {};
    const toml::table* const chances = node->as_table();
    if (chances == nullptr) {
      return wrong(*node, fmt::format("\"{}\" must be a table of name = rate", key));
    }
    std::vector<std::string> names;
    for (const auto& [name, rate] : known) names.emplace_back(name);
    UNDERSTUDY_CHECK(only(*chances, std::move(names)));
    for (const auto& [name, rate] : known) {
      if (const toml::node* chance = chances->get(name)) {
        UNDERSTUDY_TRY(*rate, number(*chance, name, 0, 1));
      }
    }
    return {};
  }

  std::string_view file_;
  MockServerOptions options_;
};

}  // namespace

Result<MockServerOptions> parse_mock_scenario(std::string_view toml, std::string_view file,
                                              MockServerOptions options) {
  try {
    const toml::table root = toml::parse(toml, file);
    return ScenarioReader(file, std::move(options)).read(root);
  } catch (const toml::parse_error& error) {
    return unexpected(
        ErrorCode::kUsage, fmt::format("not valid TOML: {}", error.description()),
        {.file = std::string(file), .line = error.source().begin.line, .byte_offset = {}});
  }
}

Result<std::pair<std::string, double>> parse_behavior_rate(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, equals));
  const std::vector<std::string>& known = plantable_behaviors();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("--behavior: unknown behavior \"{}\"{}", terminal_safe(name),
                                  did_you_mean(name, known)));
  }
  double rate = -1;
  if (equals != std::string_view::npos) {
    const std::string_view digits = text.substr(equals + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rate);
    if (error != std::errc() || end != digits.data() + digits.size()) rate = -1;
  }
  if (!(rate >= 0 && rate <= 1)) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("--behavior {}=RATE: RATE must be from 0 to 1", name));
  }
  return std::pair(name, rate);
}

}  // namespace understudy
