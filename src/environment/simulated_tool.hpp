#pragma once
// The level of the chain that makes results up: a model is asked for what the tool would have said,
// given what the logs show. Its answer is held against the shape of the tool's logged results and
// against what was said before in the trajectory; a fault is named to it once, and a second one is
// a ToolTrouble. How a world is driven that ends in it: tool_world.hpp.
//
// Text of logs is data in the prompt: fenced as the judge's transcripts are.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "environment/logged_tools.hpp"
#include "environment/tool_world.hpp"

namespace understudy {

struct SimulatorOptions {
  // What the model is given; each can be left out, to measure what it is worth.
  bool schema = true;
  bool shape = true;    ///< what results of this tool look like, and how long this one may be
  bool rollout = true;  ///< the calls that the deployed model made in its place
  bool similar_calls = true;
  bool history = true;  ///< what happened in this trajectory so far
  /// Failures are drawn before it (FailureSource), at the rate of the logs: it is told that this
  /// call succeeds, or tools would fail twice as often.
  bool failures_elsewhere = false;
  // What becomes of its answer.
  bool checked = true;  ///< held against shape and history, asked again once
  bool untidy = true;   ///< cut off as the tool cuts

  std::size_t similar_calls_max = 4;
  std::size_t result_bytes_max = 6'000;    ///< of each result that is shown
  std::size_t section_bytes_max = 24'000;  ///< of rollout and history, each; the newest first
};

class SimulatedTool final : public ToolSimulator {
 public:
  /// One for each world. `rollout`: the steps of the logged conversation from the cut on. `key`:
  /// decides what is drawn, and the fence: nobody who writes logs may know it.
  SimulatedTool(const LoggedTools& logged, const ToolRules& rules, std::vector<ToolStep> rollout,
                std::uint64_t key, SimulatorOptions options = {})
      : logged_(logged),
        rules_(rules),
        rollout_(std::move(rollout)),
        key_(key),
        options_(options) {}

  [[nodiscard]] SimulatorQuestion question(const ToolQuestion& question) override;
  [[nodiscard]] ToolReply read(const ToolQuestion& question, const DrawOutcome& outcome) override;
  void happened(const ToolCall& call, const std::optional<std::string>& result) override;

 private:
  struct Fault {
    ToolTrouble trouble = ToolTrouble::kSimulationFailed;
    std::string words;       ///< for the model
    std::string data{};      ///< fenced lines that go with them
    bool tolerable = false;  ///< if it stays, the answer is taken all the same
  };
  [[nodiscard]] std::optional<Fault> fault_of(const ToolQuestion& question, std::string_view text,
                                              FinishReason finish) const;
  [[nodiscard]] std::string prompt(const ToolQuestion& question, std::string_view fence) const;
  [[nodiscard]] std::string similar_text(const ToolCall& call) const;
  [[nodiscard]] std::string steps_text(const std::vector<ToolStep>& steps) const;

  const LoggedTools& logged_;
  const ToolRules& rules_;
  std::vector<ToolStep> rollout_;
  std::uint64_t key_;
  SimulatorOptions options_;
  std::vector<ToolStep> history_;
  SimulatorQuestion open_;
};

}  // namespace understudy
