#include "model/rate_control.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <queue>
#include <vector>

#include "model/retry.hpp"

namespace understudy {
namespace {

void clean_round(ConcurrencyLimit& limit) {
  for (std::size_t i = limit.limit(); i > 0; --i) limit.on_answer(limit.limit());
}

TEST(ConcurrencyLimit, DoublesUntilTheFirst429) {
  ConcurrencyLimit limit({.start = 20, .max = 200});
  EXPECT_EQ(limit.limit(), 20U);
  clean_round(limit);
  EXPECT_EQ(limit.limit(), 40U);
  clean_round(limit);
  clean_round(limit);
  clean_round(limit);
  EXPECT_EQ(limit.limit(), 200U) << "never beyond max_connections";
}

TEST(ConcurrencyLimit, GrowsByAFractionAfterA429) {
  ConcurrencyLimit limit({.start = 100, .max = 1000});
  EXPECT_TRUE(limit.on_rate_limited(limit.epoch()));
  EXPECT_EQ(limit.limit(), 80U);
  clean_round(limit);
  EXPECT_EQ(limit.limit(), 84U);
}

TEST(ConcurrencyLimit, AnEpisodeCutsOnceHoweverMany429sItHas) {
  ConcurrencyLimit limit({.start = 100, .max = 1000});
  const std::uint64_t epoch = limit.epoch();
  EXPECT_TRUE(limit.on_rate_limited(epoch));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(limit.on_rate_limited(epoch));
  EXPECT_EQ(limit.limit(), 80U);
}

TEST(ConcurrencyLimit, ServerErrorStopsTheGrowthOfItsRoundOnly) {
  ConcurrencyLimit limit({.start = 20, .max = 200});
  limit.on_server_error();
  clean_round(limit);
  EXPECT_EQ(limit.limit(), 20U);
  clean_round(limit);
  EXPECT_EQ(limit.limit(), 40U);
}

TEST(ConcurrencyLimit, DoesNotGrowWhereItWasNotReached) {
  ConcurrencyLimit limit({.start = 20, .max = 200});
  for (int i = 0; i < 200; ++i) limit.on_answer(19);
  EXPECT_EQ(limit.limit(), 20U);
}

TEST(ConcurrencyLimit, NeverFallsBelowOne) {
  ConcurrencyLimit limit({.start = 1, .max = 1});
  for (int i = 0; i < 10; ++i) EXPECT_EQ((limit.on_rate_limited(limit.epoch()), limit.limit()), 1U);
}

/// A server with a token bucket of a tenth of a second, and a client that always has more to ask,
/// on simulated time: what the two values do together.
struct RateWorld {
  struct InFlight {
    std::int64_t due_us;
    std::uint64_t epoch;
    bool refused;
    bool operator>(const InFlight& other) const { return due_us > other.due_us; }
  };
  double (*limit_at)(std::int64_t now_us) = nullptr;
  std::int64_t latency_us = 200'000;
  ConcurrencyLimit concurrency{{.start = 20, .max = 1000}};
  Pacer pacer;
  double tokens = 1;
  std::int64_t now_us = 1;
  std::priority_queue<InFlight, std::vector<InFlight>, std::greater<>> in_flight;
  std::uint64_t answered = 0;
  std::uint64_t refused = 0;

  /// Runs until `end_us`, counting anew.
  void run_until(std::int64_t end_us) {
    answered = refused = 0;
    for (; now_us < end_us; now_us += 1000) {
      const double limit = limit_at(now_us);
      tokens = std::min(std::max(1.0, limit / 10), tokens + limit / 1000);
      while (!in_flight.empty() && in_flight.top().due_us <= now_us) end_one();
      while (in_flight.size() < concurrency.limit() && pacer.take(now_us)) {
        const bool refuse = tokens < 1;
        if (!refuse) tokens -= 1;
        // Refusals come at once, answers after the latency.
        in_flight.push({now_us + (refuse ? 1000 : latency_us), concurrency.epoch(), refuse});
      }
    }
  }

