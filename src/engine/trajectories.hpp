#pragma once
// The trajectories of an arm that are under way. One is always in one place: its request is with
// the model, a tool call of it is with the workers or with the simulator, or its next request is
// ready to be asked. Every answer is stored before it counts, so that none is paid for twice.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/study.hpp"
#include "engine/tool_chain.hpp"
#include "engine/tool_workers.hpp"
#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {

/// What became of tool calls.
struct ToolsDone {
  std::vector<ToolWork> called;
  std::vector<ChatOutcome> simulated;
  [[nodiscard]] bool empty() const { return called.empty() && simulated.empty(); }
};

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

  /// Tool calls that are with the workers or the simulator.
  [[nodiscard]] std::size_t waiting() const {
    return (workers_ ? workers_->count() : 0) + questions_.size() + simulating_;
  }
  /// Whether any of them is more than a question that waits to be asked.
  [[nodiscard]] bool is_being_answered() const { return waiting() > questions_.size(); }
  /// Asks the simulator, as far as it has room and `may_ask`, and waits at most so long for what
  /// workers and simulator have done.
  [[nodiscard]] Result<ToolsDone> look_after_tools(int timeout_ms, bool may_ask);
  /// Within a transaction: what was done; draws that ended with it, to be stored.
  [[nodiscard]] Result<std::vector<StoredDraw>> settle(ToolsDone done);

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
    std::optional<Deidentifier> names = {};  ///< for what is not from the logs; made when needed
    std::size_t named = 0;                   ///< messages whose names it has taken note of
  };
  Trajectories(Study& study, std::string role, std::unique_ptr<ToolChain> chain);
  [[nodiscard]] std::optional<Termination> end_of(const Open& open, const Completion& answer) const;
  void open_tools(Open& open);
  static Deidentifier& names_of(Open& open);
  [[nodiscard]] Result<std::optional<StoredDraw>> call_tools(Open& open);
  [[nodiscard]] Result<std::optional<StoredDraw>> take_reply(Open& open, ToolReply reply);
  [[nodiscard]] Result<std::optional<StoredDraw>> give_up(Open& open);
  [[nodiscard]] Result<std::optional<StoredDraw>> fail(Open& open, Failure failure);
  StoredDraw finish(const Open& open, DrawOutcome outcome, std::optional<Trajectory> trajectory);
  void go_on(Open& open, const TrajectoryStep& step);

  Study& study_;
  std::string role_;
  std::unique_ptr<ToolChain> chain_;
  std::unordered_map<std::uint64_t, Open> open_;  // by request id
  std::deque<std::uint64_t> ready_;
  std::deque<std::pair<std::uint64_t, SimulatorQuestion>> questions_;  // not yet asked
  ChatModel* simulator_ = nullptr;
  std::size_t simulating_ = 0;
  std::unique_ptr<ToolWorkers> workers_;  // last: its threads use what is above
};

}  // namespace understudy
