#include "base/json.hpp"

#include <gtest/gtest.h>

#include <string>

namespace understudy {
namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

// Eight bytes are looked at together: every byte at every place of two such words.
TEST(JsonString, EscapesEveryByteWhereverItStands) {
  for (int byte = 0; byte < 128; ++byte) {
    for (std::size_t at = 0; at < 19; ++at) {
      std::string text(19, 'x');
      text[at] = static_cast<char>(byte);
      const std::string written = json_string(text);
      ASSERT_EQ(Json::parse(written).get<std::string>(), text) << byte << " at " << at;
      const std::size_t size = byte == '"' || byte == '\\' || byte == '\b' || byte == '\f' ||
                                       byte == '\n' || byte == '\r' || byte == '\t'
                                   ? 22U
                               : byte < 0x20 ? 26U
                                             : 21U;
      ASSERT_EQ(written.size(), size) << byte << " at " << at;
    }
  }
}

TEST(JsonString, KeepsUtf8AndReplacesWhatIsNone) {
  EXPECT_EQ(json_string(""), R"("")");
  EXPECT_EQ(json_string("für 8 Bytes: 日本語\n\"😀\""), R"("für 8 Bytes: 日本語\n\"😀\"")");
  EXPECT_EQ(json_string("12345678\xFF"), "\"12345678\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace understudy
