#pragma once
// Every call of the logs that has a result, found again by question and state.
//
// Each trajectory is taken to begin in the same world: a donor whose own writes so far are those of
// the asking trajectory (none, most often) has no write in between. Logs of a world that others
// change meanwhile give answers of another day; a stateful source is for those.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "environment/tool_rules.hpp"
#include "environment/tool_steps.hpp"
#include "environment/world_state.hpp"

namespace understudy {

class RecordedCalls {
 public:
  struct Found {
    std::string_view result;
    std::uint32_t agreeing = 0;     ///< recordings with this result
    std::uint32_t disagreeing = 0;  ///< recordings with another one
  };

  /// The number of the trajectory, from 0. `group`: what must not answer for one another in a
  /// leave-one-out, such as the trials of one task.
  std::uint32_t add(const ToolRules& rules, std::string_view group, const ToolSteps& steps);

  /// Level (a): the same question in the same state of the same trajectory. The first recording,
  /// `except_step` aside.
  [[nodiscard]] std::optional<Found> in_trajectory(
      std::uint32_t trajectory, const Digest& question,
      std::optional<std::uint32_t> except_step = {}) const;

  enum class Donors : std::uint8_t { kOtherTrajectories, kOtherGroups };
  /// Level (b): the same question in the same state elsewhere. The most frequent result; among
  /// equals the one that was logged first.
  [[nodiscard]] std::optional<Found> elsewhere(std::optional<std::uint32_t> trajectory,
                                               const Digest& question,
                                               Donors donors = Donors::kOtherTrajectories) const;

 private:
  struct Recording {
    std::uint32_t trajectory = 0;
    std::uint32_t step = 0;
    std::uint32_t result = 0;  ///< index in results_
  };
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const { return first64(digest); }
  };
  template <class Admits>
  std::optional<Found> most_frequent(const Digest& question, const Admits& admits) const;

  std::unordered_map<Digest, std::vector<Recording>, DigestHash> recordings_;  // in log order
  std::vector<std::string> results_;                                           // each text once
  std::unordered_map<std::string, std::uint32_t> result_numbers_;
  std::vector<std::string> groups_;  // by trajectory
};

}  // namespace understudy
