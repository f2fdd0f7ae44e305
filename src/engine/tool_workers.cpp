#include "engine/tool_workers.hpp"

#include <chrono>
#include <utility>

namespace understudy {

ToolWorkers::ToolWorkers(std::size_t threads) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

ToolWorkers::~ToolWorkers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ToolWorkers::submit(ToolWork work) {
  ++count_;
  {
    const std::lock_guard lock(mutex_);
    open_.push_back(std::move(work));
  }
  wanted_.notify_one();
}

std::vector<ToolWork> ToolWorkers::take(int timeout_ms) {
  if (count_ == 0) return {};
  std::unique_lock lock(mutex_);
  done_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                 [this] { return !finished_.empty(); });
  std::vector<ToolWork> taken = std::exchange(finished_, {});
  count_ -= taken.size();
  return taken;
}

void ToolWorkers::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] { return stopping_ || !open_.empty(); });
    if (stopping_) return;
    ToolWork work = std::move(open_.front());
    open_.pop_front();
    lock.unlock();
    work.reply = work.tools->ask(work.call);
    lock.lock();
    finished_.push_back(std::move(work));
    done_.notify_one();
  }
}

}  // namespace understudy
