#pragma once
// The trajectories of an arm that are under way. One is always in one of three places: its request
// is with the model, its tool calls are with the workers, or its next request is ready to be asked.
// Every answer is stored before it counts, so that no step is paid for twice.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/study.hpp"
#include "engine/tool_chain.hpp"
#include "engine/tool_workers.hpp"

namespace understudy {

class Trajectories {
 public:
  /// `role`: whose price counts against tools.max_cost. `study` must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Trajectories>> make(Study& study,
                                                                  const std::string& role);

  /// A draw from its first request on. With `begun`, what an earlier session stored goes before.
  /// Needs an open transaction where `begun`. A draw that ends at once is given back.
  [[nodiscard]] Result<std::optional<StoredDraw>> begin(
      ChatRequest first, std::shared_ptr<const StoredConversation> text, std::uint32_t cut,
      bool begun);

  [[nodiscard]] bool has_ready() const { return !ready_.empty(); }
  [[nodiscard]] ChatRequest next();

  /// Within a transaction: the model's answer; a draw that ended with it, to be stored.
  [[nodiscard]] Result<std::optional<StoredDraw>> take(ChatOutcome ended);

  /// Tool calls that are with the workers.
  [[nodiscard]] std::size_t waiting() const { return workers_ ? workers_->count() : 0; }
  /// Waits at most so long for tool calls; what they gave goes to `settle`, in a transaction.
  [[nodiscard]] std::vector<ToolWork> tool_results(int timeout_ms);
  [[nodiscard]] Result<std::optional<StoredDraw>> settle(ToolWork work);

  [[nodiscard]] std::size_t count() const { return open_.size(); }

 private:
  struct Open {
    ChatRequest request;  ///< the next one: its messages are the prefix and all steps
    std::shared_ptr<const StoredConversation> text;
    std::uint32_t cut = 0;
    std::uint64_t seed = 0;      ///< of the first request
    std::size_t steps = 0;       ///< stored, the last one included
    TrajectoryStep last{};       ///< while its calls are being answered
    std::uint32_t attempts = 0;  ///< for all answers so far
    Usage usage{};
    std::int64_t started_us = 0;
    std::unique_ptr<TrajectoryTools> tools;  ///< made with the first call
  };
  Trajectories(Study& study, std::string role, std::unique_ptr<ToolChain> chain);
  [[nodiscard]] std::optional<Termination> end_of(const Open& open, const Completion& answer) const;
  [[nodiscard]] Result<std::optional<StoredDraw>> call_tools(Open& open);
  [[nodiscard]] Result<std::optional<StoredDraw>> settle(Open& open, std::vector<ToolEvent> events);
  [[nodiscard]] Result<std::optional<StoredDraw>> fail(Open& open, Failure failure);
  StoredDraw finish(const Open& open, DrawOutcome outcome, std::optional<Trajectory> trajectory);
  void go_on(Open& open, const TrajectoryStep& step);

  Study& study_;
  std::string role_;
  std::unique_ptr<ToolChain> chain_;
  std::unordered_map<std::uint64_t, Open> open_;  // by request id
  std::deque<std::uint64_t> ready_;
  std::unique_ptr<ToolWorkers> workers_;  // last: its threads use what is above
};

}  // namespace understudy
