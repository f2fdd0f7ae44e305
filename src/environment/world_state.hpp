#pragma once
// What a trajectory has done to its world: the calls that changed it, in order. Two moments with
// the same state have had the same changes since the same start, so the same question has one
// answer.

#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "environment/tool_rules.hpp"
#include "environment/tool_steps.hpp"

namespace understudy {

class WorldState {
 public:
  /// A call that was answered. A change that is not known to have failed counts.
  void took(const ToolRules& rules, const ToolCall& call, std::string_view canonical,
            const std::optional<std::string>& result) {
    const ToolEffect effect = rules.effect(call.name);
    if (effect == ToolEffect::kRead) return;
    if (effect == ToolEffect::kWrite && result && is_error_result(*result)) return;
    digest_ = Sha256().field(as_bytes(digest_)).field(canonical).finish();
    changes_.push_back(call);
  }

  [[nodiscard]] const Digest& digest() const { return digest_; }
  [[nodiscard]] const std::vector<ToolCall>& changes() const { return changes_; }

  /// Names a question asked in this state.
  [[nodiscard]] Digest question(std::string_view canonical) const {
    return Sha256().field(as_bytes(digest_)).field(canonical).finish();
  }

 private:
  Digest digest_{};
  std::vector<ToolCall> changes_;
};

}  // namespace understudy
