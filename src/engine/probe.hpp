#pragma once
// How far a judge's verdicts hang on what should not matter: the same answers again, with the
// examples the other way round, in another format, and together with other behaviors in one call.
// What is asked is stored and asked once, as everything that is paid for.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/json.hpp"
#include "engine/study.hpp"

namespace understudy {

struct ProbeOptions {
  std::size_t answers = 50;   ///< of each behavior: half of them flagged, as far as there are any
  std::uint32_t repeats = 3;  ///< of the same question
};

/// The judge (without one, the oracle) has judged; kUsage if it has not. The document is
/// understudy.probe/1: `rows` of behavior, probe ("repeat", "examples", "format", "together"),
/// first verdict, answers, flipped (in any repeat) with a 95% Wilson interval, ungradable.
[[nodiscard]] Result<Json> probe_judge(Study& study, const ProbeOptions& options);
[[nodiscard]] std::string probe_text(const Json& probe);

}  // namespace understudy
