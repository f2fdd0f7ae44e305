#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include "base/file.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

TEST(Sha256, MatchesThePublishedVectorAndSeparatesFields) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(hash64({"ab", "c"}), hash64({"a", "bc"}));
}

TEST(Rng, IsAFunctionOfItsKeyAndLooksUniform) {
  Rng a(7), b(7), c(8);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
  double sum = 0;
  std::vector<int> cells(10);
  for (int i = 0; i < 10000; ++i) {
    sum += a.uniform();
    ++cells[a.below(10)];
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.015);
  for (const int count : cells) EXPECT_NEAR(count, 1000, 150);
}

TEST(WriteJson, FollowsRfc8785) {
  // Numbers from RFC 8785, appendix B.
  const std::vector<std::pair<double, const char*>> numbers = {
      {0.0, "0"},
      {-0.0, "0"},
      {5e-324, "5e-324"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {9007199254740992.0, "9007199254740992"},
      {295147905179352830000.0, "295147905179352830000"},
      {9.999999999999997e22, "9.999999999999997e+22"},
      {1e21, "1e+21"},
      {333333333.3333332, "333333333.3333332"},
      {0.000001, "0.000001"},
      {1e-7, "1e-7"},
      {-4.5, "-4.5"}};
  for (const auto& [value, text] : numbers) {
    EXPECT_EQ(write_json(Json(value), JsonStyle::kCanonical), text);
  }
  // Key order of RFC 8785, section 3.2.3.
  const Json object = {{"\xE2\x82\xAC", 1},     {"\r", 2},       {"\xEF\xAC\xB3", 3}, {"1", 4},
                       {"\xF0\x9F\x98\x80", 5}, {"\xC2\x80", 6}, {"\xC3\xB6", 7}};
  EXPECT_EQ(write_json(object, JsonStyle::kCanonical),
            "{\"\\r\":2,\"1\":4,\"\xC2\x80\":6,\"\xC3\xB6\":7,\"\xE2\x82\xAC\":1,"
            "\"\xF0\x9F\x98\x80\":5,\"\xEF\xAC\xB3\":3}");
  EXPECT_EQ(write_json({{"a", {1, "\x01\n\""}}, {"b", Json::array()}}, JsonStyle::kPretty),
            "{\n  \"a\": [\n    1,\n    \"\\u0001\\n\\\"\"\n  ],\n  \"b\": []\n}\n");
}

TEST(Rounded, KeepsNineSignificantDigits) {
  EXPECT_EQ(rounded(0.12345678949), 0.123456789);
  EXPECT_EQ(rounded(123456789012.0), 123456789000.0);
  EXPECT_EQ(rounded(0), 0);
}

TEST(ParseJson, SaysWhereWithoutQuoting) {
  const auto parsed = parse_json("{\"a\": secret}");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().where.byte_offset, 6U);
  EXPECT_EQ(parsed.error().describe().find("secret"), std::string::npos);
}

TEST(Utf8, RejectsSurrogatesOverlongAndCutSequences) {
  EXPECT_TRUE(is_valid_utf8("plain, gr\xC3\xBC\xC3\x9F, \xF0\x9F\x98\x80"));
  for (const char* bad : {"\xED\xA0\x80", "\xC0\x80", "\xE2\x82", "\xF5\x80\x80\x80", "\x80"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
    EXPECT_TRUE(is_valid_utf8(replace_invalid_utf8(bad)));
  }
  EXPECT_EQ(utf8_prefix("a\xC3\xBC", 2), "a");
  EXPECT_EQ(utf8_length("a\xC3\xBC"), 2U);
}

TEST(TerminalSafe, RemovesEscapesAndBidiOverrides) {
  EXPECT_EQ(terminal_safe("a\x1B[31m\nb"), "a\xEF\xBF\xBD[31m b");
  EXPECT_EQ(terminal_safe("\xE2\x80\xAE"), "\xEF\xBF\xBD");
  EXPECT_EQ(terminal_safe("\xC2\x9B"), "\xEF\xBF\xBD");
}

TEST(NearestName, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> names = {"refusal", "repetition_loop"};
  EXPECT_EQ(nearest_name("refusel", names), "refusal");
  EXPECT_EQ(nearest_name("zzzzzz", names), "");
}

TEST(Error, DescribesFileLineAndByte) {
  const Error error{ErrorCode::kInput, "no id", {"a.jsonl", 3, 99}};
  EXPECT_EQ(error.describe(), "a.jsonl:3: no id (byte 99)");
}

TEST(FileBytes, AreAllOrNothing) {
  const auto path = (std::filesystem::path(testing::TempDir()) / "file_bytes").string();
  const std::string text = std::string(100'000, 'a') + '\0' + "b";
  std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(file_bytes(path), text);
  EXPECT_EQ(file_bytes(path + ".absent"), std::nullopt);
  // Both open; reading them fails, where a stream buffer would throw.
  EXPECT_EQ(file_bytes(testing::TempDir()), std::nullopt);
  EXPECT_EQ(file_bytes("/proc/self/mem"), std::nullopt);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace understudy
