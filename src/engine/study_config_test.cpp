#include "engine/study_config.hpp"

#include <gtest/gtest.h>

namespace understudy {
namespace {

TEST(StudyConfig, ReadsTheContractsExample) {
  const auto config = parse_study_config(R"(
[logs]
paths = ["logs/*.jsonl.zst"]
cluster = "metadata.user"
duplicates = "content"
[logs.eligible]
"metadata.training_consent" = true
[sample]
unit = "final_turn"
prefixes = 2_000
draws = 2
seed = "7"
[candidate]
model = "vllm/our-next-model"
temperature = 1
max_tokens = 192
[deployed]
model = "openai/gpt-5.1"
[roles]
judge = "openai/judge"
oracle = {model = "openai/oracle", temperature = 0.0}
[grade]
behaviors = ["promised_background_task", "behaviors/ours.toml"]
[egress]
allow = ["api.example.com"]
[budget]
cost = 200.0
[prices."openai/gpt-5.1"]
input = 1.0
output = 2.0
[prices."openai/judge"]
input = 1
output = 2
[prices."openai/oracle"]
input = 1
output = 2
[gate]
"promised_background_task.forecast_hi_per_100k" = 50
)",
                                         "study.toml");
  ASSERT_TRUE(config.has_value()) << config.error().describe();
  EXPECT_TRUE(check_study_config(*config).has_value());
  EXPECT_EQ(config->sample.unit, Unit::kFinalTurn);
  EXPECT_EQ(config->sample.prefixes, 2000U);
  EXPECT_EQ(config->window_tokens(), 192U);
  EXPECT_EQ(config->roles.at("oracle").sampling.temperature, 0.0);
  EXPECT_EQ(config->logs.eligible.at(0).second, Json(true));
  EXPECT_EQ(config->gate.at("promised_background_task.forecast_hi_per_100k"), 50);
}

TEST(StudyConfig, ReadsTheLimitsOfReplay) {
  const auto config =
      parse_study_config("[replay]\ndeadline_s = 9\nembedded_memory_mb = 256\n", "study.toml");
  ASSERT_TRUE(config.has_value()) << config.error().describe();
  EXPECT_EQ(config->replay.deadline_s, 9U);
  EXPECT_EQ(config->replay.embedded_memory_mb, 256U);
}

TEST(StudyConfig, AServerOfToolsThatIsElsewhereIsOnlyRead) {
  const auto checked = [](const std::string& server, const std::string& egress) -> Result<void> {
    UNDERSTUDY_TRY(
        const StudyConfig config,
        parse_study_config("[logs]\npaths = [\"a\"]\n[candidate]\nmodel = \"vllm/x\"\n"
                           "[egress]\nallow = [" +
                               egress + "]\n[tools]\nmax_steps = 9\n[tools.servers.s]\n" + server,
                           "study.toml"));
    return check_study_config(config);
  };
  const std::string there = "url = \"https://maps.example.com/mcp\"\n";
  EXPECT_TRUE(checked("url = \"http://127.0.0.1:8080/mcp\"\n", "").has_value());
  EXPECT_TRUE(checked(there + "only_reads = [\"get_route\"]", "\"maps.example.com\"").has_value());
  EXPECT_NE(checked(there + "only_reads = [\"get_route\"]", "").error().message.find("egress list"),
            std::string::npos);
  EXPECT_NE(checked(there, "\"maps.example.com\"").error().message.find("only_reads"),
            std::string::npos);
  EXPECT_FALSE(checked("url = \"ftp://127.0.0.1/mcp\"\n", "").has_value());
  EXPECT_FALSE(checked("call_s = 3", "").has_value()) << "it is nowhere";
  EXPECT_FALSE(checked("command = [\"x\"]\n" + there, "").has_value()) << "it is at two places";
}

TEST(StudyConfig, ReadsTheTargetAndThePlacebos) {
  const auto config = parse_study_config(
      "[target]\ntable = \"t.csv\"\nlogs = [\"r.jsonl\"]\n[placebo]\nperiod_days = 1\n"
      "[candidate]\nsystem = \"Be brief.\"\n",
      "study.toml");
  ASSERT_TRUE(config.has_value()) << config.error().describe();
  EXPECT_TRUE(config->target.is_set());
  EXPECT_EQ(config->target.table, "t.csv");
  EXPECT_EQ(config->placebo.period_days, 1U);
  EXPECT_EQ(config->placebo.horizon, 1U);
  EXPECT_EQ(config->candidate.system, "Be brief.");
  // A judge's prompt is its rubric.
  EXPECT_FALSE(
      parse_study_config("[roles]\njudge = {model = \"a/b\", system = \"x\"}\n", "s").has_value());
}

TEST(StudyConfig, NamesTheLineAndTheNearestKey) {
  const auto unknown = parse_study_config("[sample]\nunit = \"turn\"\nprefxes = 3\n", "study.toml");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().where.line, 3U);
  EXPECT_NE(unknown.error().message.find("did you mean \"prefixes\""), std::string::npos);

  const auto section = parse_study_config("[candidat]\nmodel = \"a/b\"\n", "study.toml");
  ASSERT_FALSE(section.has_value());
  EXPECT_NE(section.error().message.find("candidate"), std::string::npos);

  const auto type = parse_study_config("[sample]\nprefixes = \"many\"\n", "study.toml");
  ASSERT_FALSE(type.has_value());
  EXPECT_EQ(type.error().where.line, 2U);

  const auto choice = parse_study_config("[sample]\nunit = \"turns\"\n", "study.toml");
  ASSERT_FALSE(choice.has_value());
  EXPECT_NE(choice.error().message.find("did you mean \"turn\""), std::string::npos);

  const auto syntax = parse_study_config("[sample\n", "study.toml");
  ASSERT_FALSE(syntax.has_value());
  EXPECT_EQ(syntax.error().where.line, 1U);

  EXPECT_FALSE(parse_study_config("[sample]\ndraws = -1\n", "study.toml").has_value());
}

TEST(StudyConfig, ChecksRangesWhateverTheySource) {
  StudyConfig config;
  EXPECT_FALSE(check_study_config(config).has_value());
  config.logs.paths = {"a.jsonl"};
  config.candidate.model = "vllm/x";
  EXPECT_TRUE(check_study_config(config).has_value());
  config.candidate.sampling.top_p = 0;
  EXPECT_FALSE(check_study_config(config).has_value());
  config.candidate.sampling.top_p = 1;
}

TEST(StudyConfig, ABudgetOfMoneyNeedsThePriceOfEveryBilledModel) {
  StudyConfig config;
  config.logs.paths = {"a.jsonl"};
  config.candidate.model = "vllm/x";
  config.budget.cost = 5;
  EXPECT_TRUE(check_study_config(config).has_value()) << "one's own server takes no money";
  config.roles["judge"].model = "openai/judge";
  const auto unknown = check_study_config(config);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("[prices.\"openai/judge\"]"), std::string::npos);
  config.prices["openai/judge"] = {.input = 1, .output = 2};
  EXPECT_TRUE(check_study_config(config).has_value());
}

TEST(StudyConfig, AFileOfPricesAddsWhatTheStudyDoesNotSet) {
  std::map<std::string, TokenPrice> prices = {{"openai/a", {.input = 1, .output = 2}}};
  const std::string_view table =
      "[\"openai/a\"]\ninput = 9\noutput = 9\n[\"anthropic/b\"]\ninput = 3\noutput = 15\n";
  ASSERT_TRUE(add_prices(table, "prices.toml", prices).has_value());
  EXPECT_EQ(prices.at("openai/a").input, 1);
  EXPECT_EQ(prices.at("anthropic/b").output, 15);
  for (const char* bad : {"[\"a\"]\ninput = 1\n", "[\"a\"]\ninput = -1\noutput = 1\n", "a = 3\n",
                          "[\"a\"]\ninput = 1\noutput = 1\ncached = 1\n", "[a\n"}) {
    EXPECT_FALSE(add_prices(bad, "prices.toml", prices).has_value()) << bad;
  }
}

TEST(StudyToml, IsReadBackAsItWasMeant) {
  const std::string toml = study_toml({.log_paths = {"logs/with \"quotes\".jsonl", "b.jsonl"},
                                       .candidate_model = "llama/x",
                                       .comment = "one\ntwo",
                                       .logs_extra = "duplicates = \"content\"\n",
                                       .sample_extra = "prefixes = 150\n",
                                       .candidate_extra = "max_tokens = 192\n"});
  const auto config = parse_study_config(toml, "study.toml");
  ASSERT_TRUE(config.has_value()) << config.error().describe();
  EXPECT_EQ(config->logs.paths.at(0), "logs/with \"quotes\".jsonl");
  EXPECT_TRUE(config->logs.duplicates_by_content);
  EXPECT_EQ(config->sample.prefixes, 150U);
  EXPECT_EQ(config->candidate.sampling.max_tokens, 192U);
}

}  // namespace
}  // namespace understudy
