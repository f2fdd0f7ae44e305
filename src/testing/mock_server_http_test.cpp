// The mock server and the HTTP model against each other, through real sockets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "model/model_factory.hpp"
#include "testing/mock_server.hpp"

namespace understudy {
namespace {

struct Asked {
  std::map<std::uint64_t, DrawOutcome> outcomes;
  std::uint64_t attempts = 0;
  std::size_t limit_max = 0;
  std::int64_t duration_ms = 0;
};

/// `count` requests of different seeds.
Asked ask(const std::string& base_url, std::uint64_t count, ModelOptions options = {},
          const std::string& model_name = "vllm/mock") {
  const SystemClock clock;
  options.base_urls = {base_url};
  auto model = make_model(model_name, options, clock);
  EXPECT_TRUE(model.has_value());
  Asked run;
  const std::int64_t start_ms = clock.now_ms();
  std::uint64_t next = 0;
  while (run.outcomes.size() < count) {
    for (std::size_t free = (*model)->free_slots(); free > 0 && next < count; --free) {
      ChatRequest request;
      request.id = next;
      request.seed = next << 20;
      request.messages.emplace_back().content = "How do I sort a list?";
      ++next;
      (*model)->submit(std::move(request));
    }
    for (ChatOutcome& ended : (*model)->poll(1000)) {
      EXPECT_TRUE(run.outcomes.emplace(ended.id, std::move(ended.outcome)).second)
          << "a request ended twice";
      run.attempts += ended.attempts;
    }
    run.limit_max = std::max<std::size_t>(run.limit_max, (*model)->status().concurrency_limit);
  }
  run.duration_ms = clock.now_ms() - start_ms;
  return run;
}

std::uint64_t completed(const Asked& run) {
  std::uint64_t count = 0;
  for (const auto& [id, outcome] : run.outcomes) {
    count += std::holds_alternative<Completion>(outcome) ? 1U : 0U;
  }
  return count;
}

TEST(MockServer, AnswersAreAFunctionOfSeedAndRequest) {
  MockServerOptions options;
  options.rates = {{"refusal", 0.3}, {"unsupported_link", 0.3}};
  MockServerThread first(options);
  MockServerThread again(options);
  options.seed = 2;
  MockServerThread other(options);
  const Asked a = ask(first.base_url(), 200);
  ModelOptions one_at_a_time;
  one_at_a_time.connections_max = 1;
  EXPECT_EQ(a.outcomes, ask(again.base_url(), 200, one_at_a_time).outcomes);
  EXPECT_NE(a.outcomes, ask(other.base_url(), 200).outcomes);
  const Json stats = first.stop();
  EXPECT_EQ(stats["requests"], 200);
  EXPECT_EQ(stats["distinct_requests"], 200);
  EXPECT_EQ(stats["answers_sent"], 200);
  EXPECT_EQ(stats["by_status"]["200"], 200);
  EXPECT_EQ(stats["by_model"]["mock"], 200);
}

TEST(MockServer, PlantsABehaviorAtItsRate) {
  MockServerOptions options;
  options.rates = {{"refusal", 0.1}};
  MockServerThread server(options);
  const Asked run = ask(server.base_url(), 3000);
  int refusals = 0;
  for (const auto& [id, outcome] : run.outcomes) {
    if (std::get<Completion>(outcome).content.starts_with("I'm sorry")) ++refusals;
  }
  // Binomial(3000, 0.1): five standard deviations are 82.
  EXPECT_NEAR(refusals, 300, 82);
}

TEST(MockServer, InjectedErrorsAreRetriedAndCounted) {
  MockServerOptions options;
  options.error_rate = 0.2;
  MockServerThread server(options);
  ModelOptions model;
  model.retry.base_ms = 1;
  model.retry.failures_max = 20;
  const Asked run = ask(server.base_url(), 500, model);
  EXPECT_EQ(completed(run), 500U);
  const Json stats = server.stop();
  EXPECT_EQ(stats["distinct_requests"], 500);
  EXPECT_EQ(stats["requests"], run.attempts);
  EXPECT_GT(run.attempts, 550U);
}

TEST(MockServer, UnknownModelOfAScenarioIsATypedFailure) {
  MockServerOptions options;
  options.models.emplace_back().name = "known";
  MockServerThread server(options);
  const Asked run = ask(server.base_url(), 1, {}, "vllm/unknown");
  const auto& failure = std::get<Failure>(run.outcomes.at(0));
  EXPECT_EQ(failure.reason, FailureReason::kBadRequest);
  EXPECT_EQ(failure.detail, "HTTP 404 model_not_found");
}

TEST(HttpModel, ConcurrencyGrowsToTheLimitWhileAllIsWell) {
  MockServerOptions options;
  options.latency_ms = 5;
  MockServerThread server(options);
  ModelOptions model;
  model.connections_max = 90;
  const Asked run = ask(server.base_url(), 2000, model);
  EXPECT_EQ(run.limit_max, 90U);
  const Json stats = server.stop();
  EXPECT_LE(stats["in_flight_max"], 90);  // how many meet there at once depends on the machine
  EXPECT_GT(stats["in_flight_max"], 40);
}

TEST(HttpModel, RateLimitSlowsDownAndNothingIsLost) {
  MockServerOptions options;
  options.latency_ms = 10;
  options.rate_limits = {{.after_ms = 0, .requests_per_s = 300}};
  MockServerThread server(options);
  const Asked run = ask(server.base_url(), 900);
  EXPECT_EQ(completed(run), 900U);
  const Json stats = server.stop();
  EXPECT_EQ(stats["requests"], run.attempts);
  EXPECT_GE(run.duration_ms, 2'800) << "the limit is the server's to set";
}

}  // namespace
}  // namespace understudy
