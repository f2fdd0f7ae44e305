#include "ingest/log_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "ingest/log_time.hpp"
#include "ingest/reject.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class LogPaths : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a/2.jsonl", "a/1.jsonl", "b/1.jsonl", "b/[x].jsonl"}) {
      fs::create_directories((root_ / name).parent_path());
      std::ofstream(root_ / name) << "{}\n";
    }
    fs::create_directories(root_ / "a" / "3.jsonl");  // a directory that the glob matches
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string at(const std::string& path) const { return (root_ / path).string(); }

  fs::path root_ = fs::path(testing::TempDir()) / ("paths_" + std::to_string(::getpid()));
};

TEST_F(LogPaths, GlobsAreSortedAndFilesComeOnce) {
  const auto files = expand_log_paths({at("a/*.jsonl"), at("a/1.jsonl"), at("b/[x].jsonl")});
  ASSERT_TRUE(files.has_value());
  std::vector<std::string> paths;
  for (const LogFile& file : *files) paths.push_back(file.path);
  EXPECT_THAT(paths, ElementsAre(at("a/1.jsonl"), at("a/2.jsonl"), at("b/[x].jsonl")));
}

TEST_F(LogPaths, NamesAreShortAndApart) {
  const auto files = expand_log_paths({at("*/*.jsonl")});
  ASSERT_TRUE(files.has_value());
  std::vector<std::string> names;
  for (const LogFile& file : *files) names.push_back(file.name);
  EXPECT_THAT(names, ElementsAre("a/1.jsonl", "2.jsonl", "b/1.jsonl", "[x].jsonl"));
}

TEST_F(LogPaths, MistakesAreUsageErrorsThatSayWhatToDo) {
  const auto message_for = [](const std::string& path) {
    const auto files = expand_log_paths({path});
    EXPECT_FALSE(files.has_value());
    EXPECT_EQ(files.error().code, ErrorCode::kUsage);
    return files.error().describe();
  };
  EXPECT_THAT(message_for(at("a")), HasSubstr(at("a") + "/*.jsonl"));
  EXPECT_THAT(message_for(at("c.jsonl")), HasSubstr("no such log file"));
  EXPECT_THAT(message_for(at("c*.jsonl")), HasSubstr("no log file matches"));
}

TEST(LogFormats, HaveNamesAndTheNearestIsSuggested) {
  for (const char* name : {"auto", "messages", "wildchat", "sharegpt"}) {
    EXPECT_EQ(log_format_name(log_format_named(name).value()), name);
  }
  EXPECT_THAT(log_format_named("sharegtp").error().message, HasSubstr("\"sharegpt\""));
}

TEST(Rejects, ALineHoldsWhereAndWhyAndNothingElse) {
  EXPECT_EQ(reject_line({{"logs/a \"b\".jsonl", 3, 5'000'000'000}, RejectReason::kLoneSurrogate}),
            R"({"byte_offset":5000000000,"file":"logs/a \"b\".jsonl","line":3,)"
            R"("reason":"lone_surrogate"})"
            "\n");
}

TEST(LogTime, ReadsWhatLogsWrite) {
  for (const char* text :
       {"2023-04-09T00:02:53Z", "2023-04-09 00:02:53", "2023-04-09T02:02:53.25+02:00",
        "2023-04-08T19:02:53-0500", "2023-04-09 00:02:53 UTC", "1680998573", "1680998573000"}) {
    EXPECT_EQ(parse_log_time(text), 1'680'998'573) << text;
  }
  EXPECT_EQ(parse_log_time("2023-04-09"), 1'680'998'400);
  EXPECT_EQ(parse_log_time("1969-12-31T23:59:59Z"), -1);
  EXPECT_EQ(log_time_of_number(1'680'998'573.7), 1'680'998'573);
  EXPECT_EQ(log_time_of_number(1'680'998'573'700.0), 1'680'998'573);
  for (const char* text : {"", "yesterday", "2023-13-01", "2023-02-29", "2023-04-09T25:00:00",
                           "2023-04-09T00:02:53+2", "2023-04-09 and more", "-5", "inf"}) {
    EXPECT_EQ(parse_log_time(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace understudy
