#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "report/json_schema.hpp"
#include "report/testdata.hpp"

namespace understudy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Json report_schema() {
  return *parse_json(testdata::read("docs/formats/report.schema.json"));
}

TEST(ReportSchema, TheFixtureFits) {
  EXPECT_THAT(schema_violations(report_schema(), testdata::report()), IsEmpty());
}

TEST(ReportSchema, SeesWhatBreaksTheContract) {
  const Json schema = report_schema();
  const auto violated_by = [&](const char* place, const Json& value) {
    Json report = testdata::report();
    report[Json::json_pointer(place)] = value;
    return !schema_violations(schema, report).empty();
  };
  EXPECT_TRUE(violated_by("/schema", "understudy.report/2"));
  EXPECT_TRUE(violated_by("/unit", "message"));
  EXPECT_TRUE(violated_by("/behaviors/0/alarms", Json::array({"made_up"}))) << "a closed list";
  EXPECT_TRUE(violated_by("/behaviors/0/candidate/screen/per_100k", "6"));
  EXPECT_TRUE(violated_by("/behaviors/0/candidate/screen/hi", 100001));
  EXPECT_TRUE(violated_by("/behaviors/0/candidate/screen/spare", 1)) << "rates are closed";
  EXPECT_TRUE(violated_by("/behaviors/0/change/direction", "sideways"));
  EXPECT_TRUE(violated_by("/counts/draws/candidate/failed/timeout", -1));
  EXPECT_FALSE(violated_by("/behaviors/0/candidate/screen/per_100k", nullptr));
  EXPECT_FALSE(violated_by("/added_later", 1)) << "the document itself is open";
}

struct Contract {
  const char* name;
  const char* place;  // a change there breaks it
};
// Both as they came out of a study: a judge, a replay of either model, `verify --replay`.
constexpr std::array<Contract, 8> kContracts = {
    {{"forecast", "/estimates/behaviors/0/direction_called"},
     {"forecast", "/baselines/0/persistence/per_100k"},
     {"forecast", "/estimates/spread/shift_source"},
     {"forecast", "/digests/spare"},
     {"forecast", "/spare"},
     {"verification", "/rows/0/direction_seen"},
     {"verification", "/error_split/pooled/environment/mean_log"},
     {"verification", "/notes/0/code"}}};

Json document(const std::string& name) {
  return *parse_json(testdata::read("tests/cases/report/" + name + ".json"));
}
Json schema(const std::string& name) {
  return *parse_json(testdata::read("docs/formats/" + name + ".schema.json"));
}

TEST(ForecastSchemas, DescribeWhatIsWritten) {
  for (const char* name : {"forecast", "verification"}) {
    EXPECT_THAT(schema_violations(schema(name), document(name)), IsEmpty()) << name;
  }
}

TEST(ForecastSchemas, SeeWhatBreaksTheContract) {
  for (const Contract& contract : kContracts) {
    Json changed = document(contract.name);
    changed[Json::json_pointer(contract.place)] = "sideways";
    EXPECT_FALSE(schema_violations(schema(contract.name), changed).empty()) << contract.place;
  }
}

TEST(SchemaViolations, NameThePlaceAndNeverTheValue) {
  Json report = testdata::report();
  report["behaviors"][2]["alarms"] = Json::array({"private text"});
  EXPECT_THAT(schema_violations(report_schema(), report),
              ElementsAre("/behaviors/2/alarms/0: is not in the list"));
}

TEST(SchemaViolations, AKeywordThatIsNotCheckedIsReported) {
  EXPECT_THAT(schema_violations({{"pattern", "^a"}}, "b"),
              ElementsAre("the document: the schema uses \"pattern\", which is not checked"));
}

TEST(ReportSchema, AgreesWithAnIndependentValidator) {
  if (std::system("python3 -c 'import jsonschema.validators' >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "python3-jsonschema is not installed";
  }
  const std::string folder = ::testing::TempDir();
  const std::string schema =
      std::string(UNDERSTUDY_SOURCE_DIR) + "/docs/formats/report.schema.json";
  const auto validator_accepts = [&](const Json& report) {
    const std::string path = folder + "understudy_report_schema_test.json";
    std::ofstream(path) << write_json(report, JsonStyle::kCanonical);
    const std::string program =
        "import json,sys,jsonschema;"
        "s=json.load(open(sys.argv[1]));v=jsonschema.Draft202012Validator;v.check_schema(s);"
        "sys.exit(0 if v(s).is_valid(json.load(open(sys.argv[2]))) else 1)";
    return std::system(("python3 -c '" + program + "' '" + schema + "' '" + path + "'").c_str()) ==
           0;
  };
  EXPECT_TRUE(validator_accepts(testdata::report()));
  Json broken = testdata::report();
  broken["behaviors"][0]["alarms"] = Json::array({"made_up"});
  EXPECT_FALSE(validator_accepts(broken));
}

}  // namespace
}  // namespace understudy
