#include "engine/tool_chain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/sandbox.hpp"
#include "base/text.hpp"
#include "environment/command_source.hpp"
#include "environment/mcp_client.hpp"

namespace understudy {
namespace {

ToolLevel level_named(std::string_view name) {
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(ToolLevel::kNone); ++i) {
    const auto level = static_cast<ToolLevel>(i);
    if (tool_level_name(level) == name) return level;
  }
  return ToolLevel::kNone;
}

CommandTool command_tool(const StudyConfig::Tools::Command& config) {
  CommandTool tool{.tool = config.tool,
                   .argument = config.argument,
                   .repository = config.repository,
                   .commit = config.commit,
                   .folder = config.folder,
                   .limits = {}};
  tool.limits.time_ms = std::int64_t{config.call_s} * 1000;
  return tool;
}

// Names of the tools in any provider's shape.
std::set<std::string> names_of(const Json& tools) {
  std::set<std::string> names;
  if (tools.is_object() && tools.contains("tools")) return names_of(tools["tools"]);
  if (!tools.is_array()) return names;
  for (const Json& entry : tools) {
    const Json& tool = entry.is_object() && entry.contains("function") ? entry["function"] : entry;
    if (!tool.is_object()) continue;
    const auto name = tool.find("name");
    if (name != tool.end() && name->is_string()) names.insert(name->get<std::string>());
  }
  return names;
}

/// A source that all trajectories share.
class SharedSource final : public ToolSource {
 public:
  explicit SharedSource(ToolSource& source) : source_(source) {}
  std::optional<ToolAnswer> answer(const ToolQuestion& question) override {
    return source_.answer(question);
  }

 private:
  ToolSource& source_;
};

std::vector<ToolSource*> pointers(const std::vector<std::unique_ptr<ToolSource>>& sources) {
  std::vector<ToolSource*> all;
  for (const auto& source : sources) all.push_back(source.get());
  return all;
}

}  // namespace

TrajectoryTools::TrajectoryTools(const ToolRules& rules,
                                 std::vector<std::unique_ptr<ToolSource>> sources,
                                 std::unique_ptr<ToolSimulator> simulator, const FactKinds* kinds)
    : sources_(std::move(sources)),
      simulator_(std::move(simulator)),
      world_(rules, pointers(sources_), simulator_.get(), kinds) {}

void TrajectoryTools::observe(const std::vector<ToolStep>& steps) {
  for (const ToolStep& step : steps) world_.observe(step.call, step.result);
}

void TrajectoryTools::restore(const TrajectoryStep& step) {
  for (std::size_t i = 0; i < step.events.size(); ++i) {
    const ToolEvent& event = step.events[i];
    world_.restore(step.answer.tool_calls.at(i), ToolAnswer{.level = level_named(event.level),
                                                            .result = event.result,
                                                            .repeated = event.repeated,
                                                            .contradictions = event.contradictions,
                                                            .trouble = ToolTrouble::kNone});
  }
}

ToolEvent event_of(ToolAnswer answer) {
  const bool none = answer.level == ToolLevel::kNone;
  return {.level = std::string(tool_level_name(answer.level)),
          .trouble = none ? std::string(tool_trouble_name(answer.trouble)) : "",
          .result = std::move(answer.result),
          .repeated = answer.repeated,
          .contradictions = answer.contradictions};
}

McpServer mcp_server(const StudyConfig::Tools::Server& config) {
  McpServer server;
  server.argv = config.command;
  server.environment = config.environment;
  server.url = config.url;
  server.call_ms = std::int64_t{config.call_s} * 1000;
  return server;
}

ToolRules rules_of(const StudyConfig::Tools& tools) {
  ToolRules rules;
  for (const auto& rule : tools.rules) {
    ToolRule made;
    if (rule.effect) made.effect = static_cast<ToolEffect>(*rule.effect);
    made.free_arguments = {rule.free_arguments.begin(), rule.free_arguments.end()};
    made.ignore_case = rule.ignore_case;
    rules.set(rule.tool, std::move(made));
  }
  if (tools.command) {
    // Nothing says of a shell command that it changes nothing.
    ToolRule command;
    command.effect = ToolEffect::kCommand;
    rules.set(tools.command->tool, std::move(command));
  }
  return rules;
}

ToolChain::ToolChain(const StudyConfig& config, const Clock& clock)
    : tools_(config.tools),
      simulates_(config.roles.contains("simulator")),
      seed_(hash64({"tools", config.sample.seed})),
      clock_(clock),
      rules_(rules_of(config.tools)) {
  for (const auto& server : tools_.servers) {
    if (server.only_reads.empty()) continue;
    connectors_.push_back(std::make_unique<ConnectorSource>(
        mcp_server(server),
        std::set<std::string>(server.only_reads.begin(), server.only_reads.end()), rules_, clock_));
  }
}

