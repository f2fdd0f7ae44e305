// What a study.toml may not say, beyond its form: whatever is wrong is said before a model is
// asked.
#include <fmt/format.h>

#include "engine/study_config.hpp"
#include "model/model_spec.hpp"

namespace understudy {
namespace {

Result<void> check_sampling(const std::string& section, const SamplingOptions& sampling) {
  const auto bad = [&](std::string_view what) {
    return unexpected(ErrorCode::kUsage, fmt::format("{}.{}", section, what));
  };
  if (sampling.temperature && !(*sampling.temperature >= 0 && *sampling.temperature <= 10)) {
    return bad("temperature must be between 0 and 10");
  }
  if (sampling.top_p && !(*sampling.top_p > 0 && *sampling.top_p <= 1)) {
    return bad("top_p must be above 0 and at most 1");
  }
  if (sampling.max_tokens && *sampling.max_tokens == 0) return bad("max_tokens must be at least 1");
  return {};
}

Result<void> check_tools(const StudyConfig& config) {
  const auto bad = [](std::string_view what) {
    return unexpected(ErrorCode::kUsage, fmt::format("tools.{}", what));
  };
  const StudyConfig::Tools& tools = config.tools;
  if (tools.max_steps == 0 || tools.max_steps > 10'000) {
    return bad("max_steps must be between 1 and 10,000");
  }
  const bool has_more = tools.max_tokens || tools.max_seconds || tools.max_cost ||
                        !tools.rules.empty() || !tools.servers.empty() || tools.command;
  if (has_more && !tools.are_replayed()) {
    return bad("max_steps must be above 1 for the rest of [tools] to have a meaning");
  }
  for (const auto& server : tools.servers) {
    if (server.url.empty()) continue;
    UNDERSTUDY_TRY(const Endpoint endpoint,
                   checked_url(server.url, fmt::format("tools.servers.{}.url", server.name),
                               config.egress_allow));
    // Nobody knows of a server elsewhere that it is a world of the trajectory's own.
    if (!endpoint.loopback && server.only_reads.empty()) {
      return bad(
          fmt::format("servers.{} is not on this machine: name the tools that may be read in "
                      "only_reads",
                      server.name));
    }
  }
  if (tools.max_cost && !config.prices.contains(config.candidate.model)) {
    return bad("max_cost needs a price of the candidate: [prices]");
  }
  return {};
}

// Money that is not counted can't be held to a budget.
Result<void> check_prices(const StudyConfig& config) {
  if (!config.budget.cost) return {};
  std::vector<std::string> models = {config.candidate.model};
  if (config.deployed) models.push_back(config.deployed->model);
  for (const auto& [role, model] : config.roles) models.push_back(model.model);
  for (const std::string& model : models) {
    const auto spec = parse_model_spec(model);
    if (!spec || !is_billed(*spec) || config.prices.contains(model)) continue;
    return unexpected(ErrorCode::kUsage,
                      fmt::format("budget.cost needs a price: add [prices.\"{}\"] with input and "
                                  "output per million tokens, or name a file of them: "
                                  "budget.prices",
                                  model));
  }
  return {};
}

}  // namespace

Result<void> check_study_config(const StudyConfig& config) {
  const auto bad = [](std::string message) {
    return unexpected(ErrorCode::kUsage, std::move(message));
  };
  if (config.logs.paths.empty())
    return bad("logs.paths is empty: which conversations are replayed?");
  if (config.candidate.model.empty())
    return bad("candidate.model is not set: which model answers?");
  if (config.sample.prefixes == 0) return bad("sample.prefixes must be at least 1");
  if (config.sample.draws == 0 || config.sample.draws > 10'000) {
    return bad("sample.draws must be between 1 and 10,000");
  }
  if (config.replay.max_connections == 0) return bad("replay.max_connections must be at least 1");
  if (config.grade.window_tokens && *config.grade.window_tokens == 0) {
    return bad("grade.window_tokens must be at least 1");
  }
  if (config.grade.behaviors_per_call == 0 || config.grade.behaviors_per_call > 64) {
    return bad("grade.behaviors_per_call must be between 1 and 64");
  }
  if (config.grade.oracle_budget_or_default() <= config.grade.audit) {
    return bad("grade.oracle_budget must pass grade.audit, which is part of it");
  }
  if (config.placebo.horizon == 0) return bad("placebo.horizon must be at least 1");
  if (config.forecast.shift_sd &&
      !(*config.forecast.shift_sd >= 0 && *config.forecast.shift_sd <= 5)) {
    return bad("forecast.shift_sd must be between 0 and 5");
  }
  UNDERSTUDY_CHECK(check_sampling("candidate", config.candidate.sampling));
  if (config.deployed) UNDERSTUDY_CHECK(check_sampling("deployed", config.deployed->sampling));
  UNDERSTUDY_CHECK(check_tools(config));
  return check_prices(config);
}

}  // namespace understudy
