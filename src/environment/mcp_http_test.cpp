// The client over HTTP against a server on loopback that behaves or doesn't, and the connector that
// only reads.

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "base/child_process.hpp"
#include "base/text.hpp"
#include "environment/connector_source.hpp"
#include "environment/mcp_client.hpp"

namespace understudy {
namespace {

SystemClock g_clock;
constexpr std::int64_t kStartMs = 20'000;

/// The Python server in a mode; ended with this.
class HttpServer {
 public:
  explicit HttpServer(const std::string& mode) {
    ChildOptions options;
    options.argv = {"python3", UNDERSTUDY_SOURCE_DIR "/tests/program/mcp_http_server.py", mode};
    options.environment.emplace_back("PYTHONDONTWRITEBYTECODE=1");
    process_.emplace(*ChildProcess::start(options));
    std::string port;
    const std::int64_t deadline_ms = g_clock.now_ms() + kStartMs;
    while (port.find('\n') == std::string::npos &&
           process_->read(port, g_clock, deadline_ms) == ChildProcess::Io::kDone) {
    }
    server_.url = "http://127.0.0.1:" + std::string(trimmed(port)) + "/mcp";
  }
  [[nodiscard]] const McpServer& server() const { return server_; }
  [[nodiscard]] McpServer with_call_ms(std::int64_t call_ms) const {
    McpServer server = server_;
    server.call_ms = call_ms;
    return server;
  }
  void end() { process_->kill(); }

 private:
  std::optional<ChildProcess> process_;
  McpServer server_;
};

ToolCall call(std::string name) {
  return {.id = {}, .name = std::move(name), .arguments = "{}"};
}

ToolTrouble trouble_at_call(const McpServer& server) {
  McpOutcome<McpClient> client = McpClient::start(server, g_clock);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&client)) {
    ADD_FAILURE() << "at the start: " << tool_trouble_name(*trouble);
    return *trouble;
  }
  const auto result = std::get<McpClient>(client).call(call("get"));
  const ToolTrouble* trouble = std::get_if<ToolTrouble>(&result);
  return trouble != nullptr ? *trouble : ToolTrouble::kNone;
}

TEST(McpHttp, AnswersComeAsJsonOrAsAStreamWithQuestionsBetween) {
  for (const char* mode : {"json", "stream", "asks", "stays_open"}) {
    const HttpServer server(mode);
    McpOutcome<McpClient> started = McpClient::start(server.server(), g_clock);
    ASSERT_TRUE(std::holds_alternative<McpClient>(started)) << mode;
    McpClient& client = std::get<McpClient>(started);
    EXPECT_TRUE(client.has_tool("add"));
    for (const char* count : {"1", "2"}) {
      const auto result = client.call(call("add"));
      ASSERT_TRUE(std::holds_alternative<McpResult>(result)) << mode;
      EXPECT_EQ(std::get<McpResult>(result).text, count);
    }
    const auto both = client.call_all({call("get"), call("get")});
    ASSERT_TRUE(std::holds_alternative<std::vector<McpResult>>(both)) << mode;
    EXPECT_EQ(std::get<std::vector<McpResult>>(both).back().text, "2");
  }
}

TEST(McpHttp, EachTrajectoryHasASessionOfItsOwn) {
  const HttpServer server("json");
  const ToolRules rules;
  McpSource one(server.server(), g_clock);
  McpSource two(server.server(), g_clock);
  ToolWorld first(rules, {&one});
  ToolWorld second(rules, {&two});
  EXPECT_EQ(first.call(call("add")).result, "1");
  EXPECT_EQ(first.call(call("add")).result, "2");
  EXPECT_EQ(second.call(call("add")).result, "1");
  EXPECT_EQ(second.call(call("get")).level, ToolLevel::kServer);
}

