// The ledger of batch files, and uploads that were not heard of; the verbs themselves are tested as
// a whole program (tests/program/batch.py).
#include "engine/batch_replay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace understudy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

BatchFile some_file() {
  BatchFile file;
  file.name = "batch-0001-deployed_replay.jsonl";
  file.folder = "s/batch";
  file.arm = Arm::kDeployedReplay;
  file.tag = "0123cdef";
  file.frame = "89ab01234567";
  file.draws = 2;
  file.asked = 4;
  for (const std::uint64_t number : {3U, 4U, 5U, 9U}) append_draw(file.out, number);
  file.state = BatchState::kUploading;
  return file;
}

TEST(BatchLedger, DrawsAreKeptAsRuns) {
  const BatchFile file = some_file();
  EXPECT_THAT(file.out, ElementsAre(Pair(3, 3), Pair(9, 1)));
  EXPECT_EQ(count_draws(file.out), 4U);
}

TEST(BatchLedger, ReadsBackAsWritten) {
  const std::string folder = testing::TempDir() + "understudy_ledger";
  std::filesystem::remove_all(folder);
  auto store = StudyStore::open(folder, StudyStore::Mode::kCreate);
  ASSERT_TRUE(store.has_value());
  EXPECT_TRUE(load_batches(*store)->empty());
  BatchFile other = some_file();
  other.arm = Arm::kCandidate;
  other.remote = "batch_1";
  other.remote_status = "in_progress";
  other.state = BatchState::kClosed;
  other.out.clear();
  ASSERT_TRUE(save_batches(*store, {some_file(), other}).has_value());
  const auto read = load_batches(*store);
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), 2U);
  const BatchFile& first = read->front();
  EXPECT_EQ(first.path(), some_file().path());
  EXPECT_EQ(first.arm, Arm::kDeployedReplay);
  EXPECT_EQ(first.tag, some_file().tag);
  EXPECT_EQ(first.frame, some_file().frame);
  EXPECT_EQ(first.draws, 2U);
  EXPECT_EQ(first.asked, 4U);
  EXPECT_EQ(first.out, some_file().out);
  EXPECT_EQ(first.state, BatchState::kUploading);
  EXPECT_EQ(read->back().arm, Arm::kCandidate);
  EXPECT_EQ(read->back().remote, "batch_1");
  EXPECT_EQ(read->back().remote_status, "in_progress");
  EXPECT_EQ(read->back().state, BatchState::kClosed);
  std::filesystem::remove_all(folder);
}

class FakeApi final : public BatchApi {
 public:
  explicit FakeApi(std::optional<std::vector<RemoteBatch>> known) : known_(std::move(known)) {}
  Result<RemoteBatch> submit(const std::string&, std::string_view) override {
    return RemoteBatch{};
  }
  Result<RemoteBatch> state(const std::string&) override { return RemoteBatch{}; }
  Result<std::optional<std::vector<RemoteBatch>>> newest() override { return known_; }
  Result<void> download(const std::string&, const std::string&) override { return {}; }

 private:
  std::optional<std::vector<RemoteBatch>> known_;
};

TEST(BatchUpload, OneThatWasNotHeardOfIsLookedForByName) {
  RemoteBatch same;
  same.id = "batch_7";
  same.name = remote_name(some_file());
  same.status = "in_progress";
  RemoteBatch stranger;
  stranger.id = "batch_8";
  stranger.name = "theirs";

  BatchFile taken = some_file();
  FakeApi knows(std::vector<RemoteBatch>{stranger, same});
  ASSERT_TRUE(settle_upload(knows, taken).has_value());
  EXPECT_EQ(taken.state, BatchState::kUploaded);
  EXPECT_EQ(taken.remote, "batch_7");

  BatchFile lost = some_file();
  FakeApi does_not(std::vector<RemoteBatch>{stranger});
  ASSERT_TRUE(settle_upload(does_not, lost).has_value());
  EXPECT_EQ(lost.state, BatchState::kWritten) << "it can be sent again";

  BatchFile unknown = some_file();
  FakeApi keeps_no_names(std::nullopt);
  const auto settled = settle_upload(keeps_no_names, unknown);
  ASSERT_FALSE(settled.has_value());
  EXPECT_EQ(settled.error().code, ErrorCode::kInfrastructure);
  EXPECT_THAT(settled.error().message, HasSubstr("--rest open"));
  EXPECT_EQ(unknown.state, BatchState::kUploading) << "never sent twice by itself";
}

}  // namespace
}  // namespace understudy