  void end_one() {
    const InFlight one = in_flight.top();
    const std::size_t count = in_flight.size();
    in_flight.pop();
    if (one.refused) {
      ++refused;
      if (concurrency.on_rate_limited(one.epoch)) pacer.on_rate_limited(now_us);
    } else {
      ++answered;
      concurrency.on_answer(count);
      pacer.on_answer(now_us);
    }
  }
};

constexpr std::int64_t kSecond = 1'000'000;

TEST(Pacer, FollowsALimitThatHalvesAndDoubles) {
  for (const double scale : {40.0, 100.0, 400.0}) {
    static double per_s;
    per_s = scale;
    RateWorld world;
    world.limit_at = [](std::int64_t now_us) {
      if (now_us < 40 * kSecond) return per_s;
      return now_us < 80 * kSecond ? per_s / 2 : per_s;
    };
    const std::vector<std::pair<std::int64_t, double>> regimes = {
        {0, scale}, {40 * kSecond, scale / 2}, {80 * kSecond, scale}};
    for (const auto& [start_us, limit] : regimes) {
      world.run_until(start_us + 10 * kSecond);  // the first ten seconds are for finding out
      world.run_until(start_us + 40 * kSecond);
      const double sustained = static_cast<double>(world.answered) / 30 / limit;
      const double refused =
          static_cast<double>(world.refused) / static_cast<double>(world.refused + world.answered);
      EXPECT_GE(sustained, 0.9) << "limit " << limit << " from " << start_us;
      EXPECT_LT(refused, 0.02) << "limit " << limit << " from " << start_us;
    }
  }
}

TEST(Pacer, WithoutA429ThereIsNoLimit) {
  Pacer pacer;
  for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(pacer.take(5));
  EXPECT_FALSE(pacer.has_rate());
}

TEST(Pacer, HoldsEverythingUntilTheTimeItIsTold) {
  Pacer pacer;
  pacer.hold_until(3 * kSecond);
  EXPECT_FALSE(pacer.take(3 * kSecond - 1));
  EXPECT_EQ(pacer.next_us(kSecond), 3 * kSecond);
  EXPECT_TRUE(pacer.take(3 * kSecond));
}

TEST(Retry, FinalFailuresAreNotTriedAgain) {
  Rng rng(1);
  EXPECT_FALSE(decide_retry({}, AttemptFailure::kFinal, 1, 0, 0, 1'000'000, rng).again);
}

TEST(Retry, FailuresEndAtTheirLimitAndRateLimitsDoNot) {
  Rng rng(1);
  const RetryPolicy policy{.failures_max = 3};
  EXPECT_TRUE(decide_retry(policy, AttemptFailure::kBroken, 2, 9, {}, 1'000'000, rng).again);
  EXPECT_FALSE(decide_retry(policy, AttemptFailure::kBroken, 3, 0, {}, 1'000'000, rng).again);
  EXPECT_TRUE(decide_retry(policy, AttemptFailure::kRateLimited, 3, 99, {}, 1'000'000, rng).again);
}

TEST(Retry, JitterIsUniformUpToADoublingCeiling) {
  const RetryPolicy policy{.failures_max = 100, .base_ms = 100, .cap_ms = 1000};
  for (std::uint32_t failures = 1; failures < 40; ++failures) {
    const std::int64_t ceiling_ms = failures < 5 ? 100LL << (failures - 1) : 1000;
    std::int64_t sum_ms = 0;
    std::int64_t largest_ms = 0;
    for (std::uint64_t key = 0; key < 400; ++key) {
      Rng rng(key, failures);
      const std::int64_t delay_ms =
          decide_retry(policy, AttemptFailure::kOverloaded, failures, 0, {}, 1'000'000, rng)
              .delay_ms;
      ASSERT_GE(delay_ms, 0);
      ASSERT_LE(delay_ms, ceiling_ms);
      largest_ms = std::max(largest_ms, delay_ms);
      sum_ms += delay_ms;
    }
    // Mean of 400 uniform values: six standard errors are 9% of the ceiling.
    EXPECT_NEAR(static_cast<double>(sum_ms) / 400, static_cast<double>(ceiling_ms) / 2,
                0.09 * static_cast<double>(ceiling_ms));
    EXPECT_GT(largest_ms, ceiling_ms * 9 / 10);
  }
}

TEST(Retry, NeverComesBackBeforeRetryAfterNorAfterTheDeadline) {
  for (std::uint64_t key = 0; key < 200; ++key) {
    Rng rng(key);
    const RetryDecision decision =
        decide_retry({}, AttemptFailure::kRateLimited, 0, 1, 2'000, 10'000, rng);
    ASSERT_TRUE(decision.again);
    EXPECT_GE(decision.delay_ms, 2'000);
    EXPECT_LT(decision.delay_ms, 10'000);
  }
  Rng rng(1);
  EXPECT_FALSE(decide_retry({}, AttemptFailure::kRateLimited, 0, 1, 10'000, 10'000, rng).again);
}

TEST(RetryAfter, ReadsSecondsAndDates) {
  const std::int64_t now_ms = 1'445'412'480'000;  // Wed, 21 Oct 2015 07:28:00 GMT
  EXPECT_EQ(parse_retry_after("3", now_ms), 3'000);
  EXPECT_EQ(parse_retry_after(" 0.25 ", now_ms), 250);
  EXPECT_EQ(parse_retry_after("Wed, 21 Oct 2015 07:28:10 GMT", now_ms), 10'000);
  EXPECT_EQ(parse_retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now_ms), 0) << "already over";
}

TEST(RetryAfter, NonsenseIsNothing) {
  for (const char* text : {"", "soon", "-1", "nan", "inf", "1e300", "999999999"}) {
    EXPECT_EQ(parse_retry_after(text, 0), std::nullopt) << text;
  }
}

TEST(RateHeaders, ResetsAreDurationsSecondsOrDates) {
  const std::int64_t now_ms = 1'445'412'480'000;  // 2015-10-21T07:28:00Z
  EXPECT_EQ(parse_reset("6m0s", now_ms), 360'000);
  EXPECT_EQ(parse_reset("1.5s", now_ms), 1'500);
  EXPECT_EQ(parse_reset("120ms", now_ms), 120);
  EXPECT_EQ(parse_reset("2", now_ms), 2'000);
  EXPECT_EQ(parse_reset("2015-10-21T07:28:09Z", now_ms), 9'000);
  for (const char* text : {"", "soon", "-1s", "3 weeks", "100h", "nan"}) {
    EXPECT_EQ(parse_reset(text, now_ms), std::nullopt) << text;
  }
}

TEST(RateHeaders, OnlyAUsedUpLimitHoldsRequestsBack) {
  RateHeaders headers;
  headers.requests_remaining = "12";
  headers.requests_reset = "30s";
  headers.tokens_remaining = "0";
  headers.tokens_reset = "4s";
  EXPECT_EQ(used_up_for(headers, 0), 4'000);
  headers.tokens_remaining = "1";
  EXPECT_EQ(used_up_for(headers, 0), std::nullopt);
}

}  // namespace
}  // namespace understudy
