#include "engine/tool_dry_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <variant>

#include "base/text.hpp"
#include "engine/tool_chain.hpp"
#include "environment/mcp_client.hpp"
#include "environment/tool_dry_run.hpp"

namespace understudy {
namespace {

constexpr std::array kShownLevels = {
    ToolLevel::kRecorded,  ToolLevel::kKeyed,     ToolLevel::kServer, ToolLevel::kCommand,
    ToolLevel::kConnector, ToolLevel::kSimulated, ToolLevel::kNone};

std::string_view effect_name(ToolEffect effect) {
  switch (effect) {
    case ToolEffect::kRead:
      return "reads";
    case ToolEffect::kWrite:
      return "writes";
    case ToolEffect::kCommand:
      return "runs commands";
  }
  UNDERSTUDY_ASSERT(false);
}

void offer_tools(std::string_view schemas, ToolDryRun& run) {
  const Result<Json> parsed = parse_json(schemas);
  if (!parsed) return;
  const Json& list =
      parsed->is_object() && parsed->contains("tools") ? (*parsed)["tools"] : *parsed;
  if (!list.is_array()) return;
  for (const Json& entry : list) {
    if (!entry.is_object()) continue;
    const Json& tool = entry.contains("function") ? entry["function"] : entry;
    const Json name = tool.is_object() ? tool.value("name", Json()) : Json();
    if (name.is_string()) run.offer(name.get<std::string>());
  }
}

Json tool_json(const std::string& name, const ToolDryRun::Tool& tool, const ToolRules& rules) {
  Json answered = Json::object();
  for (const ToolLevel level : kShownLevels) {
    answered[std::string(tool_level_name(level))] = tool.by(level);
  }
  return {{"name", name},
          {"does", effect_name(rules.effect(name))},
          {"offered", tool.offered},
          {"calls", tool.calls},
          {"errors", tool.errors},
          {"answered_by", std::move(answered)}};
}

/// Who stands behind the logs. A server of the trajectory's own is started and asked for the list
/// of its tools; one of the real world is not.
struct Beyond {
  std::set<std::string> served, read, not_started;
  std::string command;
  bool simulates = false;

  Beyond(const StudyConfig& config, const Clock& clock)
      : command(config.tools.command ? config.tools.command->tool : ""),
        simulates(config.roles.contains("simulator")) {
    for (const auto& server : config.tools.servers) {
      read.insert(server.only_reads.begin(), server.only_reads.end());
      if (!server.only_reads.empty()) continue;
      const McpOutcome<McpClient> started = McpClient::start(mcp_server(server), clock);
      const McpClient* const client = std::get_if<McpClient>(&started);
      if (client == nullptr) {
        not_started.insert(server.name);
        continue;
      }
      for (const Json& tool : client->tools()) {
        const Json name = tool.is_object() ? tool.value("name", Json()) : Json();
        if (name.is_string()) served.insert(name.get<std::string>());
      }
    }
  }
  [[nodiscard]] ToolLevel level(const std::string& tool, bool changed,
                                const ToolRules& rules) const {
    if (served.contains(tool)) return ToolLevel::kServer;
    if (!command.empty() && command == tool) return ToolLevel::kCommand;
    const bool reads = rules.effect(tool) == ToolEffect::kRead;
    if (read.contains(tool) && reads && !changed) return ToolLevel::kConnector;
    return simulates ? ToolLevel::kSimulated : ToolLevel::kNone;
  }
};

}  // namespace

Result<Json> tools_of_study(Study& study) {
  UNDERSTUDY_CHECK(ingest_stage(study));
  ToolRules rules = rules_of(study.config.tools);
  const Beyond beyond(study.config, study.world.clock);
  ToolDryRun run(rules, [&](const std::string& tool, bool changed) {
    return beyond.level(tool, changed, rules);
  });
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& stored) {
    rules.learn(stored.conversation.tools);
    offer_tools(stored.conversation.tools, run);
    return Result<void>();
  }));
  std::uint64_t conversations = 0;
  std::array<std::uint64_t, kToolFaultCount> faults{};
  const auto each = [&](const auto& visit) {
    return study.store.for_each_conversation([&](const StoredConversation& stored) {
      const ToolSteps steps = tool_steps_of(stored.conversation.messages);
      if (!steps.steps.empty()) visit(steps);
      return Result<void>();
    });
  };
  UNDERSTUDY_CHECK(each([&](const ToolSteps& steps) {
    ++conversations;
    for (std::size_t i = 0; i < kToolFaultCount; ++i) faults[i] += steps.faults[i];
    (void)run.learn(steps);
  }));
  std::uint32_t trajectory = 0;
  UNDERSTUDY_CHECK(each([&](const ToolSteps& steps) { run.count(trajectory++, steps); }));

  Json list = Json::array();
  for (const auto& [name, tool] : run.tools()) list.push_back(tool_json(name, tool, rules));
  Json fault_counts = Json::object();
  for (std::size_t i = 0; i < kToolFaultCount; ++i) {
    fault_counts[std::string(tool_fault_name(static_cast<ToolFault>(i)))] = faults[i];
  }
  return Json{{"schema", "understudy.tools/1"},
              {"understudy_version", UNDERSTUDY_VERSION},
              {"manifest_hash",
               hex(sha256(write_json(manifest_json(study.config), JsonStyle::kCanonical)))},
              {"conversations", conversations},
              {"faults", std::move(fault_counts)},
              {"servers_not_started", beyond.not_started},
              {"tools", std::move(list)}};
}

std::string tools_text(const Json& document) {
  const Json& tools = document.at("tools");
  if (tools.empty()) return "the logs hold no tools\n";
  std::string text = fmt::format(
      "{} conversations with tool calls; each logged call left out in turn, and who would answer "
      "it\n\n{:<34}{:<15}{:>8}{:>8}",
      with_commas(document.at("conversations").get<std::uint64_t>()), "tool", "", "calls",
      "errors");
  for (const ToolLevel level : kShownLevels) {
    text += fmt::format("{:>11}", level == ToolLevel::kNone ? "nobody" : tool_level_name(level));
  }
  text += '\n';
  for (const Json& tool : tools) {
    text += fmt::format(
        "{:<34}{:<15}{:>8}{:>8}", terminal_safe(utf8_prefix(tool["name"].get<std::string>(), 33)),
        tool["does"].get<std::string>(), with_commas(tool["calls"].get<std::uint64_t>()),
        with_commas(tool["errors"].get<std::uint64_t>()));
    for (const ToolLevel level : kShownLevels) {
      const Json& count = tool["answered_by"][std::string(tool_level_name(level))];
      text += fmt::format("{:>11}", with_commas(count.get<std::uint64_t>()));
    }
    text += '\n';
  }
  for (const Json& server : document.at("servers_not_started")) {
    text += fmt::format("the server {} could not be started\n",
                        terminal_safe(server.get<std::string>()));
  }
  for (const auto& [name, count] : document.at("faults").items()) {
    if (count != 0) {
      text += fmt::format("{}: {}\n", name, with_commas(count.get<std::uint64_t>()));
    }
  }
  return text;
}

}  // namespace understudy
