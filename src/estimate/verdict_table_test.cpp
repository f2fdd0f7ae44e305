#include "estimate/verdict_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/rng.hpp"

namespace understudy {
namespace {

using testing::HasSubstr;

class VerdictTable : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("verdict_table_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  TableRequest request(const std::string& table) const {
    TableRequest request;
    request.table = write("table", table);
    return request;
  }
  std::string json(const TableRequest& request) const {
    const auto estimate = estimate_table(request);
    EXPECT_TRUE(estimate) << (estimate ? "" : estimate.error().describe());
    return estimate ? write_json(estimate->report, JsonStyle::kPretty) : "";
  }
  /// The error of a table whose header is given and whose second line is `row`.
  Error error_of(const std::string& header, const std::string& rows) const {
    const auto estimate = estimate_table(request(header + "\n" + rows));
    EXPECT_FALSE(estimate) << "accepted: " << rows;
    return estimate ? Error{} : estimate.error();
  }
  std::filesystem::path folder_;
};

constexpr const char* kHeader =
    "behavior,arm,prefix,draw,cluster,pi_prefix,screen,oracle,pi_oracle,count";

TEST_F(VerdictTable, EstimatesCountedRowsOverRecall) {
  TableRequest request = this->request(std::string(kHeader) +
                                       "\na,candidate,,,,,1,1,1,8\na,candidate,,,,,1,0,1,100\n"
                                       "a,candidate,,,,,0,,,99892\n");
  request.recall = write("recall", "behavior,channel,positives,flagged\na,users,200,170\n");
  const auto estimate = estimate_table(request);
  ASSERT_TRUE(estimate);
  const ArmEstimate& arm = *estimate->behaviors.at(0).arm(Arm::kCandidate);
  EXPECT_NEAR(*arm.corrected.per_100k, 8 * 201 / 170.5, 1e-9);
  EXPECT_EQ(arm.corrected.method, "verified_over_recall");
  EXPECT_EQ(estimate->report["behaviors"][0]["candidate"]["screen"]["k"], 108);
  EXPECT_EQ(estimate->report["counts"]["draws"]["candidate"]["completed"], 100'000);
}

TEST_F(VerdictTable, SaysThatNothingIsDividedByRecall) {
  const std::string text =
      json(request(std::string(kHeader) + "\na,candidate,p1,0,,,1,,,\na,candidate,p2,0,,,0,,,\n"));
  EXPECT_THAT(text, HasSubstr("screen_relative"));
}

std::vector<std::string> random_rows(std::uint64_t seed, bool weighted) {
  Rng rng(seed);
  std::vector<std::string> rows;
  for (int i = 0; i < 600; ++i) {
    const std::string behavior = rng.below(2) == 0 ? "a" : "b";
    const std::string arm = rng.below(3) == 0 ? "deployed" : "candidate";
    const std::string cluster = rng.below(2) == 0 ? "u" + std::to_string(rng.below(40)) : "";
    const std::uint64_t kind = rng.below(20);
    const std::string screen = kind < 4 ? "1" : kind == 4 ? "ungradable" : "0";
    const bool verified = kind < 4 || kind == 7;
    rows.push_back(behavior + "," + arm + ",p" + std::to_string(i) + ",0," + cluster + "," +
                   (weighted ? "0." + std::to_string(1 + rng.below(9)) : "") + "," + screen + "," +
                   (verified ? (rng.below(2) == 0 ? "1," : "0,") : ",") +
                   (verified ? (kind < 4 ? "1" : "0.25") : "") + ",");
  }
  return rows;
}

std::string joined(const std::vector<std::string>& rows) {
  std::string text = std::string(kHeader) + "\n";
  for (const std::string& row : rows) text += row + "\n";
  return text;
}

TEST_F(VerdictTable, SameBytesForShuffledRows) {
  for (const bool weighted : {false, true}) {
    std::vector<std::string> rows = random_rows(3, weighted);
    const std::string expected = json(request(joined(rows)));
    Rng rng(4);
    for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[rng.below(i)]);
    EXPECT_EQ(json(request(joined(rows))), expected);
  }
}

TEST_F(VerdictTable, SameBytesForCountedRowsAndTheSameRowsWrittenOut) {
  std::string counted = std::string(kHeader) + "\n", written = counted;
  int prefix = 0;
  const auto add = [&](const std::string& before, const std::string& after, int count) {
    counted +=
        before + "x" + std::to_string(prefix) + ",0," + after + "," + std::to_string(count) + "\n";
    for (int i = 0; i < count; ++i) {
      written += before + "p" + std::to_string(prefix++) + ",0," + after + ",\n";
    }
  };
  add("a,candidate,", ",0.1,1,1,1", 7);
  add("a,candidate,", ",0.3,0,,", 900);
  add("a,candidate,", "user,0.3,1,0,1", 12);
  add("a,candidate,", "user,0.7,0,,", 3);
  add("a,candidate,", ",0.2,ungradable,,", 5);
  add("a,deployed,", ",,1,,", 11);
  add("a,deployed,", ",,0,,", 5000);
  EXPECT_EQ(json(request(counted)), json(request(written)));
}

TEST_F(VerdictTable, JsonLinesGiveTheSameEstimatesAsCsv) {
  const std::string csv =
      json(request(std::string(kHeader) + "\na,candidate,1,0,u,0.5,1,1,1,\n"
                                          "a,candidate,2,0,\"u\",0.25,0,,,3\n"));
  const std::string lines = json(request(
      R"({"behavior":"a","arm":"candidate","prefix":1,"draw":0,"cluster":"u","pi_prefix":0.5,"screen":1,"oracle":1,"pi_oracle":1})"
      "\n"
      R"({"behavior":"a","arm":"candidate","prefix":"2","draw":"0","cluster":"u","pi_prefix":0.25,"screen":"0","oracle":null,"count":3})"
      "\n"));
  EXPECT_EQ(lines, csv);
}

TEST_F(VerdictTable, ReadsQuotesCrLfByteOrderMarkAndAnyColumnOrder) {
  const std::string text = json(request(
      "\xEF\xBB\xBF\"screen\",prefix,arm,behavior,cluster\r\n"
      "1,\"p,1\",candidate,\"a \"\"b\"\"\nc\",u\r\n0,p2,candidate,\"a \"\"b\"\"\nc\",u\r\n"));
  EXPECT_THAT(text, HasSubstr(R"("name": "a \"b\"\nc")"));
}

TEST_F(VerdictTable, ErrorsNameFileLineAndByteOffset) {
  const std::string header = std::string(kHeader);
  const Error error = error_of(header, "a,candidate,p1,0,,,0,,,\na,candidate,p2,0,,1.5,0,,,\n");
  EXPECT_EQ(*error.where.line, 3);
  EXPECT_EQ(*error.where.byte_offset, header.size() + 1 + 24);
  EXPECT_THAT(error.where.file, HasSubstr("table"));
  EXPECT_THAT(error.message, HasSubstr("pi_prefix"));
}

TEST_F(VerdictTable, RefusesEveryBadCell) {
  struct Case {
    const char* row;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{
           {"a,candidate,p,0,,0,0,,,", "pi_prefix"},
           {"a,candidate,p,0,,-0.1,0,,,", "pi_prefix"},
           {"a,candidate,p,0,,nan,0,,,", "pi_prefix"},
           {"a,candidate,p,0,,1e-300,0,,,", "pi_prefix"},
           {"a,candidate,p,0,,,0,1,0,", "pi_oracle"},
           {"a,candidate,p,0,,,0,1,1.01,", "pi_oracle"},
           {"a,candidate,p,0,,,0,1,,", "without pi_oracle"},
           {"a,candidate,p,0,,,0,2,1,", "oracle"},
           {"a,candidate,p,0,,,yes,,,", "screen"},
           {"a,candidate,p,0,,,,,,", "screen"},
           {"a,robot,p,0,,,0,,,", "arm"},
           {",candidate,p,0,,,0,,,", "behavior"},
           {"a,candidate,p,0,,,0,,,0", "count"},
           {"a,candidate,p,0,,,0,,,-3", "count"},
           {"a,candidate,p,0,,,0,,,1.5", "count"},
           {"a,candidate,p,0,,,0,,", "fewer cells"},
           {"a,candidate,p,0,,,0,,,,", "more cells"},
           {"a,candidate,\"p,0,,,0,,,", "quoted cell"},
           {"\xFF,candidate,p,0,,,0,,,", "behavior"},
       }) {
    EXPECT_THAT(error_of(kHeader, std::string(c.row) + "\n").message, HasSubstr(c.says)) << c.row;
  }
}

TEST_F(VerdictTable, RefusesDuplicateRowsAndSaysWhere) {
  const Error error =
      error_of(kHeader,
               "a,candidate,p,0,,,0,,,\nb,candidate,p,0,,,0,,,\na,candidate,p,1,,,0,,,\n"
               "a,candidate,p,0,,,1,,,\n");
  EXPECT_EQ(*error.where.line, 5);
}

TEST_F(VerdictTable, RefusesWeightsThatContradictTheDesign) {
  EXPECT_THAT(error_of(kHeader, "a,candidate,p,0,,0.5,0,,,\na,candidate,q,0,,,0,,,\n").message,
              HasSubstr("empty in others"));
  TableRequest request = this->request(std::string(kHeader) + "\na,candidate,,,,0.01,0,,,1000\n");
  request.frame = 100'000;
  EXPECT_TRUE(estimate_table(request));
  request.frame = 250'000;
  const auto estimate = estimate_table(request);
  ASSERT_FALSE(estimate);
  EXPECT_THAT(estimate.error().message, HasSubstr("contradict"));
}

TEST_F(VerdictTable, RefusesEmptyAndMisnamedTables) {
  EXPECT_THAT(error_of("", "").message, HasSubstr("empty"));
  EXPECT_THAT(error_of(kHeader, "").message, HasSubstr("no rows"));
  EXPECT_THAT(error_of("behavior,arm,prefix", "a,candidate,p\n").message, HasSubstr("screen"));
  EXPECT_THAT(error_of("behavior,arm,prefix,scren", "a,candidate,p,0\n").message,
              HasSubstr("screen"));
  EXPECT_THAT(error_of("behavior,arm,screen,screen", "a,candidate,0,0\n").message,
              HasSubstr("twice"));
  const auto missing = estimate_table(
      {.table = "/no/such/file", .recall = {}, .previous = {}, .history = {}, .frame = {}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kUsage);
  EXPECT_THAT(error_of("{\"behavior\":\"a\"", "").message, HasSubstr("JSON"));
}

TEST_F(VerdictTable, ErrorsDoNotQuoteCells) {
  EXPECT_THAT(error_of(kHeader, "a,candidate,p,0,,,secret words,,,\n").describe(),
              testing::Not(HasSubstr("secret")));
}

TEST_F(VerdictTable, RefusesBadSideTables) {
  TableRequest request = this->request(std::string(kHeader) + "\na,candidate,p,0,,,1,1,1,\n");
  request.recall = write("recall", "behavior,channel,positives,flagged\na,users,10,11\n");
  EXPECT_FALSE(estimate_table(request));
  request.recall = write("recall", "behavior,channel,positives,flagged\na,users,x,1\n");
  EXPECT_FALSE(estimate_table(request));
  request.recall.reset();
  request.previous = write("previous", "behavior,per_100k,lo,hi\na,10,11,12\n");
  EXPECT_FALSE(estimate_table(request));
  request.previous = write("previous", "behavior,per_100k\na,10\na,11\n");
  EXPECT_FALSE(estimate_table(request));
  request.previous.reset();
  request.history = write("history", "release,behavior\n,a\n");
  EXPECT_FALSE(estimate_table(request));
}

TEST_F(VerdictTable, HonestWhereThereIsLittleToGoBy) {
  const std::string header = std::string(kHeader) + "\n";
  for (const std::string& rows : {std::string("a,candidate,p,0,u,,1,1,1,\n"),  // one draw
                                  std::string("a,candidate,,,u,,0,,,50\n"),    // one cluster
                                  std::string("a,candidate,,,,,1,1,1,50\n"),   // all flagged
                                  std::string("a,candidate,,,,,ungradable,,,50\n")}) {
    const auto estimate = estimate_table(request(header + rows));
    ASSERT_TRUE(estimate);
    const Rate& rate = estimate->behaviors[0].arm(Arm::kCandidate)->corrected;
    EXPECT_GE(*rate.lo, 0);
    EXPECT_LE(*rate.hi, 1e5);
    EXPECT_GT(*rate.hi - *rate.lo, 1000);
    EXPECT_FALSE(estimate->behaviors[0].alarms.empty());
  }
}

TEST_F(VerdictTable, RecallOfAnotherJudgeOrModelIsMarked) {
  const std::string table =
      "behavior,arm,prefix,screen,oracle,pi_oracle,judge,source_model\n"
      "a,candidate,p,1,1,1,j1,m1\na,candidate,q,0,,,j1,m1\n";
  for (const auto& [judge, model, marked] : std::vector<std::tuple<std::string, std::string, bool>>{
           {"j1", "m1", false}, {"j2", "m1", true}, {"j1", "m2", true}, {"", "", false}}) {
    TableRequest request = this->request(table);
    request.recall =
        write("recall", "behavior,channel,positives,flagged,judge,source_model\na,c,9,8," + judge +
                            "," + model + "\n");
    const auto estimate = estimate_table(request);
    ASSERT_TRUE(estimate);
    EXPECT_EQ(std::count(estimate->behaviors[0].alarms.begin(), estimate->behaviors[0].alarms.end(),
                         Alarm::kTransferredCalibration),
              marked ? 1 : 0);
  }
}

TEST_F(VerdictTable, CountsAddUpWhereBehaviorsHaveDifferentRows) {
  const auto estimate = estimate_table(request(std::string(kHeader) +
                                               "\na,candidate,p,0,,,1,,,\na,candidate,q,0,,,0,,,\n"
                                               "b,candidate,p,0,,,ungradable,,,\n"));
  ASSERT_TRUE(estimate);
  const Json& verdicts = estimate->report["behaviors"][1]["verdicts"]["candidate"];
  EXPECT_EQ(verdicts["ungradable"]["unstated"], 1);
  EXPECT_EQ(verdicts["not_graded"]["no_row"], 1);
  EXPECT_EQ(estimate->report["counts"]["draws"]["candidate"]["completed"], 2);
}

}  // namespace
}  // namespace understudy
