#include "engine/model_loop.hpp"

#include <algorithm>
#include <iterator>

namespace understudy {
namespace {

// Outcomes that are not stored yet: back-pressure is that the loop stores before it asks for more.
class Group {
 public:
  Group(const ModelLoop& loop, Clock& clock) : loop_(loop), clock_(clock) {}

  Result<void> add(std::vector<ChatOutcome> outcomes, bool nothing_in_flight) {
    if (outcomes_.empty()) since_us_ = clock_.now_us();
    std::move(outcomes.begin(), outcomes.end(), std::back_inserter(outcomes_));
    const bool due = outcomes_.size() >= kGroupSizeMax ||
                     clock_.now_us() - since_us_ >= kGroupDelayUs || nothing_in_flight;
    return due ? flush() : Result<void>();
  }
  Result<void> flush() {
    if (outcomes_.empty()) return {};
    std::vector<ChatOutcome> group;
    group.swap(outcomes_);
    return loop_.store(std::move(group));
  }

 private:
  const ModelLoop& loop_;
  Clock& clock_;
  std::vector<ChatOutcome> outcomes_;
  std::int64_t since_us_ = 0;
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
    while (more && stop.count() == 0 && model.free_slots() > 0) {
      UNDERSTUDY_TRY(auto request, loop.next());
      if (request) {
        model.submit(std::move(*request));
      } else {
        more = false;
      }
    }
    const bool idle = model.status().in_flight == 0;
    if (idle && !more) break;
    if (stopped_us && (stop.count() > 1 || clock.now_us() - *stopped_us > kStopGraceUs)) break;
    std::vector<ChatOutcome> ended = model.poll(20);
    const ModelStatus status = model.status();
    UNDERSTUDY_CHECK(group.add(std::move(ended), status.in_flight == 0));
    if (loop.watch) loop.watch(status);
  }
  UNDERSTUDY_CHECK(group.flush());
  return stopped_us ? LoopEnd::kStopped : LoopEnd::kDone;
}

}  // namespace understudy
