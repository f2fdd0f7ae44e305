#include "testing/sim_disk.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "base/assert.hpp"

namespace understudy {
namespace {

constexpr int kSectorSize = 4096;
constexpr int kNameSizeMax = 1024;
constexpr sqlite3_int64 kStartJulianMs = 212'000'000'000'000;

void apply_write(std::string& content, std::uint64_t offset, std::string_view bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  content.replace(offset, bytes.size(), bytes);
}

}  // namespace

std::string_view disk_fault_name(DiskFault fault) {
  constexpr std::array<std::string_view, kDiskFaultCount> kNames = {
      "none", "error-once", "error-from-then", "full", "crash"};
  return kNames.at(static_cast<std::size_t>(fault));
}

struct SimDisk::File {
  // A change that no sync has made sure; bytes of a truncation are none.
  struct Change {
    bool truncates = false;
    std::uint64_t offset = 0;
    std::string bytes;
  };
  std::string content;  ///< as programs see it
  std::string sure;     ///< what a crash can not take away
  std::vector<Change> unsynced;
  std::vector<std::unique_ptr<char[]>> shared_memory;  ///< the WAL's index

  static void apply(const Change& change, std::string& to) {
    if (change.truncates) {
      to.resize(change.offset);
    } else {
      apply_write(to, change.offset, change.bytes);
    }
  }
};

bool SimDisk::begins_to_fail() {
  if (crashed_) return true;
  ++operations_;
  if (fault_ == DiskFault::kNone || operations_ < fault_operation_) return false;
  if (fault_ == DiskFault::kFull) return false;  // only where a file grows
  if (fault_ == DiskFault::kErrorOnce && operations_ > fault_operation_) return false;
  fault_met_ = true;
  crashed_ = fault_ == DiskFault::kCrash;
  return true;
}

bool SimDisk::write(File& file, std::uint64_t offset, std::string_view bytes, bool& full) {
  if (crashed_) return false;
  const bool fails = begins_to_fail();
  full = !fails && fault_ == DiskFault::kFull && operations_ >= fault_operation_ &&
         offset + bytes.size() > file.content.size();
  std::string_view written = bytes;
  if (full) {
    fault_met_ = true;
    const std::size_t size = file.content.size();
    written = bytes.substr(0, size > offset ? size - offset : 0);
  } else if (fails) {
    written = bytes.substr(0, rng_.below(bytes.size() + 1));
  }
  if (!written.empty()) {
    apply_write(file.content, offset, written);
    file.unsynced.push_back({.truncates = false, .offset = offset, .bytes = std::string(written)});
  }
  return !fails && !full;
}

void SimDisk::sync(File& file, bool directory_too) {
  if (on_sync_) on_sync_();
  if (ignores_syncs_) return;
  for (const File::Change& change : file.unsynced) file.apply(change, file.sure);
  file.unsynced.clear();
  if (directory_too) sure_files_ = files_;
}

// The order in which a disk writes is its own: any of the changes may be there without those
// before, and each may have got as far as any byte, or to some of its sectors alone.
std::string SimDisk::survivor(const File& file) {
  std::string content = file.sure;
  const bool all_lost = rng_.below(3) == 0;
  for (const File::Change& change : file.unsynced) {
    const std::uint64_t fate = all_lost ? 0 : rng_.below(4);
    if (fate == 0) continue;
    if (fate == 1 || change.truncates) {
      file.apply(change, content);
    } else if (fate == 2) {
      const std::size_t size = rng_.below(change.bytes.size() + 1);
      apply_write(content, change.offset, std::string_view(change.bytes).substr(0, size));
    } else {
      for (std::size_t at = 0; at < change.bytes.size(); at += kSectorSize) {
        if (rng_.below(2) == 0) continue;
        apply_write(content, change.offset + at,
                    std::string_view(change.bytes).substr(at, kSectorSize));
      }
    }
  }
  return content;
}

void SimDisk::restart() {
  UNDERSTUDY_ASSERT(open_files_ == 0);
  // A killed process leaves to the system what it has written; a power failure does not.
  const bool power_failed = rng_.below(4) != 0;
  Names survived;
  std::set<std::string> names;
  for (const auto& [name, file] : files_) names.insert(name);
  for (const auto& [name, file] : sure_files_) names.insert(name);
  for (const std::string& name : names) {
    const auto seen = files_.find(name);
    const auto sure = sure_files_.find(name);
    const bool same =
        seen != files_.end() && sure != sure_files_.end() && seen->second == sure->second;
    const bool as_seen = !power_failed || same || rng_.below(2) == 0;
    const auto& from = as_seen ? files_ : sure_files_;
    const auto found = from.find(name);
    if (found == from.end()) continue;
    auto file = std::make_shared<File>();
    file->content = power_failed ? survivor(*found->second) : found->second->content;
    file->sure = file->content;
    survived.emplace(name, std::move(file));
  }
  files_ = survived;
  sure_files_ = std::move(survived);
  crashed_ = false;
  stop_faults();
}

void SimDisk::copy_from(const SimDisk& other, View view) {
  UNDERSTUDY_ASSERT(open_files_ == 0);
  files_.clear();
  for (const auto& [name, file] : view == View::kSeen ? other.files_ : other.sure_files_) {
    auto copy = std::make_shared<File>();
    copy->content = view == View::kSeen ? file->content : file->sure;
    copy->sure = copy->content;
    files_.emplace(name, std::move(copy));
  }
  sure_files_ = files_;
}

void SimDisk::set_fault(DiskFault fault, std::uint64_t operation) {
  fault_ = fault;
  fault_operation_ = operation;
  operations_ = 0;
  fault_met_ = false;
}

// The functions that SQLite calls, and the file that it makes room for.
struct SimDisk::Calls {
  struct Open {
    sqlite3_file base;
    SimDisk* disk;
    std::shared_ptr<File>* file;  // SQLite frees its memory without a destructor
    bool is_journal;              // its first sync makes the directory sure, as SQLite does on Unix
  };
  static Open& open_of(sqlite3_file* file) { return *reinterpret_cast<Open*>(file); }
  static SimDisk& disk_of(sqlite3_vfs* vfs) { return *static_cast<SimDisk*>(vfs->pAppData); }

