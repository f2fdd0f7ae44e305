#pragma once
// A disk that is not there: an SQLite VFS whose files live in memory and whose faults are planned.
// It keeps apart what programs see from what is sure: a crash keeps all that was synced, and of
// each change since then the whole, a part, or nothing, as a seed decides. That is what a real disk
// promises and no more.
//
// Only files that SQLite opens are here; what a stage writes beside the database (report.json,
// rejects.jsonl, the lock) stays on a real one: it is written whole, synced and renamed.
//
// One process, one connection at a time: locks always succeed. Thread rule: one thread.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/rng.hpp"

struct sqlite3_vfs;

namespace understudy {

enum class DiskFault : std::uint8_t {
  kNone,
  kErrorOnce,      ///< that operation fails, the next ones work
  kErrorFromThen,  ///< that operation and all later ones fail
  kFull,           ///< from that operation on no file grows; what still fits is written
  kCrash,          ///< that operation is done in part, then nothing works until restart()
};

inline constexpr std::size_t kDiskFaultCount = 5;
/// "none", "error-once", "error-from-then", "full", "crash"
[[nodiscard]] std::string_view disk_fault_name(DiskFault fault);

class SimDisk {
 public:
  /// Called at each sync, which is what takes time on a disk.
  using OnSync = std::function<void()>;
  /// Registers the VFS under `name`, which no other disk has. The same seed gives the same crashes.
  SimDisk(std::string name, std::uint64_t seed, OnSync on_sync = nullptr);
  ~SimDisk();
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  /// What Database::open takes.
  [[nodiscard]] const char* vfs_name() const { return name_.c_str(); }

  /// `operation` counts from 1 over all calls that touch the disk, starting now.
  void set_fault(DiskFault fault, std::uint64_t operation);
  void stop_faults() { set_fault(DiskFault::kNone, 0); }
  /// Calls that touched the disk since set_fault.
  [[nodiscard]] std::uint64_t operations() const { return operations_; }
  /// Whether the fault that was set has come.
  [[nodiscard]] bool fault_met() const { return fault_met_; }
  [[nodiscard]] bool crashed() const { return crashed_; }
  /// After a crash, once all files are closed: what survived is there, and no fault is set.
  void restart();
  enum class View : std::uint8_t { kSeen, kSure };
  /// The files of another disk, as programs see them now or as far as they have been synced.
  void copy_from(const SimDisk& other, View view);
  /// For canaries: a disk that says it has synced and has not.
  void ignore_syncs() { ignores_syncs_ = true; }

  struct File;
  struct Calls;  ///< what SQLite calls

 private:
  friend struct Calls;
  [[nodiscard]] bool begins_to_fail();
  [[nodiscard]] bool write(File& file, std::uint64_t offset, std::string_view bytes, bool& full);
  void sync(File& file, bool directory_too);
  [[nodiscard]] std::string survivor(const File& file);

  using Names = std::map<std::string, std::shared_ptr<File>, std::less<>>;
  std::string name_;
  Rng rng_;
  OnSync on_sync_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  Names files_;       ///< as programs see them
  Names sure_files_;  ///< the directory as it was last synced
  std::uint64_t open_files_ = 0;
  DiskFault fault_ = DiskFault::kNone;
  std::uint64_t fault_operation_ = 0;
  std::uint64_t operations_ = 0;
  bool fault_met_ = false;
  bool crashed_ = false;
  bool ignores_syncs_ = false;
};

}  // namespace understudy
