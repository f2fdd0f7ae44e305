#include "report/gates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/testdata.hpp"

namespace understudy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<GateResult> checked(const std::vector<Gate>& gates) {
  return *check_gates(testdata::report(), gates);
}

TEST(CheckGates, TheLimitItselfPasses) {
  const Gate gate{"refusal.forecast_hi_per_100k", 1e5};
  const double value = *checked({gate})[0].value;
  EXPECT_TRUE(checked({{gate.name, value}})[0].passed);
  EXPECT_FALSE(checked({{gate.name, value * 0.999}})[0].passed);
}

TEST(CheckGates, MeasuresComeFromTheRatesThatTheTableShows) {
  const auto results = checked({{"repetition_loop.change_lo", 1},
                                {"repetition_loop.forecast_per_100k", 1},
                                {"repetition_loop.candidate_per_100k", 1},
                                {"repetition_loop.deployed_per_100k", 1},
                                {"repetition_loop.deployed_replay_hi_per_100k", 1}});
  EXPECT_NEAR(*results[0].value, 146, 1);
  EXPECT_NEAR(*results[1].value, 6081.08, 0.01);
  EXPECT_NEAR(*results[2].value, 6081.08, 0.01);
  EXPECT_NEAR(*results[3].value, 12.8189, 0.0001);
  EXPECT_GT(*results[4].value, 1000);
}

TEST(CheckGates, WhatIsNotKnownDoesNotPass) {
  const auto results = checked({{"fabricated_facts.forecast_hi_per_100k", 1e5}});
  EXPECT_FALSE(results[0].value);
  EXPECT_FALSE(results[0].passed);
  EXPECT_THAT(results[0].describe(), HasSubstr("unknown"));
}

TEST(CheckGates, AWrongNameSaysTheNearest) {
  const auto error_of = [](const std::string& name) {
    const std::vector<Gate> gates = {{name, 1}};
    auto result = check_gates(testdata::report(), gates);
    EXPECT_FALSE(result) << name;
    return result ? Error{} : result.error();
  };
  EXPECT_EQ(error_of("refusals.forecast_per_100k").code, ErrorCode::kUsage);
  EXPECT_THAT(error_of("refusals.forecast_per_100k").message, HasSubstr("\"refusal\""));
  EXPECT_THAT(error_of("refusal.forecast_high_per_100k").message,
              HasSubstr("\"forecast_hi_per_100k\""));
  EXPECT_THAT(error_of("refusal").message, HasSubstr("BEHAVIOR.MEASURE"));
  EXPECT_THAT(error_of("").message, HasSubstr("no behavior"));
}

TEST(JunitXml, CountsAndNamesWhatFailed) {
  testdata::expect_golden("gates.xml", junit_xml(checked({{"refusal.forecast_hi_per_100k", 1e5},
                                                          {"repetition_loop.change_lo", 1},
                                                          {"fabricated_facts.change_hi", 2}})));
}

TEST(JunitXml, NothingToCheckIsAnEmptySuite) {
  EXPECT_THAT(junit_xml({}), HasSubstr("tests=\"0\" failures=\"0\""));
}

TEST(JunitXml, HostileNamesStayText) {
  const std::vector<GateResult> results = {
      {{"a\"/><x y=\"\x01\x1b[31m&<![CDATA[.change_lo", 1}, 2.0, false}};
  const std::string xml = junit_xml(results);
  EXPECT_THAT(xml, Not(HasSubstr("<x")));
  EXPECT_THAT(xml, Not(HasSubstr("<![CDATA[")));
  for (const char c : xml) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

}  // namespace
}  // namespace understudy
