// The simulated disk under SQLite itself: what was committed survives, what was not may not, and
// each kind of fault is seen as what it is.

#include "testing/sim_disk.hpp"

#include <gtest/gtest.h>

#include "store/sqlite.hpp"

namespace understudy {
namespace {

Result<Database> open_journaled(const SimDisk& disk) {
  UNDERSTUDY_TRY(Database database, Database::open("study.db", false, disk.vfs_name()));
  UNDERSTUDY_CHECK(database.execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
      "CREATE TABLE IF NOT EXISTS kept (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)"));
  return database;
}

Result<void> add_row(Database& database, std::int64_t id) {
  UNDERSTUDY_TRY(Statement insert, database.prepare("INSERT INTO kept VALUES (?, ?)"));
  return insert.bind(1, id).bind_blob(2, std::string(3000, 'x')).run();
}

// Adds rows until the disk fails; how many were committed.
std::int64_t add_rows(const SimDisk& disk, std::int64_t from) {
  auto database = open_journaled(disk);
  if (!database) return from;
  while (from < 1000 && add_row(*database, from + 1)) ++from;
  return from;
}

std::int64_t rows(const SimDisk& disk) {
  auto database = open_journaled(disk);
  EXPECT_TRUE(database.has_value());
  EXPECT_EQ(*database
                 ->integer("SELECT count(*) FROM pragma_integrity_check "
                           "WHERE integrity_check = 'ok'")
                 .value(),
            1);
  return database->integer("SELECT count(*) FROM kept").value().value();
}

TEST(SimDisk, CommittedRowsSurviveEveryCrash) {
  std::int64_t lost_in_commit = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    SimDisk disk("crashes", seed);
    std::int64_t committed = 0;
    for (const std::uint64_t operation : {7 + seed, 20 + seed / 2, seed + 1}) {
      disk.set_fault(DiskFault::kCrash, operation);
      committed = add_rows(disk, committed);
      ASSERT_TRUE(disk.crashed());
      disk.restart();
      // A commit that the crash cut short may be there or not.
      const std::int64_t there = rows(disk);
      ASSERT_TRUE(there == committed || there == committed + 1) << there << " of " << committed;
      lost_in_commit += there - committed;
      committed = there;
    }
  }
  EXPECT_GT(lost_in_commit, 0);
}

TEST(SimDisk, ADiskThatLiesAboutSyncingLosesRows) {
  std::int64_t lost = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SimDisk disk("lies", seed);
    disk.ignore_syncs();
    disk.set_fault(DiskFault::kCrash, 100);
    const std::int64_t committed = add_rows(disk, 0);
    disk.restart();
    auto database = open_journaled(disk);
    const auto there =
        database ? database->integer("SELECT count(*) FROM kept") : unexpected(database.error());
    lost += there ? committed - there->value() : committed;
  }
  EXPECT_GT(lost, 20);
}

TEST(SimDisk, AFullDiskKeepsWhatIsThere) {
  SimDisk disk("full", 1);
  disk.set_fault(DiskFault::kFull, 100);
  const std::int64_t committed = add_rows(disk, 0);
  EXPECT_TRUE(disk.fault_met());
  EXPECT_GT(committed, 0);
  disk.stop_faults();
  EXPECT_EQ(rows(disk), committed);
}

TEST(SimDisk, AnErrorThatPassesLeavesTheRestWorking) {
  SimDisk disk("once", 1);
  auto database = open_journaled(disk);
  ASSERT_TRUE(database.has_value());
  disk.set_fault(DiskFault::kErrorOnce, 1);
  EXPECT_FALSE(add_row(*database, 1).has_value());
  EXPECT_TRUE(add_row(*database, 1).has_value());
  disk.set_fault(DiskFault::kErrorFromThen, 1);
  EXPECT_FALSE(add_row(*database, 2).has_value());
  EXPECT_FALSE(add_row(*database, 2).has_value());
}

}  // namespace
}  // namespace understudy
