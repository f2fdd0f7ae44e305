#include <gtest/gtest.h>

#include "engine/stress.hpp"

namespace understudy {
namespace {

Json count(double expected) {
  return {{"units", 999'700}, {"expected", expected}, {"lo", 0.0000123},
          {"hi", 123'456.7},  {"maximum", 0},         {"chance_of_any", 0.99}};
}

Json document(double expected) {
  Json of_all = count(expected);
  of_all["largest_cluster"] = count(0.25);
  of_all["largest_cluster"]["share"] = 0.9999;
  of_all["worst_stratum_flags"] = nullptr;
  const Json behavior = {{"name", "refusal"},      {"graded", 7},
                         {"present", 0},           {"strata", Json::array()},
                         {"worst", Json::array()}, {"deployment", std::move(of_all)}};
  return {{"draws", 7},
          {"prefixes", 7},
          {"unit", "turn"},
          {"deployment", 1'000},
          {"strata", 1},
          {"level", 0.05},
          {"interval_level", 0.95},
          {"pairs_tested", 0},
          {"behaviors", {behavior}}};
}

TEST(StressText, NumbersHaveThreeDigitsAndNoExponent) {
  const auto first = [](double expected) {
    const std::string text = stress_text(document(expected));
    const std::size_t begin = text.find("turns: ") + 7;
    return text.substr(begin, text.find(" expected") - begin);
  };
  EXPECT_EQ(first(999.7), "1,000");
  EXPECT_EQ(first(999.4), "999");
  EXPECT_EQ(first(99.97), "100");
  EXPECT_EQ(first(100), "100");
  EXPECT_EQ(first(1.5), "1.5");
  EXPECT_EQ(first(0), "0");
  EXPECT_EQ(first(0.000012345), "0.0000123");
  EXPECT_EQ(first(12'345'678), "12,300,000");
  const std::string text = stress_text(document(1));
  EXPECT_NE(text.find("(0.0000123–123,000)"), std::string::npos) << text;
  EXPECT_NE(text.find("a user with 100% of all"), std::string::npos) << text;
}

TEST(StressText, WhatNobodyGradedIsNotSeenNever) {
  Json some = document(1);
  some["deployment"] = nullptr;
  some["behaviors"][0]["deployment"] = nullptr;
  EXPECT_NE(stress_text(some).find("not once: refusal"), std::string::npos);
  some["behaviors"][0]["present"] = nullptr;
  const std::string text = stress_text(some);
  EXPECT_NE(text.find("not graded: refusal"), std::string::npos) << text;
  EXPECT_EQ(text.find("not once"), std::string::npos) << text;
}

}  // namespace
}  // namespace understudy
