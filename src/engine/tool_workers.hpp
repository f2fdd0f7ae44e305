#pragma once
// Tool calls that run programs, on threads of their own: the loop that asks models never waits for
// them. Every wait inside is bounded by the source's own limits.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/tool_chain.hpp"

namespace understudy {

struct ToolWork {
  std::uint64_t id = 0;              ///< the caller's
  TrajectoryTools* tools = nullptr;  ///< nobody else's until the work is taken
  ToolCall call{};
  ToolReply reply{};  ///< filled in
};

class ToolWorkers {
 public:
  explicit ToolWorkers(std::size_t threads);
  /// Waits for calls that are under way, and drops the rest.
  ~ToolWorkers();
  ToolWorkers(const ToolWorkers&) = delete;
  ToolWorkers& operator=(const ToolWorkers&) = delete;

  void submit(ToolWork work);
  /// Waits at most so long for something to be done; all that is.
  [[nodiscard]] std::vector<ToolWork> take(int timeout_ms);
  /// Submitted and not taken.
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable done_;
  std::deque<ToolWork> open_;
  std::vector<ToolWork> finished_;
  bool stopping_ = false;
  std::size_t count_ = 0;  // of the caller's thread
  std::vector<std::thread> threads_;
};

}  // namespace understudy
