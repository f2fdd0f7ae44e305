// The HTTP model on a simulated network with seeded faults: whatever happens, every request ends
// once, limits hold, and once the faults stop all answers are those of a network without faults.

#include "testing/sim_transport.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "model/http_model.hpp"
#include "testing/mock_server.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kRequests = 60;
constexpr std::size_t kConnections = 30;

struct World {
  explicit World(const NetworkFaults& faults, std::uint64_t seed, std::size_t endpoint_count = 1)
      : responder(server_options(), clock) {
    const auto spec = parse_model_spec("vllm/mock");
    auto made = std::make_unique<SimTransport>(
        clock, [this](const MockHttpRequest& request) { return responder.respond(request); },
        faults, seed);
    transport = made.get();
    HttpModelOptions options;
    options.connections_max = kConnections;
    options.attempt_timeout_ms = 60'000;
    options.deadline_ms = 600'000;
    std::vector<Endpoint> endpoints(endpoint_count);
    for (Endpoint& endpoint : endpoints) endpoint.base_url = "http://127.0.0.1:1/v1";
    model = make_http_model(options, endpoints, make_openai_chat_protocol(*spec), std::move(made),
                            clock);
  }

  static MockServerOptions server_options() {
    MockServerOptions options;
    options.rates = {{"refusal", 0.2}};
    return options;
  }

  /// Asks what has no answer yet, until each of these has ended once.
  void ask_missing(std::map<std::uint64_t, DrawOutcome>& outcomes) {
    std::vector<std::uint64_t> missing;
    for (std::uint64_t id = 0; id < kRequests; ++id) {
      const auto found = outcomes.find(id);
      if (found == outcomes.end() || std::holds_alternative<Failure>(found->second)) {
        missing.push_back(id);
      }
    }
    std::set<std::uint64_t> open(missing.begin(), missing.end());
    std::size_t next = 0;
    for (int polls = 0; !open.empty(); ++polls) {
      ASSERT_LT(polls, 1'000'000) << "it does not come to an end";
      for (std::size_t free = model->free_slots(); free > 0 && next < missing.size(); --free) {
        ChatRequest request;
        request.id = missing[next++];
        request.seed = request.id << 20;
        request.messages.emplace_back().content = "How do I sort a list?";
        model->submit(std::move(request));
      }
      for (ChatOutcome& ended : model->poll(1000)) {
        ASSERT_EQ(open.erase(ended.id), 1U) << "ended twice, or was never asked";
        outcomes.insert_or_assign(ended.id, std::move(ended.outcome));
      }
    }
  }

  SimClock clock;
  MockResponder responder;
  SimTransport* transport = nullptr;
  std::unique_ptr<ChatModel> model;
};

std::map<std::uint64_t, DrawOutcome> answers_without_faults() {
  World world({}, 0);
  std::map<std::uint64_t, DrawOutcome> outcomes;
  world.ask_missing(outcomes);
  return outcomes;
}

TEST(Simulation, ConvergesOnceFaultsStop) {
  const auto expected = answers_without_faults();
  for (const auto& [id, outcome] : expected) {
    ASSERT_TRUE(std::holds_alternative<Completion>(outcome));
  }
  constexpr std::uint64_t kSeeds = 500;
  std::map<std::string, std::uint64_t> faults_met;
  std::set<FailureReason> reasons;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    World world(swarm_faults(seed), seed, 1 + seed % 3);
    std::map<std::uint64_t, DrawOutcome> outcomes;
    world.ask_missing(outcomes);
    for (const auto& [id, outcome] : outcomes) {
      if (const auto* const failure = std::get_if<Failure>(&outcome)) {
        reasons.insert(failure->reason);
      } else {
        ASSERT_EQ(outcome, expected.at(id)) << "a fault changed an answer";
      }
    }
    world.transport->stop_faults();
    world.ask_missing(outcomes);
    ASSERT_EQ(outcomes, expected);
    ASSERT_LE(world.transport->in_flight_max(), kConnections * (1 + seed % 3));
    ASSERT_EQ(world.model->status().in_flight, 0U);
    for (const auto& [name, count] : world.transport->fault_counts()) faults_met[name] += count;
  }
  // A simulation that never does what it should find is worth nothing.
  EXPECT_EQ(faults_met.size(), 13U);
  for (const FailureReason reason :
       {FailureReason::kServerError, FailureReason::kTimeout, FailureReason::kConnection,
        FailureReason::kTls, FailureReason::kNotJson, FailureReason::kUnexpectedBody,
        FailureReason::kErrorInBody, FailureReason::kBodyTooLarge}) {
    EXPECT_TRUE(reasons.contains(reason)) << failure_name(reason);
  }
}

TEST(Simulation, RetriesLeaveHeldPlacesAlone) {
  NetworkFaults faults;
  faults.server_error = 1;
  World world(faults, 5);
  const std::size_t limit = world.model->free_slots();
  for (std::uint64_t id = 0; id < limit; ++id) {
    ChatRequest request;
    request.id = id;
    request.messages.emplace_back().content = "How do I sort a list?";
    world.model->submit(std::move(request));
  }
  const auto poll_for_s = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) ASSERT_TRUE(world.model->poll(1000).empty());
  };
  // All are sent once and fail; while every place is held, none is sent again.
  world.model->hold(0);
  (void)world.model->poll(1);
  const std::size_t places = world.model->status().concurrency_max;
  world.model->hold(places);
  poll_for_s(60);
  ASSERT_EQ(world.model->status().requests_sent, limit);
  world.model->hold(places - 1);
  poll_for_s(1);
  EXPECT_GT(world.model->status().requests_sent, limit);
  EXPECT_LE(world.transport->in_flight(), 1U);
}

TEST(Simulation, SameSeedSameRun) {
  const auto run = [] {
    World world(swarm_faults(11), 11);
    std::map<std::uint64_t, DrawOutcome> outcomes;
    world.ask_missing(outcomes);
    return std::tuple(outcomes, world.clock.now_us(), world.transport->fault_counts());
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace understudy
