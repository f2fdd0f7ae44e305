#pragma once
// Where the candidate's behaviors are: which kinds of prefixes carry each of them, the prefixes
// with most positive draws, and what a deployment of a given size would hold. From what the study
// has stored; only repeated draws ask a model.
//
// A draw is positive where the behavior's screen flags it and nothing that verifies has said no.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "engine/study.hpp"

namespace understudy {

struct StressOptions {
  std::vector<std::string> behaviors;  ///< ids; empty: all that the study grades
  std::size_t worst = 5;               ///< prefixes of each behavior that are shown
  std::uint32_t redraw = 0;            ///< further draws on each of those; 0: none are asked for
  std::optional<std::uint64_t> deployment;  ///< units of the study's rates (turns) that are to come
  double level = 0.05;  ///< adjusted p-value, and share of intervals that may miss
};

/// understudy.stress/1. kUsage where nothing is graded, or not all answers are, and for a behavior
/// that the study does not grade; kPaused where the budget or Ctrl-C ended it: the same call goes
/// on. The further draws are stored in an arm of their own (kRepeatedArm): they were asked because
/// of what the first ones gave, and are in no rate, count or forecast. Nothing else is stored: the
/// study may be open for reading alone where no further draws are asked for.
[[nodiscard]] Result<Json> stress(Study& study, const StressOptions& options);
/// Whether further draws failed, or nobody could grade them.
[[nodiscard]] bool redraws_failed(const Json& document);
/// For a terminal: every character is safe to show.
[[nodiscard]] std::string stress_text(const Json& document);

}  // namespace understudy