Result<std::unique_ptr<ToolChain>> ToolChain::load(Study& study) {
  std::unique_ptr<ToolChain> chain(new ToolChain(study.config, study.world.clock));
  UNDERSTUDY_CHECK(chain->check_sources());
  // Schemas first: what two calls have in common is told by all of them.
  std::string last_tools;
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& stored) {
    const std::string& tools = stored.conversation.tools;
    if (tools == last_tools) return Result<void>();
    chain->rules_.learn(tools);
    if (chain->simulates_) chain->logged_.learn_schemas(tools);
    last_tools = tools;
    return Result<void>();
  }));
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& stored) {
    const ToolSteps steps = tool_steps_of(stored.conversation.messages);
    if (steps.steps.empty()) return Result<void>();
    chain->trajectories_.emplace(stored.id, chain->calls_.add(chain->rules_, "", steps));
    if (chain->simulates_) chain->logged_.learn(chain->rules_, steps);
    if (chain->simulates_) chain->failures_.learn(steps);
    return Result<void>();
  }));
  return chain;
}

Result<void> ToolChain::check_sources() const {
  if (!tools_.command) return {};
  UNDERSTUDY_CHECK(sandbox_available(clock_));
  UNDERSTUDY_TRY([[maybe_unused]] const SandboxFolder folder,
                 checked_out(command_tool(*tools_.command), clock_));
  return {};
}

std::unique_ptr<TrajectoryTools> ToolChain::open(const StoredConversation& conversation,
                                                 std::uint32_t cut, std::uint64_t key) const {
  std::vector<std::unique_ptr<ToolSource>> sources;
  const auto found = trajectories_.find(conversation.id);
  std::optional<std::uint32_t> own;
  if (found != trajectories_.end()) {
    own = found->second;
    sources.push_back(std::make_unique<RecordedSource>(calls_, *own));
  }
  sources.push_back(std::make_unique<KeyedSource>(calls_, own));
  for (const auto& server : tools_.servers) {
    if (!server.only_reads.empty()) continue;
    sources.push_back(std::make_unique<McpSource>(mcp_server(server), clock_));
  }
  if (tools_.command) {
    sources.push_back(std::make_unique<CommandSource>(command_tool(*tools_.command), clock_));
  }
  for (const auto& connector : connectors_) {
    sources.push_back(std::make_unique<SharedSource>(*connector));
  }
  std::vector<ToolStep> before, after;
  for (ToolStep& step : tool_steps_of(conversation.conversation.messages).steps) {
    if (step.call_message >= cut) {
      after.push_back(std::move(step));
      continue;
    }
    if (step.result && step.result_message >= cut) step.result.reset();
    before.push_back(std::move(step));
  }
  std::unique_ptr<ToolSimulator> simulator;
  if (simulates_) {
    // What is made up never fails by itself: failures are drawn before, as often as in the logs.
    sources.push_back(std::make_unique<FailureSource>(failures_, seed_, key));
    SimulatorOptions options;
    options.failures_elsewhere = true;
    simulator =
        std::make_unique<SimulatedTool>(logged_, rules_, std::move(after), seed_ ^ key, options);
  }
  auto tools = std::make_unique<TrajectoryTools>(rules_, std::move(sources), std::move(simulator),
                                                 simulates_ ? &logged_.facts() : nullptr);
  tools->observe(before);
  return tools;
}

Termination termination_of(const ToolCall& call, std::string_view offered_tools) {
  if (const Result<Json> tools = parse_json(offered_tools.empty() ? "[]" : offered_tools)) {
    if (!names_of(*tools).contains(call.name)) return Termination::kUnknownTool;
  }
  const std::string_view text = trimmed(call.arguments);
  const Result<Json> arguments = parse_json(text.empty() ? "{}" : text);
  if (!arguments || !arguments->is_object()) return Termination::kArgumentsNotJson;
  return Termination::kToolFailed;
}

void make_ids_unique(std::vector<ToolCall>& calls, const std::vector<Message>& before) {
  std::set<std::string> given;
  std::size_t answers = 0;
  for (const Message& message : before) {
    if (message.role == Role::kAssistant) ++answers;
    for (const ToolCall& call : message.tool_calls) given.insert(call.id);
  }
  for (std::size_t i = 0; i < calls.size(); ++i) {
    std::string& id = calls[i].id;
    for (std::size_t n = i; id.empty() || !given.insert(id).second; ++n) {
      id = fmt::format("call_{}_{}", answers + 1, n + 1);
    }
  }
}

}  // namespace understudy
