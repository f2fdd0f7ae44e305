// Counts on real files, where they are at hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "ingest/eligibility.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {
namespace {

struct Tally {
  std::uint64_t records = 0;
  std::vector<Reject> rejects;
  std::set<std::string> clusters;
  std::map<std::string, std::uint64_t> messages;  // by role, and by name where there is one
  std::uint64_t tool_calls = 0;
  std::uint64_t tool_results = 0;  // that name the call they answer
};

Tally read_all(const std::string& path, const LogOptions& options, Eligibility& eligibility) {
  Tally tally;
  Result<LogReader> reader = LogReader::open({.path = path, .name = "log"}, options);
  EXPECT_TRUE(reader.has_value());
  while (reader) {
    Result<LogItem> item = reader->next();
    EXPECT_TRUE(item.has_value());
    if (!item || std::holds_alternative<EndOfLog>(*item)) break;
    if (const Reject* reject = std::get_if<Reject>(&*item)) {
      tally.rejects.push_back(*reject);
      continue;
    }
    const LogRecord& record = std::get<LogRecord>(*item);
    ++tally.records;
    tally.clusters.insert(record.conversation.cluster);
    for (const Message& message : record.conversation.messages) {
      tally.tool_calls += message.tool_calls.size();
      tally.tool_results += message.role == Role::kTool && !message.tool_call_id.empty() ? 1 : 0;
      ++tally.messages[message.name.empty() ? std::string(role_name(message.role)) : message.name];
    }
    eligibility.admit(record);
  }
  return tally;
}

using Counts = std::map<std::string, std::uint64_t>;

TEST(RealLogs, TheShareGptFileThatIsCutOffGivesAllWholeRecordsAndOneReject) {
  const std::string path =
      UNDERSTUDY_CACHE_DIR "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "script/setup has not put " << path;
  Eligibility by_content(DuplicateRule::kByContent, {});
  const Tally tally = read_all(path, {}, by_content);
  EXPECT_EQ(tally.records, 17'671U);
  ASSERT_EQ(tally.rejects.size(), 1U);
  EXPECT_EQ(tally.rejects[0].reason, RejectReason::kTruncated);
  EXPECT_EQ(tally.rejects[0].position.byte_offset, 125'506'645U);
  EXPECT_EQ(tally.rejects[0].position.line, 604'515U);
  EXPECT_EQ(tally.clusters.size(), 9'460U);
  EXPECT_EQ(tally.messages, (Counts{{"assistant", 67'594},
                                    {"user", 61'422},
                                    {"system", 41},
                                    {"chatgpt", 8},
                                    {"bing", 4},
                                    {"bard", 2}}));
  EXPECT_EQ(by_content.excluded(),
            (Counts{{"empty", 126}, {"duplicate_content", 757}, {"starts_in_the_middle", 6'002}}));
  EXPECT_EQ(by_content.eligible(), 10'786U);
}

TEST(RealLogs, TauBenchRunsKeepEveryCallAndResult) {
  const std::string path = UNDERSTUDY_SHARED_DATA
      "/tau_bench/historical_trajectories/"
      "gpt-4o-airline.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  Eligibility by_id(DuplicateRule::kById, {});
  const Tally tally = read_all(path, {}, by_id);
  EXPECT_EQ(tally.records, 200U);
  EXPECT_TRUE(tally.rejects.empty());
  EXPECT_EQ(tally.clusters.size(), 50U) << "four trials of each task";
  EXPECT_EQ(tally.tool_calls, 1'164U);
  EXPECT_EQ(tally.tool_results, 1'164U);
}

TEST(RealLogs, SweAgentTrajectoriesAreReadWithTheirCalls) {
  const std::string folder = UNDERSTUDY_SHARED_DATA "/swe_agent";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  Tally sum;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".traj") continue;
    ++files;
    Eligibility by_id(DuplicateRule::kById, {});
    const Tally tally = read_all(entry.path().string(), {}, by_id);
    EXPECT_EQ(tally.records, 1U) << entry.path();
    EXPECT_TRUE(tally.rejects.empty()) << entry.path();
    for (const auto& [role, count] : tally.messages) sum.messages[role] += count;
    sum.tool_calls += tally.tool_calls;
    sum.tool_results += tally.tool_results;
  }
  EXPECT_EQ(files, 22U);
  EXPECT_EQ(sum.tool_calls, 44U);
  EXPECT_EQ(sum.tool_results, 44U);
  EXPECT_EQ(sum.messages,
            (Counts{{"assistant", 230}, {"user", 193}, {"tool", 44}, {"system", 22}}));
}

TEST(RealLogs, WildChatConversationsAreReadAndAllDistinct) {
  const std::string path = UNDERSTUDY_SHARED_DATA "/wildchat/conversations.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  Eligibility by_id(DuplicateRule::kById, {});
  const Tally tally = read_all(path, {}, by_id);
  EXPECT_EQ(tally.records, 589U);
  EXPECT_TRUE(tally.rejects.empty());
  EXPECT_EQ(tally.messages, (Counts{{"assistant", 2'410}, {"user", 2'389}}));
  EXPECT_EQ(by_id.excluded(), (Counts{{"starts_in_the_middle", 11}}));
  EXPECT_EQ(by_id.eligible(), 578U);
}

TEST(RealLogs, WildChatFilesCutInTheirMetadataAreRejectedAtTheirStart) {
  const std::string folder = UNDERSTUDY_SHARED_DATA "/wildchat/raw_truncated";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  const auto files = expand_log_paths({folder + "/*.json"});
  ASSERT_TRUE(files.has_value());
  ASSERT_EQ(files->size(), 60U);
  Eligibility by_id(DuplicateRule::kById, {});
  std::uint64_t whole = 0;
  std::map<RejectReason, int> reasons;
  for (const LogFile& file : *files) {
    const Tally tally = read_all(file.path, {}, by_id);
    whole += tally.records;
    for (const Reject& reject : tally.rejects) ++reasons[reject.reason];
    ASSERT_EQ(tally.records + tally.rejects.size(), 1U) << file.path;
  }
  EXPECT_EQ(whole, 17U);
  EXPECT_EQ(reasons, (std::map<RejectReason, int>{{RejectReason::kTruncated, 43}}));
}

}  // namespace
}  // namespace understudy
