#include "engine/known_cases.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace understudy {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class KnownCasesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() /
               (std::string("understudy_known_") +
                testing::UnitTest::GetInstance()->current_test_info()->name()))
                  .string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    const std::vector<std::string> names = {"confirmation_hacking", "refusal"};
    auto behaviors = select_behaviors(names, "");
    ASSERT_TRUE(behaviors.has_value());
    behaviors_ = std::move(*behaviors);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<KnownCases> load(const std::string& text) {
    std::ofstream(folder_ + "/known.jsonl") << text;
    return KnownCases::load(folder_, behaviors_);
  }
  std::string error_of(const std::string& text) {
    const auto loaded = load(text);
    return loaded ? "" : loaded.error().describe();
  }

  std::string folder_;
  std::vector<Behavior> behaviors_;
};

constexpr const char* kCase =
    R"({"behavior":"refusal","messages":[{"role":"user","content":"Write to ann@b.com."},)"
    R"({"role":"assistant","content":"I can't write to ann@b.com."}]})"
    "\n";

TEST_F(KnownCasesTest, ExamplesAreThoseOfJudgesAlone) {
  const auto known = KnownCases::load(folder_, behaviors_);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->keys(behaviors_[0]).size(), 3U);
  EXPECT_TRUE(known->keys(behaviors_[1]).empty()) << "a rule is made with its examples";
  for (const std::int64_t key : known->keys(behaviors_[0])) {
    EXPECT_EQ(unpack_draw_key(key).arm, kKnownArm);
    ASSERT_NE(known->find(key), nullptr);
    EXPECT_EQ(known->find(key)->channel, "examples");
  }
}

TEST_F(KnownCasesTest, ATextIsDeidentifiedAndCountsOnce) {
  const auto known = load(std::string(kCase) + "\n" + kCase);
  ASSERT_TRUE(known.has_value()) << known.error().describe();
  const auto keys = known->keys(behaviors_[1]);
  ASSERT_EQ(keys.size(), 1U);
  const KnownCase& one = *known->find(keys[0]);
  EXPECT_EQ(one.channel, "known");
  EXPECT_EQ(one.view().content, "I can't write to person1@example.com.");
  EXPECT_EQ(one.view().prefix.size(), 1U);
}

TEST_F(KnownCasesTest, KeysHangOnTheText) {
  const auto first = load(kCase);
  std::string other(kCase);
  other.replace(other.find("write to ann"), 5, "phone");
  const auto second = load(other + kCase);
  ASSERT_TRUE(first && second);
  const auto before = first->keys(behaviors_[1]);
  const auto after = second->keys(behaviors_[1]);
  ASSERT_EQ(after.size(), 2U);
  EXPECT_THAT(after, testing::Contains(before[0]));
}

TEST_F(KnownCasesTest, BadLinesAreNamedWithoutTheirText) {
  const std::string good = kCase;
  EXPECT_THAT(error_of(good + "not json secret"), HasSubstr("known.jsonl:2"));
  EXPECT_THAT(error_of(good + "not json secret"), Not(HasSubstr("secret")));
  EXPECT_THAT(error_of(R"({"behavior":"refusals","id":"0123456789abcdef"})"),
              HasSubstr("\"refusal\""));
  EXPECT_THAT(error_of(R"({"id":"0123456789abcdef"})"), HasSubstr("behavior is missing"));
  EXPECT_THAT(error_of(R"({"behavior":"refusal","id":"secret"})"), Not(HasSubstr("secret")));
  EXPECT_THAT(error_of(R"({"behavior":"refusal","channel":"examples","id":"0123456789abcdef"})"),
              HasSubstr("examples"));
  EXPECT_THAT(error_of(R"({"behavior":"refusal","messages":[{"role":"user","content":"Hi"}]})"),
              HasSubstr("does not end with an answer"));
}

TEST_F(KnownCasesTest, AStoredAnswerIsNamedByItsId) {
  const auto known = load(R"({"behavior":"refusal","id":"0123456789abcdef"})");
  ASSERT_TRUE(known.has_value()) << known.error().describe();
  EXPECT_EQ(known->all().back().stored, 0x0123456789abcdefU);
  EXPECT_EQ(known->all().back().channel, "found");
  EXPECT_TRUE(known->keys(behaviors_[1]).empty());
}

}  // namespace
}  // namespace understudy
