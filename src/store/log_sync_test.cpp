#include "store/log_sync.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "store/sqlite.hpp"

namespace understudy {
namespace {

class LogSyncTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() /
             ("understudy_log_sync_" +
              std::string(testing::UnitTest::GetInstance()->current_test_info()->name())))
                .string();
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
    auto opened = Database::open(path_ + "/x.db", false);
    ASSERT_TRUE(opened.has_value());
    database_ = std::make_unique<Database>(std::move(*opened));
    run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x INTEGER)");
  }
  void TearDown() override {
    database_.reset();
    std::filesystem::remove_all(path_);
  }
  void run(const std::string& sql) { ASSERT_TRUE(database_->execute(sql).has_value()); }
  std::int64_t integer(const char* sql) { return **database_->integer(sql); }

  std::string path_;
  std::unique_ptr<Database> database_;
};

constexpr std::int64_t kNormal = 1;
constexpr std::int64_t kFull = 2;

TEST_F(LogSyncTest, FlushesBesideAndGivesTheOldWayBack) {
  {
    auto log = LogSync::start(*database_, path_ + "/x.db-wal");
    ASSERT_TRUE(log.has_value());
    ASSERT_NE(*log, nullptr);
    EXPECT_EQ(integer("PRAGMA synchronous"), kNormal);
    for (int i = 0; i < 50; ++i) {
      run("INSERT INTO t VALUES (1)");
      (*log)->begin();
      ASSERT_TRUE((*log)->wait().has_value());
      EXPECT_EQ((*log)->is_idle().value(), true);
    }
    (*log)->begin();  // is finished before it goes
  }
  EXPECT_EQ(integer("PRAGMA synchronous"), kFull);
  EXPECT_EQ(integer("SELECT count(*) FROM t"), 50);
}

TEST_F(LogSyncTest, AFailedFlushIsAnError) {
  // A file that can be opened but not flushed.
  auto log = LogSync::start(*database_, "/proc/self/status");
  ASSERT_TRUE(log.has_value());
  ASSERT_NE(*log, nullptr);
  (*log)->begin();
  const auto waited = (*log)->wait();
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().code, ErrorCode::kInfrastructure);
  EXPECT_FALSE((*log)->is_idle().has_value());
}

TEST_F(LogSyncTest, WithoutAFileCommitsGoOnWaiting) {
  const auto log = LogSync::start(*database_, path_ + "/nothing");
  ASSERT_TRUE(log.has_value());
  EXPECT_EQ(*log, nullptr);
  EXPECT_EQ(integer("PRAGMA synchronous"), kFull);
}

}  // namespace
}  // namespace understudy
