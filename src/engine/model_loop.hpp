#pragma once
// The one loop that drives any model: takes requests from a source, keeps the model busy, and hands
// what ended to a sink in groups. An outcome keeps its place among those in flight until it is
// durable; only what holds a place can be lost.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "model/chat_model.hpp"
#include "store/log_sync.hpp"

namespace understudy {

/// Set by Ctrl-C. Once: no new requests, a short wait for those in flight. Twice: stop now.
class StopRequest {
 public:
  virtual ~StopRequest() = default;
  [[nodiscard]] virtual int count() const = 0;
};

struct ModelLoop {
  /// The next request, or nothing when there are no more (or a budget says stop). Is asked again
  /// after each `store`, which may have led to more.
  std::function<Result<std::optional<ChatRequest>>()> next;
  /// Stores a group of outcomes: durably where `log` is null. An error ends the loop.
  std::function<Result<void>(std::vector<ChatOutcome>)> store;
  /// Called after every round, for progress.
  std::function<void(const ModelStatus&)> watch;
  /// Makes what was stored durable while the loop goes on; null: `store` does.
  LogSync* log = nullptr;
  /// Looks after work outside the model that leads to more requests, and waits for it at most so
  /// long where nothing is in flight. False: there is none. May be empty.
  std::function<Result<bool>(int timeout_ms)> others = {};
};

enum class LoopEnd : std::uint8_t { kDone, kStopped };

inline constexpr std::size_t kGroupSizeMax = 512;      ///< outcomes stored in one transaction
inline constexpr std::int64_t kGroupDelayUs = 50'000;  ///< an outcome waits no longer to be stored
inline constexpr std::int64_t kStopGraceUs = 5'000'000;  ///< for answers in flight after Ctrl-C

[[nodiscard]] Result<LoopEnd> run_model_loop(ChatModel& model, const ModelLoop& loop, Clock& clock,
                                             const StopRequest& stop);

}  // namespace understudy
