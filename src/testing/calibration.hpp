#pragma once
// `understudy calibrate`: our own estimates on worlds with known truth. What is measured is what
// ships: every number comes out of estimate_behaviors, which sees draws and labels but no truth.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace understudy {

struct CalibrationOptions {
  /// Of world_names(); empty: all.
  std::vector<std::string> worlds;
  /// Of estimator_names(); empty: all.
  std::vector<std::string> estimators;
  std::vector<double> rates = {1e-2, 1e-3, 1e-4, 1e-5};  ///< of the worlds A … G
  std::uint64_t repeats = 300;
  std::uint64_t seed = 1;
  double shift = 0.3;  ///< of the portfolio, after launch
};

/// How one estimator did in one world. "Error" is exp|ln(estimate / truth)|, with estimates floored
/// at half an event. Shares are over the repeats (portfolio: over its behaviors as well).
struct CalibrationRow {
  std::string world;
  std::optional<double> rate;
  std::string estimator;
  /// Of the 95% interval, 90% in the drift worlds; empty: it has none.
  std::optional<double> coverage;
  double median_error = 0;
  double p90_error = 0;
  std::optional<double> width_ratio;  ///< median hi / lo
  /// Share with a lower error than the old rate's (releases: mean log error of the release).
  std::optional<double> beats_persistence;
  double alarm_rate = 0;                 ///< share with any alarm
  std::map<std::string, double> alarms;  ///< share with each
  /// Share where lo <= truth <= hi + the printed miss bound.
  std::optional<double> coverage_with_miss_bound;
  /// Share of the repeats whose interval misses in which `regression` fired.
  std::optional<double> regression_where_missed;
  double mean_crps = 0;  ///< of ln rate, with the interval read as a normal one; 0: no interval
  /// planted-releases: share of the repeats whose pooled interval of a part of the error holds what
  /// was planted.
  std::map<std::string, double> components;
  std::uint64_t repeats = 0;
};

[[nodiscard]] std::vector<std::string> world_names();
[[nodiscard]] std::vector<std::string> estimator_names();

/// `progress` is called with the world that begins. Fails with kUsage on an unknown world or
/// estimator, a rate outside (0, 0.2) and zero repeats.
[[nodiscard]] Result<std::vector<CalibrationRow>> calibrate(
    const CalibrationOptions& options, const std::function<void(const std::string&)>& progress);

[[nodiscard]] Json calibration_document(const std::vector<CalibrationRow>& rows,
                                        const CalibrationOptions& options);
/// Fixed-width text, one line a row.
[[nodiscard]] std::string calibration_table(const std::vector<CalibrationRow>& rows);
/// Coverage of every row with its 95% error bar, as an SVG document of its own.
[[nodiscard]] std::string calibration_plot(const std::vector<CalibrationRow>& rows);

}  // namespace understudy
