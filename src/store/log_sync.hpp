#pragma once
// Waiting for the disk beside the thread that writes. While a LogSync lives, COMMIT returns once
// the write-ahead log has been written but not flushed; `begin` then flushes all that was committed
// before it, on a thread of its own. What a finished flush covers survives power loss exactly as
// with synchronous = FULL, which flushes the same file at the same place; kill -9 loses nothing
// that was committed either way.
//
// Thread rule: all calls from the thread that uses the store.

#include <memory>

#include "base/result.hpp"

namespace understudy {

class Database;

class LogSync {
 public:
  /// `log_path`: the write-ahead log of `database`, which must outlive this. Null when the log is
  /// not a file that can be opened: then commits go on waiting for the disk.
  [[nodiscard]] static Result<std::unique_ptr<LogSync>> start(Database& database,
                                                              const std::string& log_path);
  ~LogSync();
  LogSync(const LogSync&) = delete;
  LogSync& operator=(const LogSync&) = delete;

  /// Begins to flush what has been committed so far. Not while another flush is under way.
  void begin();
  /// False while a flush is under way. Fails with kInfrastructure when one has failed: then what it
  /// covered may be lost.
  [[nodiscard]] Result<bool> is_idle();
  /// Waits until it is.
  Result<void> wait();

 private:
  struct Impl;
  explicit LogSync(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy
