#include "engine/fidelity.hpp"

#include <fmt/format.h>

#include "base/rng.hpp"
#include "engine/fake_study_test.hpp"

namespace understudy {
namespace {

constexpr int kUsers = 2500;
constexpr int kTurns = 8;

// Bold now and then, and half of the time once it was bold before.
std::string said(bool was_bold, std::uint64_t seed) {
  Rng rng(seed, 7);
  return rng.uniform() < (was_bold ? 0.5 : 0.05) ? "**Here** is it." : "Here is it.";
}

bool is_bold(const std::string& text) {
  return text.find("**") != std::string::npos;
}

class SlowFidelityTest : public FakeStudyTest {
 protected:
  void SetUp() override {
    FakeStudyTest::SetUp();
    std::ofstream logs(folder_ + "/logs.jsonl");
    for (std::uint64_t user = 0; user < kUsers; ++user) {
      Json messages = Json::array();
      bool was_bold = false;
      for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
        const std::string text = said(was_bold, user * kTurns + turn);
        was_bold = was_bold || is_bold(text);
        messages.push_back(
            {{"role", "user"}, {"content", fmt::format("Question {} of {}?", turn, user)}});
        messages.push_back({{"role", "assistant"}, {"content", text}});
      }
      logs << Json{{"id", fmt::format("c{}", user)}, {"messages", messages}}.dump() << "\n";
    }
    logs.close();
    config_.sample.prefixes = kUsers * kTurns;
  }

  // All at once, and not through the model loop: it makes each group of answers durable.
  Result<void> replay(Study& study) {
    UNDERSTUDY_TRY([[maybe_unused]] const StageOutcome read, ingest_stage(study));
    UNDERSTUDY_TRY([[maybe_unused]] const StageOutcome drawn, sample_stage(study));
    std::vector<PrefixRow> prefixes;
    UNDERSTUDY_CHECK(study.store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
      prefixes.push_back(prefix);
      return {};
    }));
    UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
    for (const PrefixRow& prefix : prefixes) {
      UNDERSTUDY_TRY(const StoredConversation stored,
                     study.store.conversation(prefix.conversation));
      const auto before = std::span(stored.conversation.messages).first(prefix.cut);
      const bool was_bold = std::any_of(before.begin(), before.end(), [](const Message& message) {
        return message.role == Role::kAssistant && is_bold(message.content);
      });
      const auto id = static_cast<std::uint64_t>(prefix.id);
      const StoredDraw draw{.key = {.arm = Arm::kDeployedReplay, .prefix = prefix.id, .index = 0},
                            .outcome = answer(said(was_bold, (1ULL << 32) + id)),
                            .window_bytes = {}};
      UNDERSTUDY_CHECK(study.store.add_draw(draw));
    }
    return transaction.commit();
  }
};

// The deployed model is what wrote the logs, and repeats what the logged answers before it did.
TEST_F(SlowFidelityTest, AModelThatRepeatsItselfDoesNotDriftFromItself) {
  config_.sample.prefixes = kUsers * kTurns;
  Result<Study> study = open();
  ASSERT_TRUE(study.has_value());
  ASSERT_TRUE(replay(*study).has_value());
  const Result<Json> page = fidelity(*study);
  ASSERT_TRUE(page.has_value()) << page.error().describe();
  const Json& drift = page->at("parts").at(1);
  ASSERT_EQ(drift["part"], "style_drift");
  ASSERT_EQ(drift["pairs"], kUsers * kTurns);
  for (const Json& row : drift["style"]) {
    EXPECT_GT(row["p_holm"].get<double>(), 0.05) << row;
    if (row["feature"] != "format: bold") continue;
    EXPECT_GT(row["users_more"].get<int>() + row["users_fewer"].get<int>(), kUsers / 4) << row;
  }
}

}  // namespace
}  // namespace understudy
