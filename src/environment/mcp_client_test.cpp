// The client against servers that behave and servers that don't.

#include "environment/mcp_client.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

#include "environment/result_match.hpp"

namespace understudy {
namespace {

const std::string kPrograms = UNDERSTUDY_SOURCE_DIR "/tests/program/";
SystemClock g_clock;

McpServer misbehaving(const std::string& mode) {
  return {.argv = {"python3", kPrograms + "mcp_faults.py", mode},
          .environment = {"PYTHONDONTWRITEBYTECODE=1"}};
}

McpClient started(const McpServer& server) {
  McpOutcome<McpClient> client = McpClient::start(server, g_clock);
  const ToolTrouble* trouble = std::get_if<ToolTrouble>(&client);
  EXPECT_EQ(trouble, nullptr) << (trouble ? tool_trouble_name(*trouble) : "");
  return std::move(std::get<McpClient>(client));
}

ToolTrouble trouble_at_start(const McpServer& server) {
  const McpOutcome<McpClient> client = McpClient::start(server, g_clock);
  const ToolTrouble* trouble = std::get_if<ToolTrouble>(&client);
  return trouble != nullptr ? *trouble : ToolTrouble::kNone;
}

ToolTrouble trouble_at_call(const McpServer& server) {
  McpClient client = started(server);
  const McpOutcome<McpResult> result = client.call({.id = {}, .name = "add", .arguments = "{}"});
  const ToolTrouble* trouble = std::get_if<ToolTrouble>(&result);
  return trouble != nullptr ? *trouble : ToolTrouble::kNone;
}

TEST(McpClient, ListsToolsOverSeveralPagesAndCalls) {
  McpClient client = started(misbehaving("pages"));
  EXPECT_TRUE(client.has_tool("get"));
  EXPECT_TRUE(client.has_tool("add"));
  EXPECT_FALSE(client.has_tool("ad"));
  const auto one = std::get<McpResult>(client.call({.id = {}, .name = "add", .arguments = "no"}));
  EXPECT_EQ(one.text, "1");
  EXPECT_TRUE(one.has_other_parts);
  EXPECT_FALSE(one.is_error);
  EXPECT_TRUE(
      std::get<McpResult>(client.call({.id = {}, .name = "fail", .arguments = "{}"})).is_error);
}

TEST(McpClient, AnswersOutOfOrderReachTheirCalls) {
  McpClient client = started(misbehaving("reversed"));
  const ToolCall add{.id = {}, .name = "add", .arguments = "{}"};
  const auto results = client.call_all({add, add, add});
  const auto* texts = std::get_if<std::vector<McpResult>>(&results);
  ASSERT_NE(texts, nullptr);
  EXPECT_EQ((*texts)[0].text + (*texts)[1].text + (*texts)[2].text, "123");
}

TEST(McpClient, WhatTheServerAsksIsAnsweredOrDeclined) {
  EXPECT_EQ(trouble_at_call(misbehaving("asks")), ToolTrouble::kNone);
}

TEST(McpClient, AServerThatDiesHangsFloodsOrTalksNonsenseIsNamed) {
  EXPECT_EQ(trouble_at_start({.argv = {"no-such-program"}}), ToolTrouble::kServerDied);
  EXPECT_EQ(trouble_at_start(misbehaving("exits")), ToolTrouble::kServerDied);
  EXPECT_EQ(trouble_at_call(misbehaving("dies")), ToolTrouble::kServerDied);
  EXPECT_EQ(trouble_at_call(misbehaving("nonsense")), ToolTrouble::kServerBroken);
  EXPECT_EQ(trouble_at_call(misbehaving("floods_a_line")), ToolTrouble::kServerFlooded);
  EXPECT_EQ(trouble_at_call(misbehaving("floods_with_notifications")), ToolTrouble::kServerFlooded);
  McpServer silent = misbehaving("silent");
  silent.start_ms = 200;
  EXPECT_EQ(trouble_at_start(silent), ToolTrouble::kServerHung);
  McpServer hangs = misbehaving("hangs");
  hangs.call_ms = 200;
  EXPECT_EQ(trouble_at_call(hangs), ToolTrouble::kServerHung);
}

TEST(McpSource, AServerThatDiesBetweenIsBegunAnewAndToldEverything) {
  // Each process dies at its third call: the third change comes out only if the first two are told
  // again, and then the new process dies as well.
  ToolRules rules;
  McpSource source(misbehaving("dies_once_at_3"), g_clock);
  ToolWorld world(rules, {&source});
  const ToolCall add{.id = {}, .name = "add", .arguments = "{}"};
  EXPECT_EQ(world.call(add).result, "1");
  EXPECT_EQ(world.call(add).result, "2");
  const ToolAnswer third = world.call(add);
  EXPECT_EQ(third.level, ToolLevel::kNone);
  EXPECT_EQ(third.trouble, ToolTrouble::kServerDied);
  EXPECT_EQ(world.state().changes().size(), 2U) << "what was not answered has not happened";
}

// ---- the airline ----

const std::string kAirline = UNDERSTUDY_SHARED_DATA "/tau_bench/tau_bench/envs/airline/data";

class Airline : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kAirline)) GTEST_SKIP() << "no " << kAirline;
    rules_.set("transfer_to_human_agents", {.effect = ToolEffect::kRead});
  }
  McpServer server() const {
    return {.argv = {"python3", kPrograms + "airline_server.py", kAirline},
            .environment = {"PYTHONDONTWRITEBYTECODE=1"}};
  }
  static Json json(const ToolAnswer& answer) {
    Result<Json> parsed = parse_json(answer.result);
    EXPECT_TRUE(parsed.has_value()) << answer.result;
    return parsed ? *std::move(parsed) : Json();
  }
  static ToolAnswer call(ToolWorld& world, std::string name, const Json& arguments) {
    return world.call({.id = {},
                       .name = std::move(name),
                       .arguments = write_json(arguments, JsonStyle::kCanonical)});
  }
  ToolRules rules_;
};

