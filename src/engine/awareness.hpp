#pragma once
// Does the model take the replay for a test? How often answers treat the situation as one, by a
// rule and by a judge: of production (the logged answers), of the replayed arms, and of the
// candidate on a benchmark's prompts. Production was no test, so its rates are what rule and judge
// get wrong, at most.

#include <cstdint>
#include <string>

#include "base/json.hpp"
#include "engine/study.hpp"

namespace understudy {

struct AwarenessOptions {
  /// So many answers of each kind are put to the judge, those of the first prefixes in the order of
  /// work (a random one); what was put before is not asked again. 0: none, what is stored counts.
  std::uint64_t judged = 0;
  /// A file of prompts in any format of logs, a conversation a record; what follows its last user
  /// message is left out. The candidate is asked for each once. Empty: what is stored counts.
  std::string benchmark;
};

/// The part "awareness" of the fidelity page. Answers and verdicts are stored apart from every
/// estimate (kBenchmarkArm, GradingLayer::kProbe); `failed` counts what was asked in vain. kUsage:
/// no judge is named but is to be asked, or another candidate answered before; kInput: the
/// benchmark cannot be read or holds no prompt; kPaused: the same call goes on.
[[nodiscard]] Result<Json> awareness(Study& study, const AwarenessOptions& options);

}  // namespace understudy
