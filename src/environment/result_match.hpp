#pragma once
// Whether a tool's answer is the one that was recorded. JSON is compared by meaning; elsewhere what
// changes with every run (times, durations, where the work tree stands) is made alike first.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace understudy {

struct MatchRules {
  /// Object keys that were renamed after recording: {"province", "state"}.
  std::vector<std::pair<std::string, std::string>> renamed_keys{};
  /// Folders by what stands for them: {"/srv/ann/repo", "<repo>"}. Longer ones go first.
  std::vector<std::pair<std::string, std::string>> paths{};
  bool times = false;  ///< dates, clock times and durations are alike
};

/// The text with times, durations and paths replaced as the rules say.
[[nodiscard]] std::string normalized_result(std::string_view result, const MatchRules& rules);

[[nodiscard]] bool same_result(std::string_view recorded, std::string_view answered,
                               const MatchRules& rules);

}  // namespace understudy