const Json kBooking = {
    {"user_id", "mia_li_3668"},
    {"origin", "JFK"},
    {"destination", "SEA"},
    {"flight_type", "one_way"},
    {"cabin", "economy"},
    {"flights",
     {{{"flight_number", "HAT136"}, {"date", "2024-05-20"}},
      {{"flight_number", "HAT039"}, {"date", "2024-05-20"}}}},
    {"passengers", {{{"first_name", "Mia"}, {"last_name", "Li"}, {"dob", "1990-04-05"}}}},
    {"payment_methods",
     {{{"payment_id", "certificate_7504069"}, {"amount", 250}},
      {{"payment_id", "credit_card_4421486"}, {"amount", 5}}}},
    {"total_baggages", 0},
    {"nonfree_baggages", 0},
    {"insurance", "no"}};

TEST_F(Airline, WritesAreVisibleToLaterReadsAndToNoOtherTrajectory) {
  McpSource ours(server(), g_clock);
  McpSource theirs(server(), g_clock);
  ToolWorld world(rules_, {&ours});
  ToolWorld other(rules_, {&theirs});
  const Json mia = {{"user_id", "mia_li_3668"}};
  const Json before = json(call(world, "get_user_details", mia));
  ASSERT_TRUE(before["payment_methods"].contains("certificate_7504069"));

  // Book: the user has the reservation, and no longer the certificate.
  const std::string booked = json(call(world, "book_reservation", kBooking))["reservation_id"];
  const Json after = json(call(world, "get_user_details", mia));
  EXPECT_EQ(after["reservations"].back(), booked);
  EXPECT_FALSE(after["payment_methods"].contains("certificate_7504069"));

  // Change: one passenger more is refused, another name is seen.
  const Json ours_now = {{"reservation_id", booked}};
  const Json ann = {{"first_name", "Ann"}, {"last_name", "Li"}, {"dob", "1990-04-05"}};
  const Json read_first = json(call(world, "get_reservation_details", ours_now));
  EXPECT_EQ(read_first["passengers"][0]["first_name"], "Mia");
  const ToolAnswer refused =
      call(world, "update_reservation_passengers",
           {{"reservation_id", booked}, {"passengers", Json::array({ann, ann})}});
  EXPECT_TRUE(is_error_result(refused.result));
  EXPECT_TRUE(call(world, "get_reservation_details", ours_now).repeated) << "nothing has changed";
  (void)call(world, "update_reservation_passengers",
             {{"reservation_id", booked}, {"passengers", Json::array({ann})}});
  const ToolAnswer read_again = call(world, "get_reservation_details", ours_now);
  EXPECT_FALSE(read_again.repeated);
  EXPECT_EQ(json(read_again)["passengers"][0]["first_name"], "Ann");

  // Cancel.
  (void)call(world, "cancel_reservation", ours_now);
  EXPECT_EQ(json(call(world, "get_reservation_details", ours_now))["status"], "cancelled");
  EXPECT_EQ(call(world, "get_user_details", mia).level, ToolLevel::kServer);

  // The other trajectory has seen nothing of it, and books under the same number.
  EXPECT_TRUE(is_error_result(call(other, "get_reservation_details", ours_now).result));
  EXPECT_EQ(json(call(other, "get_user_details", mia)), before);
  EXPECT_EQ(json(call(other, "book_reservation", kBooking))["reservation_id"], booked);
}

