#include "store/log_sync.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "store/sqlite.hpp"

namespace understudy {

struct LogSync::Impl {
  Impl(Database& the_database, int the_descriptor)
      : database(the_database), descriptor(the_descriptor) {}

  void flush_until_stopped() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return is_asked || is_stopped; });
      if (!is_asked) return;
      lock.unlock();
      const int failed_with = ::fdatasync(descriptor) == 0 ? 0 : errno;
      lock.lock();
      if (failed_with != 0) error_number = failed_with;
      is_asked = false;
      changed.notify_all();
    }
  }
  [[nodiscard]] Result<void> outcome() const {
    if (error_number == 0) return {};
    return unexpected(ErrorCode::kInfrastructure,
                      "the disk failed while flushing the study database (error " +
                          std::to_string(error_number) +
                          "); check it and run again: what was stored before is safe");
  }

  Database& database;
  int descriptor;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_asked = false;  ///< or under way
  bool is_stopped = false;
  int error_number = 0;
  std::thread thread;  ///< last: it uses the others
};

Result<std::unique_ptr<LogSync>> LogSync::start(Database& database, const std::string& log_path) {
  // SQLite's locks are on other files, so closing this descriptor later drops none of them.
  const int descriptor = ::open(log_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::unique_ptr<LogSync>();
  auto impl = std::make_unique<Impl>(database, descriptor);
  // Checkpoints flush too, and stop the writer: fewer and larger ones, each page once.
  UNDERSTUDY_CHECK(
      database.execute("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000;"));
  impl->thread = std::thread([self = impl.get()] { self->flush_until_stopped(); });
  return std::unique_ptr<LogSync>(new LogSync(std::move(impl)));
}

LogSync::LogSync(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LogSync::~LogSync() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->is_stopped = true;
  }
  impl_->changed.notify_all();
  impl_->thread.join();
  ::close(impl_->descriptor);
  (void)impl_->database.execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000;")
      .has_value();
}

void LogSync::begin() {
  {
    const std::lock_guard lock(impl_->mutex);
    UNDERSTUDY_ASSERT(!impl_->is_asked);
    impl_->is_asked = true;
  }
  impl_->changed.notify_all();
}

Result<bool> LogSync::is_idle() {
  const std::lock_guard lock(impl_->mutex);
  UNDERSTUDY_CHECK(impl_->outcome());
  return !impl_->is_asked;
}

Result<void> LogSync::wait() {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return !impl_->is_asked; });
  return impl_->outcome();
}

}  // namespace understudy
