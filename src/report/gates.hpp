#pragma once
// Gates: limits in study.toml ([gate]) that a report must keep, for CI. Exit code 1 when one fails.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "report/json_fwd.hpp"

namespace understudy {

/// `"promised_background_task.forecast_hi_per_100k" = 50`: the value must be at most the limit.
///
/// The name is a behavior's name, a dot, and one of
///   forecast, candidate, deployed or deployed_replay, with `_per_100k` (the rate), `_lo_per_100k`
///   or
///   `_hi_per_100k` (its interval): the rates that the report's table shows; `forecast` is its X
///   column, `candidate` the same without shrinkage;
///   change_ratio, change_lo, change_hi: candidate over deployed.
struct Gate {
  std::string name;
  double limit = 0;
};

struct GateResult {
  Gate gate;
  std::optional<double> value;  ///< empty: the report does not know it
  bool passed = false;          ///< what is not known does not pass
  [[nodiscard]] std::string describe() const;
};

/// In the order of the gates. kUsage, with the nearest name, where a behavior or measure is not in
/// the report; kMismatch where `report` is not an understudy.report/1.
[[nodiscard]] Result<std::vector<GateResult>> check_gates(const Json& report,
                                                          std::span<const Gate> gates);

/// JUnit XML as CI systems read it: one suite, one test case a gate. No times: the same bytes for
/// the same results.
[[nodiscard]] std::string junit_xml(std::span<const GateResult> results);

}  // namespace understudy
