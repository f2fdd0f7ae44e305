#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "store/schema.hpp"
#include "store/study_store.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = (fs::temp_directory_path() /
                  ("understudy_store_" +
                   std::string(testing::UnitTest::GetInstance()->current_test_info()->name())))
                     .string();
    fs::remove_all(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  StudyStore open(StudyStore::Mode mode = StudyStore::Mode::kCreate) {
    auto store = StudyStore::open(directory_, mode);
    EXPECT_TRUE(store.has_value()) << store.error().describe();
    return std::move(store).value();
  }

  std::string directory_;
};

Conversation conversation(int number) {
  Conversation made;
  made.id = "c" + std::to_string(number);
  made.cluster = "user" + std::to_string(number % 3);
  made.model = "gpt";
  made.time_s = number;
  made.tools = "[]";
  made.messages.resize(3);
  made.messages[0].role = Role::kSystem;
  made.messages[0].content = std::string(200, 's');
  made.messages[1].content = "question number " + std::to_string(number);
  made.messages[2].role = Role::kAssistant;
  made.messages[2].content = "answer number " + std::to_string(number);
  return made;
}

template <class Body>
void commit(StudyStore& store, Body body) {
  auto transaction = store.transaction();
  ASSERT_TRUE(transaction.has_value());
  body();
  ASSERT_TRUE(transaction->commit().has_value());
}

TEST_F(StoreTest, GivesBackConversationsAsTheyWere) {
  {
    StudyStore store = open();
    commit(store, [&] {
      std::vector<std::string> texts;
      for (int i = 0; i < 500; ++i) texts.push_back(encode_messages(conversation(i).messages));
      ASSERT_TRUE(store.set_dictionary(texts).has_value());
      for (int i = 0; i < 500; ++i)
        ASSERT_TRUE(store.add_conversation(conversation(i)).has_value());
    });
  }
  StudyStore store = open(StudyStore::Mode::kRead);
  int next = 0;
  ASSERT_TRUE(
      store
          .for_each_conversation([&](const StoredConversation& stored) -> Result<void> {
            Conversation expected = conversation(next++);
            expected.cluster.clear();  // only its hash is kept
            EXPECT_EQ(stored.conversation, expected);
            EXPECT_EQ(stored.cluster, hash64({"cluster", "user" + std::to_string((next - 1) % 3)}));
            return {};
          })
          .has_value());
  EXPECT_EQ(next, 500);
}