TEST(McpHttp, WhatGoesWrongIsNamed) {
  EXPECT_EQ(trouble_at_call(HttpServer("redirects").server()), ToolTrouble::kServerRedirected);
  EXPECT_EQ(trouble_at_call(HttpServer("floods").server()), ToolTrouble::kServerFlooded);
  EXPECT_EQ(trouble_at_call(HttpServer("floods_a_stream").server()), ToolTrouble::kServerFlooded);
  EXPECT_EQ(trouble_at_call(HttpServer("nonsense").server()), ToolTrouble::kServerBroken);
  EXPECT_EQ(trouble_at_call(HttpServer("empty").server()), ToolTrouble::kServerBroken);
  EXPECT_EQ(trouble_at_call(HttpServer("drops").server()), ToolTrouble::kServerDied);
  EXPECT_EQ(trouble_at_call(HttpServer("refuses").server()), ToolTrouble::kServerBroken);
  EXPECT_EQ(trouble_at_call(HttpServer("forgets").server()), ToolTrouble::kServerDied);
  const HttpServer hangs("hangs");
  EXPECT_EQ(trouble_at_call(hangs.with_call_ms(300)), ToolTrouble::kServerHung);
  const auto nobody = McpClient::start({.url = "http://127.0.0.1:9/mcp"}, g_clock);
  EXPECT_EQ(std::get<ToolTrouble>(nobody), ToolTrouble::kServerDied);
  const auto no_url = McpClient::start({.url = "file:///etc/passwd"}, g_clock);
  EXPECT_EQ(std::get<ToolTrouble>(no_url), ToolTrouble::kServerDied);
}

// ---- the connector ----

TEST(Connector, OnlyWhatIsListedReadsAndHasSeenNoChangeReachesTheServer) {
  const HttpServer server("json");
  ToolRules rules;
  ConnectorSource connector(server.server(), {"get", "add"}, rules, g_clock);
  ToolWorld world(rules, {&connector});
  EXPECT_EQ(world.call(call("get")).level, ToolLevel::kConnector);
  EXPECT_EQ(world.call(call("add")).level, ToolLevel::kNone) << "it changes, though it is listed";
  world.observe(call("add"), "1");
  EXPECT_EQ(world.call(call("get")).level, ToolLevel::kNone) << "the server has not heard of it";

  ConnectorSource other(server.server(), {"list"}, rules, g_clock);
  ToolWorld unlisted(rules, {&other});
  EXPECT_EQ(unlisted.call(call("get")).level, ToolLevel::kNone);

  // Nothing of all that has changed the server's world.
  McpOutcome<McpClient> client = McpClient::start(server.server(), g_clock);
  EXPECT_EQ(std::get<McpResult>(std::get<McpClient>(client).call(call("get"))).text, "0");
}

TEST(Connector, AToolThatItsServerCallsDestructiveIsNotAsked) {
  const HttpServer server("changes");
  ToolRules rules;
  ConnectorSource connector(server.server(), {"get"}, rules, g_clock);
  ToolWorld world(rules, {&connector});
  EXPECT_TRUE(connector.admits("get"));
  EXPECT_EQ(world.call(call("get")).level, ToolLevel::kNone);
  EXPECT_EQ(connector.failed(), 0U);
}

TEST(Connector, AServerThatIsGoneLeavesTheAnswerToOthers) {
  HttpServer server("json");
  ToolRules rules;
  RecordedCalls recorded;
  recorded.add(rules, "a", {.steps = {{.call = call("get"), .result = "7"}}});
  KeyedSource keyed(recorded, std::nullopt);
  ConnectorSource connector(server.server(), {"get"}, rules, g_clock);
  ToolWorld before(rules, {&connector, &keyed});
  EXPECT_EQ(before.call(call("get")).level, ToolLevel::kConnector);
  server.end();
  ToolWorld after(rules, {&connector, &keyed});
  EXPECT_EQ(after.call(call("get")).result, "7");
  EXPECT_EQ(connector.failed(), 1U);
  EXPECT_EQ(connector.trouble(), ToolTrouble::kServerDied);
}

TEST(McpStdio, AServerMayRunInTheSandbox) {
  if (!sandbox_available(g_clock)) GTEST_SKIP() << "no sandbox here";
  SandboxOptions sandbox;
  const std::string programs = UNDERSTUDY_SOURCE_DIR "/tests/program";
  const Result<SandboxFolder> folder = SandboxFolder::create();
  ASSERT_TRUE(folder);
  ASSERT_TRUE(
      std::filesystem::copy_file(programs + "/mcp_faults.py", folder->path() + "/mcp_faults.py"));
  ASSERT_TRUE(folder->hand_over());
  sandbox.mounts = {{.host = folder->path(), .inside = "/server"}};
  McpSource source({.argv = {"/usr/bin/python3", "/server/mcp_faults.py", "plain"},
                    .environment = {"PYTHONDONTWRITEBYTECODE=1"},
                    .sandbox = sandbox},
                   g_clock);
  const ToolRules rules;
  ToolWorld world(rules, {&source});
  EXPECT_EQ(world.call(call("add")).result, "1");
  EXPECT_EQ(world.call(call("add")).result, "2");
}

}  // namespace
}  // namespace understudy
