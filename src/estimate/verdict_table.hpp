#pragma once
// Bring your own verdicts: a table with one row per draw and behavior, estimated by exactly what
// the study uses (interface.md, "Verdict table"). 16 bytes of memory a row, 24 with unequal
// pi_prefix, and 64 for a row that is flagged, ungradable or verified.

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "estimate/estimate.hpp"

namespace understudy {

struct TableRequest {
  std::string table;  ///< path of a CSV or JSON Lines file
  std::optional<std::string> recall, previous, history;
  /// How many prefixes the design stands for; else the sum of 1 / pi_prefix.
  std::optional<double> frame;
  double level = 0.95;
  bool anytime = false;
};

struct TableEstimate {
  std::vector<BehaviorEstimate> behaviors;  ///< by name
  Json report;                              ///< `understudy.report/1`
  std::vector<std::string> notes;           ///< for people: columns and rows that were not used
};

/// Fails on the first record that can't be what the interface says, with file, line and byte
/// offset: a table is used as a whole or not at all.
[[nodiscard]] Result<TableEstimate> estimate_table(const TableRequest& request);

}  // namespace understudy
