#include "engine/model_loop.hpp"

#include <algorithm>
#include <iterator>

namespace understudy {
namespace {

// Outcomes that are not stored yet. Each keeps its place among those in flight until it is, so that
// a crash can never cost more answers than the limit on requests.
class Group {
 public:
  Group(const ModelLoop& loop, Clock& clock) : loop_(loop), clock_(clock) {}

  void add(std::vector<ChatOutcome> outcomes) {
    if (outcomes_.empty()) since_us_ = clock_.now_us();
    std::move(outcomes.begin(), outcomes.end(), std::back_inserter(outcomes_));
  }
  [[nodiscard]] std::size_t size() const { return outcomes_.size(); }
  // Storing costs about the same for one as for a hundred: wait about as long as it takes.
  [[nodiscard]] bool is_due(std::size_t limit) const {
    if (outcomes_.empty()) return false;
    return 2 * outcomes_.size() >= limit || outcomes_.size() >= kGroupSizeMax ||
           clock_.now_us() - since_us_ >= std::min(cost_us_, kGroupDelayUs);
  }
  Result<void> flush() {
    if (outcomes_.empty()) return {};
    std::vector<ChatOutcome> group;
    group.swap(outcomes_);
    const std::int64_t started_us = clock_.now_us();
    UNDERSTUDY_CHECK(loop_.store(std::move(group)));
    cost_us_ = clock_.now_us() - started_us;
    return {};
  }

 private:
  const ModelLoop& loop_;
  Clock& clock_;
  std::vector<ChatOutcome> outcomes_;
  std::int64_t since_us_ = 0;
  std::int64_t cost_us_ = 0;  // of the last flush
};

}  // namespace

Result<LoopEnd> run_model_loop(ChatModel& model, const ModelLoop& loop, Clock& clock,
                               const StopRequest& stop) {
  Group group(loop, clock);
  bool more = true;
  std::optional<std::int64_t> stopped_us;
  while (true) {
    if (stop.count() > 0 && !stopped_us) {
      stopped_us = clock.now_us();
      more = false;
    }
    while (more && stop.count() == 0 && model.free_slots() > group.size()) {
      UNDERSTUDY_TRY(auto request, loop.next());
      if (request) {
        model.submit(std::move(*request));
      } else {
        more = false;
      }
    }
    ModelStatus status = model.status();
    if (status.in_flight == 0 && !more) break;
    if (stopped_us && (stop.count() > 1 || clock.now_us() - *stopped_us > kStopGraceUs)) break;
    model.hold(group.size());
    // What waits to be stored is stored as soon as nothing else is ready.
    group.add(model.poll(group.size() > 0 ? 0 : 20));
    status = model.status();
    if (group.is_due(status.concurrency_limit) || status.in_flight == 0) {
      UNDERSTUDY_CHECK(group.flush());
    }
    if (loop.watch) loop.watch(status);
  }
  UNDERSTUDY_CHECK(group.flush());
  return stopped_us ? LoopEnd::kStopped : LoopEnd::kDone;
}

}  // namespace understudy