  static int close(sqlite3_file* file) {
    Open& open = open_of(file);
    --open.disk->open_files_;
    delete std::exchange(open.file, nullptr);
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
    Open& open = open_of(file);
    if (open.disk->begins_to_fail()) return SQLITE_IOERR_READ;
    const std::string& content = (*open.file)->content;
    const auto wanted = static_cast<std::size_t>(size);
    const auto from = std::min(static_cast<std::size_t>(offset), content.size());
    const std::size_t there = std::min(wanted, content.size() - from);
    std::memcpy(to, content.data() + from, there);
    if (there == wanted) return SQLITE_OK;
    std::memset(static_cast<char*>(to) + there, 0, wanted - there);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
    Open& open = open_of(file);
    bool full = false;
    const std::string_view bytes(static_cast<const char*>(from), static_cast<std::size_t>(size));
    if (open.disk->write(**open.file, static_cast<std::uint64_t>(offset), bytes, full)) {
      return SQLITE_OK;
    }
    return full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    Open& open = open_of(file);
    if (open.disk->begins_to_fail()) return SQLITE_IOERR_TRUNCATE;
    File& held = **open.file;
    held.unsynced.push_back(
        {.truncates = true, .offset = static_cast<std::uint64_t>(size), .bytes = {}});
    held.apply(held.unsynced.back(), held.content);
    return SQLITE_OK;
  }

  static int sync(sqlite3_file* file, int /*flags*/) {
    Open& open = open_of(file);
    if (open.disk->begins_to_fail()) return SQLITE_IOERR_FSYNC;
    open.disk->sync(**open.file, std::exchange(open.is_journal, false));
    return SQLITE_OK;
  }

  static int file_size(sqlite3_file* file, sqlite3_int64* size) {
    Open& open = open_of(file);
    if (open.disk->begins_to_fail()) return SQLITE_IOERR_FSTAT;
    *size = static_cast<sqlite3_int64>((*open.file)->content.size());
    return SQLITE_OK;
  }

