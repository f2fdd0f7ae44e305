#pragma once
// One question about one answer to whoever grades it (judge, oracle, moderation endpoint, external
// program), and the reading of what comes back. Pure. What is asked holds the conversation, the
// answer and the behaviors: nothing of who wrote it, or of which arm it is.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grading/judge.hpp"
#include "model/chat_model.hpp"

namespace understudy {

struct GraderQuestion {
  std::string role;  ///< "judge", "oracle", "auditor", "moderation", "command"
  std::vector<const Behavior*> behaviors;  ///< one, but for judges and moderation endpoints
  JudgeOptions how = {};

  /// Fills in messages and schema of a request that has its id; or gives the verdict that needs no
  /// asking. `secret`: judge.hpp.
  [[nodiscard]] std::optional<Verdict> put(const AnswerView& answer, std::string_view secret,
                                           ChatRequest& request) const;
  /// A verdict on each behavior, of what came back about this answer.
  [[nodiscard]] std::vector<Verdict> read(const DrawOutcome& outcome,
                                          const AnswerView& answer) const;
  /// What of the outcome is about one of the behaviors: what is stored with its verdict, so that a
  /// recorded judge can be asked about it alone. Usage goes with the first.
  [[nodiscard]] DrawOutcome part(const DrawOutcome& outcome, std::size_t behavior) const;
};

}  // namespace understudy