TEST_F(StoreTest, KeepsEverythingPrivateToItsOwner) {
  open();
  struct stat info {};
  ASSERT_EQ(::stat(directory_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
  ASSERT_EQ(::stat((directory_ + "/study.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(StoreTest, RefusesASecondWriterAndANewerSchema) {
  {
    StudyStore store = open();
    const auto second = StudyStore::open(directory_, StudyStore::Mode::kWrite);
    ASSERT_FALSE(second.has_value());
    EXPECT_NE(second.error().message.find("another understudy process"), std::string::npos);
  }
  {
    auto database = Database::open(directory_ + "/study.db", false);
    ASSERT_TRUE(database->execute("PRAGMA user_version = 99").has_value());
  }
  const auto newer = StudyStore::open(directory_, StudyStore::Mode::kWrite);
  ASSERT_FALSE(newer.has_value());
  EXPECT_NE(newer.error().message.find("99"), std::string::npos);
}

TEST_F(StoreTest, SaysWhatIsNotAStudy) {
  const auto missing = StudyStore::open(directory_, StudyStore::Mode::kRead);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kUsage);
  fs::create_directories(directory_);
  std::ofstream(directory_ + "/study.db") << std::string(5000, 'x');
  const auto garbage = StudyStore::open(directory_, StudyStore::Mode::kWrite);
  ASSERT_FALSE(garbage.has_value());
  EXPECT_EQ(garbage.error().code, ErrorCode::kInfrastructure);
}

TEST_F(StoreTest, DrawsAreReadInKeyOrderAndCanBeRetried) {
  StudyStore store = open();
  const Completion good{.content = "fine",
                        .reasoning = "",
                        .tool_calls = {},
                        .finish = FinishReason::kStop,
                        .usage = {1, 2}};
  const Failure bad{FailureReason::kTimeout, "60 s"};
  commit(store, [&] {
    ASSERT_TRUE(store.add_draw({{Arm::kCandidate, 2, 1}, 1, good, 7}).has_value());
    ASSERT_TRUE(store.add_draw({{Arm::kCandidate, 2, 0}, 3, bad, 7}).has_value());
    ASSERT_TRUE(store.add_draw({{Arm::kCandidate, 1, 0}, 1, good, 7}).has_value());
    ASSERT_TRUE(store.add_draw({{Arm::kDeployedReplay, 1, 0}, 1, good, 7}).has_value());
  });
  std::vector<DrawStatus> seen;
  const auto collect = [&](const DrawStatus& status) -> Result<void> {
    seen.push_back(status);
    return {};
  };
  ASSERT_TRUE(store.for_each_draw_status(Arm::kCandidate, collect).has_value());
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].key, (DrawKey{Arm::kCandidate, 1, 0}));
  EXPECT_EQ(seen[1].failed, FailureReason::kTimeout);
  EXPECT_EQ(seen[2].key, (DrawKey{Arm::kCandidate, 2, 1}));
  commit(store, [&] {
    ASSERT_TRUE(store.add_draw({{Arm::kCandidate, 2, 0}, 4, good, 7}).has_value());
  });
  EXPECT_EQ(*store.draw_count(), 4);
  EXPECT_EQ(std::get<Completion>((*store.draw({Arm::kCandidate, 2, 0}))->outcome), good);
  EXPECT_EQ((*store.draw({Arm::kCandidate, 2, 0}))->window_bytes, 7U);
}

TEST_F(StoreTest, AnUncommittedTransactionLeavesNothing) {
  StudyStore store = open();
  {
    auto transaction = store.transaction();
    ASSERT_TRUE(transaction.has_value());
    ASSERT_TRUE(store.set_meta("a", "1").has_value());
  }
  EXPECT_FALSE((*store.meta("a")).has_value());
}

TEST_F(StoreTest, FramePrefixesAndVerdictsComeBack) {
  StudyStore store = open();
  const std::vector<FrameTurn> turns = {{2, std::nullopt}, {4, 0}, {6, 900}};
  commit(store, [&] {
    ASSERT_TRUE(store.set_dictionary({}).has_value());
    ASSERT_TRUE(store.add_conversation(conversation(1)).has_value());
    ASSERT_TRUE(store.add_frame(1, turns).has_value());
    ASSERT_TRUE(
        store
            .add_prefix(
                {.id = 1, .conversation = 1, .cut = 2, .pi = 0.5, .content_hash = sha256("x")})
            .has_value());
    const auto grader = store.grader("refusal", GradingLayer::kScreen, sha256("v1"));
    EXPECT_EQ(*grader, *store.grader("refusal", GradingLayer::kScreen, sha256("v1")));
    EXPECT_NE(*grader, *store.grader("refusal", GradingLayer::kScreen, sha256("v2")));
    ASSERT_TRUE(
        store.add_verdicts(*grader, Arm::kDeployed, 0, 3, {{1, Verdict::kPresent}}).has_value());
  });
  ASSERT_TRUE(store
                  .for_each_framed([&](const StoredConversation& stored) -> Result<void> {
                    EXPECT_EQ(stored.turns, turns);
                    return {};
                  })
                  .has_value());
  int times = 0;
  ASSERT_TRUE(store
                  .for_each_frame_time(
                      [&](std::int64_t id, std::optional<std::int64_t> time_s) -> Result<void> {
                        EXPECT_EQ(id, 1);
                        EXPECT_EQ(time_s, conversation(1).time_s);
                        ++times;
                        return {};
                      })
                  .has_value());
  EXPECT_EQ(times, 1);
  int blocks = 0;
  ASSERT_TRUE(
      store
          .for_each_verdict_block(1, Arm::kDeployed,
                                  [&](std::uint64_t first, std::uint64_t count,
                                      const std::vector<SparseVerdict>& verdicts) -> Result<void> {
                                    EXPECT_EQ(first, 0U);
                                    EXPECT_EQ(count, 3U);
                                    EXPECT_EQ(verdicts.at(0).position, 1U);
                                    ++blocks;
                                    return {};
                                  })
          .has_value());
  EXPECT_EQ(blocks, 1);
  ASSERT_TRUE(store
                  .for_each_prefix_cluster([&](const PrefixCluster& prefix) -> Result<void> {
                    EXPECT_EQ(prefix.id, 1);
                    EXPECT_EQ(prefix.conversation, 1);
                    EXPECT_EQ(prefix.cut, 2U);
                    EXPECT_EQ(prefix.cluster, hash64({"cluster", "user1"}));
                    return {};
                  })
                  .has_value());
}

TEST_F(StoreTest, AFrameOfVersion1GetsItsClusters) {
  {
    StudyStore store = open();
    commit(store, [&] {
      for (int i = 1; i <= 3; ++i) {
        ASSERT_TRUE(store.add_conversation(conversation(i)).has_value());
        if (i == 2) continue;
        ASSERT_TRUE(store.add_frame(i, {{2, std::nullopt}}).has_value());
      }
    });
  }
  {
    auto database = Database::open(directory_ + "/study.db", false);
    ASSERT_TRUE(database
                    ->execute("ALTER TABLE frame DROP COLUMN cluster; DROP TABLE audit; "
                              "ALTER TABLE draw DROP COLUMN trajectory; DROP TABLE draw_step; "
                              "DROP TABLE embedding; PRAGMA user_version = 1;")
                    .has_value());
  }
  StudyStore store = open(StudyStore::Mode::kWrite);
  std::vector<std::pair<std::int64_t, std::uint64_t>> seen;
  const auto visit = [&](std::int64_t id, std::uint64_t cluster,
                         const std::vector<FrameTurn>& turns) -> Result<void> {
    EXPECT_EQ(turns.size(), 1U);
    seen.emplace_back(id, cluster);
    return {};
  };
  ASSERT_TRUE(store.for_each_frame_cluster(visit).has_value());
  EXPECT_EQ(seen, (std::vector<std::pair<std::int64_t, std::uint64_t>>{
                      {1, hash64({"cluster", "user1"})}, {3, hash64({"cluster", "user0"})}}));
}

TEST_F(StoreTest, EmbeddingsAreKeptAsTheyAreAndAnOlderStudyHasNone) {
  const Digest text = sha256("a text");
  {
    StudyStore store = open();
    commit(store, [&] {
      ASSERT_TRUE(store.add_embedding(text, {.failed = "timeout", .vector = {}}).has_value());
      EXPECT_EQ((*store.embedding(text))->failed, "timeout");
      ASSERT_TRUE(store.add_embedding(text, {.failed = "", .vector = {0.6F, -0.8F}}).has_value());
    });
  }
  {
    StudyStore store = open(StudyStore::Mode::kRead);
    EXPECT_EQ((*store.embedding(text))->failed, "");
    EXPECT_EQ((*store.embedding(text))->vector, (std::vector<float>{0.6F, -0.8F}));
    EXPECT_FALSE(store.embedding(sha256("another"))->has_value());
  }
  {
    auto database = Database::open(directory_ + "/study.db", false);
    ASSERT_TRUE(database->execute("DROP TABLE embedding; PRAGMA user_version = 4;").has_value());
  }
  EXPECT_FALSE(open(StudyStore::Mode::kRead).embedding(text)->has_value());
  StudyStore store = open(StudyStore::Mode::kWrite);
  commit(store, [&] {
    ASSERT_TRUE(store.add_embedding(text, {.failed = "", .vector = {1}}).has_value());
  });
  EXPECT_EQ((*store.embedding(text))->vector, (std::vector<float>{1}));
}

TEST_F(StoreTest, ReadsADictionaryThatIsNotCompressed) {
  {
    StudyStore store = open();
    commit(store, [&] {
      std::vector<std::string> texts;
      for (int i = 0; i < 500; ++i) texts.push_back(encode_messages(conversation(i).messages));
      ASSERT_TRUE(store.set_dictionary(texts).has_value());
      ASSERT_TRUE(store.add_conversation(conversation(1)).has_value());
      const auto compressed = store.meta("dictionary_zstd");
      ASSERT_TRUE(compressed.has_value() && compressed->has_value());
      const auto dictionary = Compressor("").decompress(**compressed);
      ASSERT_GT(dictionary->size(), (*compressed)->size());
      ASSERT_TRUE(store.set_meta("dictionary", *dictionary).has_value());
    });
  }
  {
    auto database = Database::open(directory_ + "/study.db", false);
    ASSERT_TRUE(database->execute("DELETE FROM meta WHERE key = 'dictionary_zstd'").has_value());
  }
  StudyStore store = open(StudyStore::Mode::kWrite);
  EXPECT_EQ(store.conversation(1)->conversation.messages, conversation(1).messages);
}

TEST_F(StoreTest, DrawStatusesOfAllKindsComeInKeyOrder) {
  StudyStore store = open();
  const Completion good{.content = "fine",
                        .reasoning = "",
                        .tool_calls = {},
                        .finish = FinishReason::kStop,
                        .usage = {1, 2}};
  commit(store, [&] {
    for (const std::int64_t prefix : {9, 4, 7, 1, 2, 8, 3, 6, 5}) {
      StoredDraw draw{
          .key = {Arm::kCandidate, prefix, 0}, .attempts = 1, .outcome = good, .window_bytes = {}};
      if (prefix % 3 == 0) draw.outcome = Failure{FailureReason::kTimeout, ""};
      if (prefix % 3 == 1) draw.outcome = Failure{FailureReason::kConnection, ""};
      ASSERT_TRUE(store.add_draw(draw).has_value());
    }
  });
  std::int64_t next = 0;
  ASSERT_TRUE(store
                  .for_each_draw_status(Arm::kCandidate,
                                        [&](const DrawStatus& status) -> Result<void> {
                                          EXPECT_EQ(status.key.prefix, ++next);
                                          EXPECT_EQ(status.failed.has_value(), next % 3 != 2);
                                          return {};
                                        })
                  .has_value());
  EXPECT_EQ(next, 9);
}

TEST_F(StoreTest, TrajectoriesAreTheirSteps) {
  StudyStore store = open();
  const DrawKey key{Arm::kCandidate, 3, 1};
  TrajectoryStep step;
  step.answer.content = "Let me look.";
  step.answer.tool_calls = {{.id = "a", .name = "lookup", .arguments = "{}"}};
  TrajectoryStep known = step;
  known.events = {{.level = "recorded", .trouble = "", .result = "5"}};
  commit(store, [&] {
    ASSERT_TRUE(store.add_step(key, 0, known).has_value());
    ASSERT_TRUE(store.add_step(key, 1, step).has_value());
    ASSERT_TRUE(store.add_step(key, 1, known).has_value());  // its calls were answered
    ASSERT_TRUE(store.add_step(key, 2, step).has_value());
  });
  std::vector<DrawKey> begun;
  const auto collect = [&](const DrawKey& one) -> Result<void> {
    begun.push_back(one);
    return {};
  };
  ASSERT_TRUE(store.for_each_begun(Arm::kCandidate, collect).has_value());
  EXPECT_EQ(begun, std::vector<DrawKey>{key});
  EXPECT_EQ(store.draw_count().value(), 1);
  EXPECT_EQ(store.steps(key).value(), (std::vector<TrajectoryStep>{known, known, step}));
  StoredDraw draw{.key = key,
                  .attempts = 3,
                  .outcome = step.answer,
                  .window_bytes = {},
                  .trajectory = Trajectory{.end = Termination::kUnknownTool}};
  commit(store, [&] {
    ASSERT_TRUE(store.remove_step(key, 2).has_value());
    ASSERT_TRUE(store.add_draw(draw).has_value());
  });
  begun.clear();
  ASSERT_TRUE(store.for_each_begun(Arm::kCandidate, collect).has_value());
  EXPECT_TRUE(begun.empty());
  EXPECT_EQ(store.draw_count().value(), 1);
  const auto found = store.draw(key);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->trajectory,
            (Trajectory{.steps = {known, known}, .end = Termination::kUnknownTool}));
}

TEST_F(StoreTest, FramesOfTrajectoriesKeepTheirSteps) {
  StudyStore store = open();
  const std::vector<FrameTurn> plain = {{.cut = 1, .window_bytes = 7},
                                        {.cut = 3, .window_bytes = {}}};
  const std::vector<FrameTurn> long_ones = {{.cut = 1, .window_bytes = {}, .steps = 0},
                                            {.cut = 3, .window_bytes = 9, .steps = 4}};
  commit(store, [&] {
    ASSERT_TRUE(store.add_conversation(conversation(1)).has_value());
    ASSERT_TRUE(store.add_conversation(conversation(2)).has_value());
    ASSERT_TRUE(store.add_frame(1, plain).has_value());
    ASSERT_TRUE(store.add_frame(2, long_ones).has_value());
  });
  EXPECT_EQ(store.framed_conversation(1)->turns, plain);
  EXPECT_EQ(store.framed_conversation(2)->turns, long_ones);
}

// Short and long texts are compressed at different levels, by one dictionary.
TEST(Compressor, GivesBackTextsOfEachSize) {
  std::vector<std::string> texts;
  for (int i = 0; i < 2000; ++i) {
    texts.push_back("Answer " + std::to_string(i * 7919) + ": sort the records by both keys.");
  }
  const std::string dictionary = train_dictionary(texts);
  ASSERT_FALSE(dictionary.empty());
  for (const std::string& used : {std::string(), dictionary}) {
    const Compressor compressor(used);
    for (const std::size_t size : {0U, 1U, 100U, 511U, 512U, 513U, 5'000U}) {
      std::string text;
      while (text.size() < size) text += texts[text.size() % texts.size()];
      text.resize(size);
      EXPECT_EQ(compressor.decompress(compressor.compress(text)).value(), text) << size;
    }
  }
}

TEST_F(StoreTest, AnAuditIsKeptByGraderAndArmAndReplacedWhole) {
  StudyStore store = open();
  commit(store, [&] {
    ASSERT_TRUE(store
                    .set_audit(1, Arm::kCandidate,
                               {{{Arm::kCandidate, 3, 0}, 0.25}, {{Arm::kCandidate, 1, 2}, 0.25}})
                    .has_value());
    ASSERT_TRUE(store.set_audit(1, Arm::kDeployed, {{{Arm::kDeployed, 9, 4}, 1}}).has_value());
    ASSERT_TRUE(store.set_audit(2, Arm::kCandidate, {{{Arm::kCandidate, 7, 0}, 1}}).has_value());
  });
  const auto audit = store.audit(1, Arm::kCandidate);
  ASSERT_TRUE(audit.has_value() && audit->size() == 2);
  EXPECT_EQ(audit->at(0).key, (DrawKey{Arm::kCandidate, 1, 2}));
  EXPECT_EQ(audit->at(0).pi, 0.25);
  commit(store, [&] {
    ASSERT_TRUE(store.set_audit(1, Arm::kCandidate, {{{Arm::kCandidate, 5, 0}, 0.5}}).has_value());
  });
  EXPECT_EQ(store.audit(1, Arm::kCandidate)->size(), 1U);
  EXPECT_EQ(store.audit(1, Arm::kDeployed)->size(), 1U);
  EXPECT_EQ(store.audit(2, Arm::kCandidate)->size(), 1U);
}

TEST_F(StoreTest, OlderGradersStayAndAreListed) {
  StudyStore store = open();
  commit(store, [&] {
    const auto old = store.grader("refusal", GradingLayer::kScreen, sha256("v1"));
    const auto now = store.grader("refusal", GradingLayer::kScreen, sha256("v2"));
    const auto judge = store.grader("refusal", GradingLayer::kScreen, sha256("judge"));
    ASSERT_TRUE(store.grader("refusal", GradingLayer::kScreen, sha256("unused")).has_value());
    ASSERT_TRUE(store.add_verdicts(*old, Arm::kCandidate, 0, 3, {}).has_value());
    ASSERT_TRUE(store.add_verdicts(*old, Arm::kCandidate, 3, 2, {}).has_value());
    ASSERT_TRUE(store.add_verdicts(*now, Arm::kCandidate, 0, 7, {}).has_value());
    ASSERT_TRUE(
        store.add_judgement(*judge, {Arm::kCandidate, 1, 0}, Verdict::kPresent, Completion{})
            .has_value());
  });
  const auto graders = store.graders("refusal", GradingLayer::kScreen, Arm::kCandidate);
  ASSERT_TRUE(graders.has_value() && graders->size() == 3);
  EXPECT_EQ(graders->at(0).hash, sha256("v1"));
  EXPECT_EQ(graders->at(0).units, 5U);
  EXPECT_EQ(graders->at(1).units, 7U);
  EXPECT_EQ(graders->at(2).units, 0U);
  EXPECT_EQ(graders->at(2).judged, 1U);
  EXPECT_TRUE(store.graders("refusal", GradingLayer::kScreen, Arm::kDeployed)->empty());
}

TEST(Compressor, DamageIsAnError) {
  const Compressor compressor("");
  std::string blob = compressor.compress("some text that is long enough to matter, matter, matter");
  EXPECT_TRUE(compressor.decompress(blob).has_value());
  EXPECT_FALSE(compressor.decompress(blob.substr(0, blob.size() / 2)).has_value());
  EXPECT_FALSE(compressor.decompress("").has_value());
}

}  // namespace
}  // namespace understudy