  static int lock(sqlite3_file* /*file*/, int /*level*/) { return SQLITE_OK; }
  static int is_reserved(sqlite3_file* /*file*/, int* result) {
    *result = 0;
    return SQLITE_OK;
  }
  static int control(sqlite3_file* /*file*/, int /*operation*/, void* /*argument*/) {
    return SQLITE_NOTFOUND;
  }
  static int sector_size(sqlite3_file* /*file*/) { return kSectorSize; }
  // What the VFS for Unix says by default: a write leaves the bytes beside it alone.
  static int characteristics(sqlite3_file* /*file*/) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int shared_map(sqlite3_file* file, int region, int size, int extend,
                        void volatile** memory) {
    Open& open = open_of(file);
    *memory = nullptr;
    if (open.disk->begins_to_fail()) return SQLITE_IOERR_SHMMAP;
    auto& regions = (*open.file)->shared_memory;
    const auto index = static_cast<std::size_t>(region);
    while (extend != 0 && regions.size() <= index) {
      regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(size)));
    }
    if (index < regions.size()) *memory = regions[index].get();
    return SQLITE_OK;
  }
  static int shared_lock(sqlite3_file* /*file*/, int /*from*/, int /*count*/, int /*flags*/) {
    return SQLITE_OK;
  }
  static void shared_barrier(sqlite3_file* /*file*/) {}
  // The only connection leaves: the next one builds the index anew.
  static int shared_unmap(sqlite3_file* file, int /*remove*/) {
    (*open_of(file).file)->shared_memory.clear();
    return SQLITE_OK;
  }

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags,
                  int* flags_out) {
    SimDisk& disk = disk_of(vfs);
    file->pMethods = nullptr;
    if (disk.begins_to_fail()) return SQLITE_CANTOPEN;
    std::shared_ptr<File> found;
    if (path == nullptr) {
      found = std::make_shared<File>();
    } else if (const auto at = disk.files_.find(std::string_view(path)); at != disk.files_.end()) {
      found = at->second;
    } else if ((flags & SQLITE_OPEN_CREATE) != 0) {
      found = disk.files_.emplace(path, std::make_shared<File>()).first->second;
    } else {
      return SQLITE_CANTOPEN;
    }
    constexpr int kJournals =
        SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    Open& open = open_of(file);
    open.disk = &disk;
    open.file = new std::shared_ptr<File>(std::move(found));
    open.is_journal = (flags & kJournals) != 0 && (flags & SQLITE_OPEN_CREATE) != 0;
    ++disk.open_files_;
    if (flags_out != nullptr) *flags_out = flags;
    file->pMethods = &kFileMethods;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* path, int sync_directory) {
    SimDisk& disk = disk_of(vfs);
    if (disk.begins_to_fail()) return SQLITE_IOERR_DELETE;
    const auto found = disk.files_.find(std::string_view(path));
    if (found == disk.files_.end()) return SQLITE_IOERR_DELETE_NOENT;
    disk.files_.erase(found);
    if (sync_directory != 0) disk.sure_files_ = disk.files_;
    return SQLITE_OK;
  }

  static int access(sqlite3_vfs* vfs, const char* path, int /*flags*/, int* result) {
    SimDisk& disk = disk_of(vfs);
    if (disk.begins_to_fail()) return SQLITE_IOERR_ACCESS;
    // An empty journal counts as none, as with the VFS for Unix.
    const auto found = disk.files_.find(std::string_view(path));
    *result = found != disk.files_.end() && !found->second->content.empty() ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs* /*vfs*/, const char* path, int size, char* out) {
    const std::string_view text(path);
    if (text.size() >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
    *std::copy(text.begin(), text.end(), out) = '\0';
    return SQLITE_OK;
  }

  static int randomness(sqlite3_vfs* vfs, int size, char* out) {
    for (int i = 0; i < size; ++i) {
      out[i] = static_cast<char>(disk_of(vfs).rng_.below(256));
    }
    return size;
  }
  static int sleep(sqlite3_vfs* /*vfs*/, int microseconds) { return microseconds; }
  static int time(sqlite3_vfs* /*vfs*/, sqlite3_int64* julian_ms) {
    *julian_ms = kStartJulianMs;
    return SQLITE_OK;
  }
  static int last_error(sqlite3_vfs* /*vfs*/, int /*size*/, char* /*out*/) { return 0; }

  static const sqlite3_io_methods kFileMethods;
};

const sqlite3_io_methods SimDisk::Calls::kFileMethods = {
    .iVersion = 2,
    .xClose = close,
    .xRead = read,
    .xWrite = write,
    .xTruncate = truncate,
    .xSync = sync,
    .xFileSize = file_size,
    .xLock = lock,
    .xUnlock = lock,
    .xCheckReservedLock = is_reserved,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shared_map,
    .xShmLock = shared_lock,
    .xShmBarrier = shared_barrier,
    .xShmUnmap = shared_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

SimDisk::SimDisk(std::string name, std::uint64_t seed, OnSync on_sync)
    : name_(std::move(name)),
      rng_(seed, 0xD15C),
      on_sync_(std::move(on_sync)),
      vfs_(std::make_unique<sqlite3_vfs>()) {
  UNDERSTUDY_ASSERT(sqlite3_vfs_find(name_.c_str()) == nullptr);
  *vfs_ = {};
  vfs_->iVersion = 2;
  vfs_->szOsFile = sizeof(Calls::Open);
  vfs_->mxPathname = kNameSizeMax;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = Calls::open;
  vfs_->xDelete = Calls::remove;
  vfs_->xAccess = Calls::access;
  vfs_->xFullPathname = Calls::full_path;
  vfs_->xRandomness = Calls::randomness;
  vfs_->xSleep = Calls::sleep;
  vfs_->xGetLastError = Calls::last_error;
  vfs_->xCurrentTimeInt64 = Calls::time;
  UNDERSTUDY_ASSERT(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK);
}

SimDisk::~SimDisk() {
  UNDERSTUDY_ASSERT(open_files_ == 0);
  sqlite3_vfs_unregister(vfs_.get());
}

}  // namespace understudy
