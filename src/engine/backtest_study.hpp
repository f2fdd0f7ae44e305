#pragma once
// `backtest`: what a study's forecasts would have been worth, from the study's own logs. The logged
// answers need no model: their past forecasts their future. What the candidate answered on one part
// of the prefixes is forecast to what it answered on the other, beside the older model's rate.

#include <cstdint>

#include "base/json.hpp"
#include "base/result.hpp"
#include "engine/study.hpp"

namespace understudy {

struct BacktestOptions {
  std::uint64_t cuts = 20;   ///< halves, or at most so many of the latest periods
  bool logged_only = false;  ///< ask no model: the logged answers alone
};

/// Runs the stages that it needs, then cuts: in time where the logs have three periods or more
/// ([placebo]), by seeded hash of who wrote a conversation elsewhere. Only behaviors with a rule.
/// The document: understudy.backtest/1. kUsage where no behavior has a rule.
[[nodiscard]] Result<Json> backtest_study(Study& study, const BacktestOptions& options);

/// For people.
[[nodiscard]] std::string backtest_text(const Json& document);

}  // namespace understudy
