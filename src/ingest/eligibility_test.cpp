#include "ingest/eligibility.hpp"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "base/hash.hpp"
#include "base/rng.hpp"

namespace understudy {
namespace {

LogRecord record(std::string id, std::vector<std::pair<Role, std::string>> messages) {
  LogRecord out;
  out.conversation.id = std::move(id);
  for (auto& [role, content] : messages) {
    out.conversation.messages.emplace_back();
    out.conversation.messages.back().role = role;
    out.conversation.messages.back().content = std::move(content);
  }
  return out;
}

const std::vector<EligibleFilter> kFilters = {{"metadata.consent", true}};

TEST(Eligibility, EachStepCountsWhatTheOnesBeforeItLeft) {
  Eligibility eligibility(DuplicateRule::kByContent, kFilters);
  LogRecord no_consent = record("1", {});
  no_consent.failed_filter = 0;
  EXPECT_EQ(eligibility.admit(no_consent), Exclusion::kFilter) << "and not empty";
  EXPECT_EQ(eligibility.admit(record("2", {})), Exclusion::kEmpty);
  EXPECT_EQ(eligibility.admit(record("3", {{Role::kUser, " \n"}})), Exclusion::kEmpty)
      << "and not a duplicate";
  EXPECT_EQ(eligibility.admit(record("4", {{Role::kAssistant, "x"}})),
            Exclusion::kStartsInTheMiddle);
  EXPECT_EQ(eligibility.admit(record("5", {{Role::kAssistant, "x"}})), Exclusion::kDuplicate)
      << "and not in the middle";
  LogRecord image = record("6", {{Role::kUser, "what is this?"}});
  image.conversation.messages[0].has_other_parts = true;
  EXPECT_EQ(eligibility.admit(image), Exclusion::kNonTextParts);
  EXPECT_EQ(eligibility.admit(record("7", {{Role::kSystem, "s"}, {Role::kUser, "x"}})),
            std::nullopt);
  EXPECT_EQ(eligibility.read(), 7U);
  EXPECT_EQ(eligibility.eligible(), 1U);
  EXPECT_EQ(eligibility.excluded(),
            (std::map<std::string, std::uint64_t>{{"eligible:metadata.consent", 1},
                                                  {"empty", 2},
                                                  {"starts_in_the_middle", 1},
                                                  {"duplicate_content", 1},
                                                  {"non_text_parts", 1}}));
}

TEST(Eligibility, EqualTextsOfDifferentConversationsAreTrafficUnlessAskedOtherwise) {
  Eligibility by_id(DuplicateRule::kById, {});
  Eligibility by_content(DuplicateRule::kByContent, {});
  const LogRecord first = record("1", {{Role::kUser, "hi"}});
  const LogRecord twin = record("2", {{Role::kUser, "hi"}});
  const LogRecord other = record("1", {{Role::kUser, "hello"}});
  EXPECT_EQ(by_id.admit(first), std::nullopt);
  EXPECT_EQ(by_id.admit(twin), std::nullopt);
  EXPECT_EQ(by_id.admit(other), Exclusion::kDuplicate);
  EXPECT_EQ(by_content.admit(first), std::nullopt);
  EXPECT_EQ(by_content.admit(twin), Exclusion::kDuplicate);
  EXPECT_EQ(by_content.admit(other), std::nullopt);
}

TEST(Eligibility, AToolCallWithoutTextIsNotEmpty) {
  LogRecord call = record("1", {{Role::kUser, ""}, {Role::kAssistant, ""}});
  call.conversation.messages[1].tool_calls.push_back({"t", "f", "{}"});
  EXPECT_EQ(Eligibility(DuplicateRule::kById, {}).admit(call), std::nullopt);
}

TEST(Eligibility, DuplicateRulesHaveNames) {
  EXPECT_EQ(duplicate_rule_named("id").value(), DuplicateRule::kById);
  EXPECT_EQ(duplicate_rule_named("content").value(), DuplicateRule::kByContent);
  EXPECT_EQ(duplicate_rule_named("text").error().code, ErrorCode::kUsage);
}

TEST(HashSet64, AgreesWithASet) {
  HashSet64 ours;
  std::set<std::uint64_t> theirs;
  Rng rng(1);
  for (int i = 0; i < 20'000; ++i) {
    // Few distinct values, zero among them, so that many come again.
    const std::uint64_t value = rng.below(8'000) * 0x9E3779B97F4A7C15ULL;
    if (value == 1) continue;  // shares its slot with 0
    EXPECT_EQ(ours.insert(value), theirs.insert(value).second);
  }
  EXPECT_EQ(ours.size(), theirs.size());
}

}  // namespace
}  // namespace understudy
