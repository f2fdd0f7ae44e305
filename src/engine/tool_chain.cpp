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

constexpr std::string_view kNotAsked = "not_asked";  ///< a call before it was not answered

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

std::vector<ToolSource*> pointers(const std::vector<std::unique_ptr<ToolSource>>& sources) {
  std::vector<ToolSource*> all;
  for (const auto& source : sources) all.push_back(source.get());
  return all;
}

}  // namespace

TrajectoryTools::TrajectoryTools(const ToolRules& rules,
                                 std::vector<std::unique_ptr<ToolSource>> sources)
    : sources_(std::move(sources)), world_(rules, pointers(sources_)) {}

void TrajectoryTools::observe(const std::vector<Message>& messages, std::size_t count) {
  const std::vector<Message> prefix(messages.begin(),
                                    messages.begin() + static_cast<std::ptrdiff_t>(count));
  for (const ToolStep& step : tool_steps_of(prefix).steps) world_.observe(step.call, step.result);
}

void TrajectoryTools::restore(const TrajectoryStep& step) {
  for (std::size_t i = 0; i < step.events.size(); ++i) {
    const ToolEvent& event = step.events[i];
    world_.restore(step.answer.tool_calls.at(i), {.level = level_named(event.level),
                                                  .result = event.result,
                                                  .repeated = false,
                                                  .trouble = ToolTrouble::kNone});
  }
}

std::vector<ToolEvent> TrajectoryTools::answer(const std::vector<ToolCall>& calls) {
  const std::string none(tool_level_name(ToolLevel::kNone));
  std::vector<ToolEvent> events;
  bool failed = false;
  for (const ToolCall& call : calls) {
    if (failed) {
      events.push_back({.level = none, .trouble = std::string(kNotAsked)});
      continue;
    }
    ToolAnswer answer = world_.call(call);
    failed = answer.level == ToolLevel::kNone;
    events.push_back({.level = std::string(tool_level_name(answer.level)),
                      .trouble = failed ? std::string(tool_trouble_name(answer.trouble)) : "",
                      .result = std::move(answer.result),
                      .repeated = answer.repeated});
  }
  return events;
}

Result<std::unique_ptr<ToolChain>> ToolChain::load(Study& study) {
  std::unique_ptr<ToolChain> chain(new ToolChain(study.config.tools, study.world.clock));
  for (const auto& rule : chain->tools_.rules) {
    ToolRule made;
    if (rule.effect) made.effect = static_cast<ToolEffect>(*rule.effect);
    made.free_arguments = {rule.free_arguments.begin(), rule.free_arguments.end()};
    made.ignore_case = rule.ignore_case;
    chain->rules_.set(rule.tool, std::move(made));
  }
  if (chain->tools_.command) {
    // Nothing says of a shell command that it changes nothing.
    ToolRule command;
    command.effect = ToolEffect::kCommand;
    chain->rules_.set(chain->tools_.command->tool, std::move(command));
  }
  UNDERSTUDY_CHECK(chain->check_sources());
  // Schemas first: what two calls have in common is told by all of them.
  std::string last_tools;
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& stored) {
    if (stored.conversation.tools != last_tools) chain->rules_.learn(stored.conversation.tools);
    last_tools = stored.conversation.tools;
    return Result<void>();
  }));
  UNDERSTUDY_CHECK(study.store.for_each_conversation([&](const StoredConversation& stored) {
    const ToolSteps steps = tool_steps_of(stored.conversation.messages);
    if (steps.steps.empty()) return Result<void>();
    chain->trajectories_.emplace(stored.id, chain->calls_.add(chain->rules_, "", steps));
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

std::unique_ptr<TrajectoryTools> ToolChain::open(std::int64_t conversation) const {
  std::vector<std::unique_ptr<ToolSource>> sources;
  const auto found = trajectories_.find(conversation);
  std::optional<std::uint32_t> own;
  if (found != trajectories_.end()) {
    own = found->second;
    sources.push_back(std::make_unique<RecordedSource>(calls_, *own));
  }
  sources.push_back(std::make_unique<KeyedSource>(calls_, own));
  for (const auto& server : tools_.servers) {
    McpServer made;
    made.argv = server.command;
    made.environment = server.environment;
    made.call_ms = std::int64_t{server.call_s} * 1000;
    sources.push_back(std::make_unique<McpSource>(std::move(made), clock_));
  }
  if (tools_.command) {
    sources.push_back(std::make_unique<CommandSource>(command_tool(*tools_.command), clock_));
  }
  return std::make_unique<TrajectoryTools>(rules_, std::move(sources));
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
