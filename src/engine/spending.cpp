#include "engine/spending.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace understudy {
namespace {

std::string meta_key(const std::string& role) {
  return "usage:" + role;
}

double tokens_of(const Usage& usage) {
  return static_cast<double>(usage.prompt_tokens + usage.completion_tokens);
}

double per_request(double total, const RoleProgress& progress) {
  return progress.done == 0 ? 0 : total / static_cast<double>(progress.done);
}

}  // namespace

Result<Spending> Spending::load(StudyStore& store, const StudyConfig& config, const Clock& clock) {
  Spending spending(clock);
  spending.budget_ = config.budget;
  std::map<std::string, std::string> models = {{"candidate", config.candidate.model}};
  if (config.deployed) models["deployed"] = config.deployed->model;
  for (const auto& [role, model] : config.roles) models[role] = model.model;
  for (const auto& [role, model] : models) {
    const auto price = config.prices.find(model);
    if (price != config.prices.end()) spending.prices_[role] = price->second;
    UNDERSTUDY_TRY(const auto stored, store.meta(meta_key(role)));
    if (!stored) continue;
    UNDERSTUDY_TRY(const Json usage, parse_json(*stored));
    spending.used_[role] = {.prompt_tokens = usage["prompt_tokens"].get<std::uint64_t>(),
                            .completion_tokens = usage["completion_tokens"].get<std::uint64_t>()};
  }
  return spending;
}

void Spending::add(const std::string& role, const Usage& usage) {
  Usage& used = used_[role];
  used.prompt_tokens += usage.prompt_tokens;
  used.completion_tokens += usage.completion_tokens;
}

Result<void> Spending::save(StudyStore& store) const {
  for (const auto& [role, usage] : used_) {
    const Json json = {{"prompt_tokens", usage.prompt_tokens},
                       {"completion_tokens", usage.completion_tokens}};
    UNDERSTUDY_CHECK(store.set_meta(meta_key(role), write_json(json, JsonStyle::kCanonical)));
  }
  return {};
}

Usage Spending::used(const std::string& role) const {
  const auto found = used_.find(role);
  return found == used_.end() ? Usage{} : found->second;
}

double Spending::cost_of(const std::string& role) const {
  const auto price = prices_.find(role);
  if (price == prices_.end()) return 0;
  const Usage usage = used(role);
  return (static_cast<double>(usage.prompt_tokens) * price->second.input +
          static_cast<double>(usage.completion_tokens) * price->second.output) /
         1e6;
}

double Spending::cost() const {
  double total = 0;
  for (const auto& [role, usage] : used_) total += cost_of(role);
  return total;
}

bool Spending::is_reached(const RoleProgress& progress) const {
  const double seconds = static_cast<double>(clock_->now_us() - started_us_) / 1e6;
  if (budget_.seconds && seconds >= static_cast<double>(*budget_.seconds)) return true;
  const auto in_flight = static_cast<double>(progress.in_flight);
  if (budget_.tokens) {
    double tokens = in_flight * per_request(tokens_of(used(progress.role)), progress);
    for (const auto& [role, usage] : used_) tokens += tokens_of(usage);
    if (tokens >= static_cast<double>(*budget_.tokens)) return true;
  }
  return budget_.cost &&
         cost() + in_flight * per_request(cost_of(progress.role), progress) >= *budget_.cost;
}

std::uint64_t Spending::affordable(const RoleProgress& progress) const {
  double most = std::numeric_limits<double>::infinity();
  const auto in_flight = static_cast<double>(progress.in_flight);
  const auto limit = [&](double budget, double spent, double each) {
    // Servers that do not say what they used can't be held to a budget, only stopped at its end.
    if (each > 0 || spent >= budget) {
      most = std::min(most, each > 0 ? (budget - spent) / each - in_flight : 0);
    }
  };
  if (budget_.tokens) {
    double tokens = 0;
    for (const auto& [role, usage] : used_) tokens += tokens_of(usage);
    limit(static_cast<double>(*budget_.tokens), tokens,
          per_request(tokens_of(used(progress.role)), progress));
  }
  if (budget_.cost) limit(*budget_.cost, cost(), per_request(cost_of(progress.role), progress));
  if (std::isinf(most)) return UINT64_MAX;
  return static_cast<std::uint64_t>(std::clamp(most, 0.0, 1e15));
}

std::string Spending::estimate_text(const RoleProgress& progress, std::uint64_t count) const {
  if (progress.done == 0) return "an amount that no answer tells yet";
  const double share = static_cast<double>(count) / static_cast<double>(progress.done);
  const Usage usage = used(progress.role);
  std::string text = fmt::format("about {:.3g} prompt and {:.3g} completion tokens",
                                 share * static_cast<double>(usage.prompt_tokens),
                                 share * static_cast<double>(usage.completion_tokens));
  if (prices_.contains(progress.role)) {
    text += fmt::format(", which cost {:.3g}", share * cost_of(progress.role));
  }
  return text;
}

}  // namespace understudy
