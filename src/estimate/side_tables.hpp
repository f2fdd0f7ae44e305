#pragma once
// The small tables beside a verdict table: recall, previous rates, past releases (interface.md).

#include <string>
#include <vector>

#include "base/result.hpp"
#include "estimate/estimate.hpp"
#include "estimate/history.hpp"

namespace understudy {

struct RecallRow {
  std::string behavior;
  RecallChannel channel;  ///< `transferred` and `stale` are decided against the verdicts
  std::string version;    ///< of the behavior's grader; empty: not said
};

struct PreviousRow {
  std::string behavior;
  PreviousRate rate;
};

/// Each refuses the file as a whole, with file, line and byte offset, on the first bad record.
[[nodiscard]] Result<std::vector<RecallRow>> read_recall(const std::string& path);
[[nodiscard]] Result<std::vector<PreviousRow>> read_previous(const std::string& path);
[[nodiscard]] Result<std::vector<HistoryRow>> read_history(const std::string& path);

}  // namespace understudy
