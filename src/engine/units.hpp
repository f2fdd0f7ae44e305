#pragma once
// The units of an arm in their canonical order: what verdict blocks count positions in. For
// replayed arms these are the completed draws in key order; for the logged answers, the turns of
// the frame by conversation and cut. A logged answer has a key too: its conversation as `prefix`,
// its cut as `index`.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "store/study_store.hpp"

namespace understudy {

struct Units {
  std::vector<std::int64_t> keys;       ///< packed DrawKeys
  std::vector<std::uint64_t> clusters;  ///< parallel to keys
  std::vector<double> weights;          ///< parallel: 1 / pi of the prefix; empty: all equal
  /// Parallel: key of the logged answer to the same prefix. Empty for the frame, which is millions
  /// of logged answers: there it would repeat the keys.
  std::vector<std::int64_t> logged;
  /// Draws without an answer, by reason; not among the units.
  std::map<std::string, std::uint64_t> failed;

  [[nodiscard]] std::uint64_t failed_count() const;
  [[nodiscard]] double weight(std::size_t unit) const {
    return weights.empty() ? 1 : weights[unit];
  }
};

[[nodiscard]] Result<Units> units_of(StudyStore& store, Arm arm);
/// kUsage where these are not the units that were graded: answers have come since, and the rules'
/// verdicts would be put to the wrong ones.
Result<void> check_all_graded(StudyStore& store, Arm arm, const Units& units);
/// The logged answers to the drawn prefixes alone, in prefix order: what a judge is given of them.
[[nodiscard]] Result<Units> logged_units_of_prefixes(StudyStore& store);

}  // namespace understudy