TEST_F(Airline, AServerThatIsAskedLateHearsOfTheWritesOfThePrefix) {
  McpSource source(server(), g_clock);
  ToolWorld world(rules_, {&source});
  world.observe({.id = {},
                 .name = "book_reservation",
                 .arguments = write_json(kBooking, JsonStyle::kCanonical)},
                R"({"reservation_id": "HATHAT"})");
  const Json found = json(call(world, "get_reservation_details", {{"reservation_id", "HATHAT"}}));
  EXPECT_EQ(found["user_id"], "mia_li_3668");
}

/// The recorded runs, as far as tools go.
std::vector<ToolSteps> recorded_runs(const std::string& path) {
  std::ifstream file(path);
  const Json runs = Json::parse(file);
  std::vector<ToolSteps> all;
  for (const Json& run : runs) {
    std::vector<Message> messages;
    for (const Json& logged : run["traj"]) {
      Message& message = messages.emplace_back();
      message.role = logged["role"] == "tool" ? Role::kTool : Role::kAssistant;
      if (message.role == Role::kTool) {
        message.content = logged["content"];
        message.tool_call_id = logged["tool_call_id"];
      }
      if (!logged.contains("tool_calls")) continue;
      for (const Json& one : logged["tool_calls"]) {
        message.tool_calls.push_back({.id = one["id"],
                                      .name = one["function"]["name"],
                                      .arguments = one["function"]["arguments"]});
      }
    }
    all.push_back(tool_steps_of(messages));
  }
  return all;
}

using SlowAirline = Airline;

TEST_F(SlowAirline, RecordedRunsCallByCallGiveTheRecordedResults) {
  const MatchRules match = {.renamed_keys = {{"province", "state"}}};
  struct {
    std::size_t all = 0, same = 0;
  } reads, writes;
  std::map<std::string, int> different;
  for (const ToolSteps& run :
       recorded_runs(kAirline + "/../../../../historical_trajectories/gpt-4o-airline.json")) {
    McpSource source(server(), g_clock);
    ToolWorld world(rules_, {&source});
    for (const ToolStep& step : run.steps) {
      auto& count = rules_.effect(step.call.name) == ToolEffect::kRead ? reads : writes;
      const ToolAnswer answer = world.call(step.call);
      ++count.all;
      if (answer.level == ToolLevel::kServer && same_result(*step.result, answer.result, match)) {
        ++count.same;
      } else {
        ++different[step.call.name];
      }
    }
  }
  EXPECT_EQ(reads.all, 914U);
  EXPECT_EQ(writes.all, 250U);
  EXPECT_GE(reads.same * 100, reads.all * 99);
  EXPECT_GE(writes.same * 100, writes.all * 95);
  for (const auto& [tool, count] : different) std::cout << tool << ": " << count << " differ\n";
}

}  // namespace
}  // namespace understudy
