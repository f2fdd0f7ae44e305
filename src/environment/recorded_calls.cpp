#include "environment/recorded_calls.hpp"

#include <algorithm>

namespace understudy {

std::uint32_t RecordedCalls::add(const ToolRules& rules, std::string_view group,
                                 const ToolSteps& steps) {
  const auto trajectory = static_cast<std::uint32_t>(groups_.size());
  groups_.emplace_back(group);
  WorldState state;
  for (std::size_t i = 0; i < steps.steps.size(); ++i) {
    const ToolStep& step = steps.steps[i];
    const std::string canonical = rules.canonical(step.call);
    if (step.result) {
      const auto [known, is_new] =
          result_numbers_.emplace(*step.result, static_cast<std::uint32_t>(results_.size()));
      if (is_new) results_.push_back(*step.result);
      recordings_[state.question(canonical)].push_back({.trajectory = trajectory,
                                                        .step = static_cast<std::uint32_t>(i),
                                                        .result = known->second});
    }
    state.took(rules, step.call, canonical, step.result);
  }
  return trajectory;
}

template <class Admits>
std::optional<RecordedCalls::Found> RecordedCalls::most_frequent(const Digest& question,
                                                                 const Admits& admits) const {
  const auto found = recordings_.find(question);
  if (found == recordings_.end()) return std::nullopt;
  struct Count {
    std::uint32_t result;
    std::uint32_t count;
  };
  std::vector<Count> counts;  // in order of the first recording
  std::uint32_t total = 0;
  for (const Recording& recording : found->second) {
    if (!admits(recording)) continue;
    ++total;
    const auto known = std::find_if(counts.begin(), counts.end(), [&](const Count& count) {
      return count.result == recording.result;
    });
    if (known != counts.end()) {
      ++known->count;
    } else {
      counts.push_back({.result = recording.result, .count = 1});
    }
  }
  if (counts.empty()) return std::nullopt;
  const auto best = std::max_element(counts.begin(), counts.end(),
                                     [](auto& a, auto& b) { return a.count < b.count; });
  return Found{.result = results_[best->result],
               .agreeing = best->count,
               .disagreeing = total - best->count};
}

std::optional<RecordedCalls::Found> RecordedCalls::in_trajectory(
    std::uint32_t trajectory, const Digest& question,
    std::optional<std::uint32_t> except_step) const {
  const auto found = recordings_.find(question);
  if (found == recordings_.end()) return std::nullopt;
  std::optional<Found> first;
  for (const Recording& recording : found->second) {
    if (recording.trajectory != trajectory || recording.step == except_step) continue;
    if (!first) first = Found{.result = results_[recording.result]};
    ++(results_[recording.result] == first->result ? first->agreeing : first->disagreeing);
  }
  return first;
}

std::optional<RecordedCalls::Found> RecordedCalls::elsewhere(
    std::optional<std::uint32_t> trajectory, const Digest& question, Donors donors) const {
  return most_frequent(question, [&](const Recording& recording) {
    if (!trajectory) return true;
    if (donors == Donors::kOtherGroups) {
      return groups_[recording.trajectory] != groups_[*trajectory];
    }
    return recording.trajectory != *trajectory;
  });
}

}  // namespace understudy
