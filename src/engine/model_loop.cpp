#include "engine/model_loop.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace understudy {
namespace {

constexpr int kOthersWaitMs = 20;

// Outcomes that are not durable yet: they wait to be stored, or are stored and wait for the disk.
// Each keeps its place among those in flight until it is durable, so that a crash can never cost
// more answers than the limit on requests.
class Unstored {
 public:
  Unstored(const ModelLoop& loop, Clock& clock) : loop_(loop), clock_(clock) {}

  void add(std::vector<ChatOutcome> outcomes) {
    if (waiting_.empty()) since_us_ = clock_.now_us();
    if (waiting_.empty()) {
      waiting_ = std::move(outcomes);
    } else {
      std::move(outcomes.begin(), outcomes.end(), std::back_inserter(waiting_));
    }
  }
  [[nodiscard]] std::size_t count() const { return waiting_.size() + syncing_; }
  /// Whether something was stored since the last call.
  [[nodiscard]] bool take_stored() { return std::exchange(stored_, false); }

  /// Stores what waits if it is time to; `limit`: on requests in flight.
  Result<void> advance(std::size_t limit) {
    if (syncing_ > 0) {
      UNDERSTUDY_TRY(const bool is_idle, loop_.log->is_idle());
      if (is_idle) end_sync();
    }
    if (syncing_ == 0 && is_due(limit)) UNDERSTUDY_CHECK(store());
    return {};
  }
  /// Waits until some of them have become durable, or are about to.
  Result<void> wait() {
    if (count() == 0) return {};
    if (syncing_ == 0) return store();
    UNDERSTUDY_CHECK(loop_.log->wait());
    end_sync();
    return {};
  }
  Result<void> flush() {
    while (count() > 0) UNDERSTUDY_CHECK(wait());
    return {};
  }

 private:
  // Storing costs about the same for one as for a hundred: wait about as long as it takes.
  [[nodiscard]] bool is_due(std::size_t limit) const {
    if (waiting_.empty()) return false;
    // Where the disk works beside, an eighth keeps it and the rest busy; a half or a thirtieth were
    // slower by a fifth.
    const std::size_t enough = loop_.log == nullptr ? limit / 2 : limit / 8;
    return waiting_.size() >= std::min(enough, kGroupSizeMax) ||
           clock_.now_us() - since_us_ >= std::min(cost_us_, kGroupDelayUs);
  }
  Result<void> store() {
    std::vector<ChatOutcome> group;
    group.swap(waiting_);
    const std::size_t size = group.size();
    begun_us_ = clock_.now_us();
    UNDERSTUDY_CHECK(loop_.store(std::move(group)));
    stored_ = true;
    if (loop_.log == nullptr) {
      cost_us_ = clock_.now_us() - begun_us_;
    } else {
      loop_.log->begin();
      syncing_ = size;
    }
    return {};
  }
  void end_sync() {
    syncing_ = 0;
    cost_us_ = clock_.now_us() - begun_us_;
  }

  const ModelLoop& loop_;
  Clock& clock_;
  std::vector<ChatOutcome> waiting_;
  std::size_t syncing_ = 0;
  bool stored_ = false;
  std::int64_t since_us_ = 0;
  std::int64_t begun_us_ = 0;
  std::int64_t cost_us_ = 0;  // of the last group, until it was durable
};

// How many more requests may be asked now. Answers that are not durable count against the most that
// may ever be in flight, not against what the limit is now: it would never find itself too small.
std::size_t room_for_more(const ChatModel& model, std::size_t unstored) {
  const ModelStatus status = model.status();
  const std::size_t free = model.free_slots();
  const std::size_t taken = status.concurrency_limit - std::min(free, status.concurrency_limit);
  const std::size_t most = std::max(status.concurrency_limit, status.concurrency_max);
  return std::min(free, most - std::min(most, taken + unstored));
}

}  // namespace

Result<LoopEnd> run_model_loop(ChatModel& model, const ModelLoop& loop, Clock& clock,
                               const StopRequest& stop) {
  Unstored unstored(loop, clock);
  bool more = true;
  std::optional<std::int64_t> stopped_us;
  while (true) {
    if (stop.count() > 0 && !stopped_us) stopped_us = clock.now_us();
    if (loop.others) {
      UNDERSTUDY_TRY(const bool works, loop.others(0));
      more = more || works;
    }
    more = (more || unstored.take_stored()) && !stopped_us;
    for (std::size_t room = room_for_more(model, unstored.count());
         more && room > 0 && stop.count() == 0; --room) {
      UNDERSTUDY_TRY(auto request, loop.next());
      if (request) {
        model.submit(std::move(*request));
      } else {
        more = false;
      }
    }
    ModelStatus status = model.status();
    if (status.in_flight == 0 && unstored.count() == 0 && !more) {
      if (!loop.others || stopped_us) break;
      UNDERSTUDY_TRY(more, loop.others(kOthersWaitMs));
      if (!more) break;
      continue;
    }
    if (stopped_us && (stop.count() > 1 || clock.now_us() - *stopped_us > kStopGraceUs)) break;
    if (status.in_flight == 0) {
      // Every place is taken by answers that are not durable yet. What waits is stored before more
      // is asked, so that the disk is busy meanwhile.
      UNDERSTUDY_CHECK(unstored.wait());
      UNDERSTUDY_CHECK(unstored.advance(status.concurrency_limit));
      continue;
    }
    model.hold(unstored.count());
    // What waits to be stored is stored as soon as nothing else is ready.
    unstored.add(model.poll(unstored.count() == 0 ? 20 : loop.log == nullptr ? 0 : 1));
    status = model.status();
    UNDERSTUDY_CHECK(unstored.advance(status.concurrency_limit));
    if (loop.watch) loop.watch(status);
  }
  UNDERSTUDY_CHECK(unstored.flush());
  if (loop.others && loop.log != nullptr) {
    loop.log->begin();
    UNDERSTUDY_CHECK(loop.log->wait());
  }
  return stopped_us ? LoopEnd::kStopped : LoopEnd::kDone;
}

}  // namespace understudy
