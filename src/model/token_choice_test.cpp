#include "model/token_choice.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.hpp"

namespace understudy {
namespace {

std::vector<float> random_logits(std::size_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = static_cast<float>(rng.uniform() * 20 - 10);
  return logits;
}

/// Softmax in double with libm: the definition.
std::vector<double> probabilities(const std::vector<float>& logits, double temperature) {
  double top = -1e30;
  for (const float logit : logits) top = std::max(top, static_cast<double>(logit));
  std::vector<double> weights;
  double total = 0;
  for (const float logit : logits) {
    weights.push_back(std::exp((static_cast<double>(logit) - top) / temperature));
    total += weights.back();
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

TEST(TokenChoice, ZeroTemperatureTakesTheFirstLargest) {
  std::vector<float> scratch;
  EXPECT_EQ(choose_token(std::vector<float>{1, 3, 2, 3}, 0, 1, 0.9, scratch), 1U);
}

TEST(TokenChoice, InvertsTheCumulativeSoftmax) {
  std::vector<float> scratch;
  for (const std::size_t count : {1U, 2U, 15U, 16U, 255U, 257U, 5000U}) {
    for (const double temperature : {0.2, 1.0, 3.0}) {
      const std::vector<float> logits = random_logits(count, count);
      const std::vector<double> p = probabilities(logits, temperature);
      Rng rng(7);
      for (int i = 0; i < 200; ++i) {
        const double u = rng.uniform();
        const std::size_t chosen = choose_token(logits, temperature, 1, u, scratch);
        double below = 0;
        for (std::size_t j = 0; j < chosen; ++j) below += p[j];
        EXPECT_GE(u, below - 1e-6);
        EXPECT_LE(u, below + p[chosen] + 1e-6);
      }
    }
  }
}

TEST(TokenChoice, NucleusIsTheSmallestSetThatHoldsTopP) {
  std::vector<float> scratch;
  const std::vector<float> logits = random_logits(1000, 3);
  const std::vector<double> p = probabilities(logits, 1.0);
  std::vector<std::size_t> order(p.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
  for (const double top_p : {0.05, 0.5, 0.9, 0.999, 0.9999999}) {
    std::set<std::size_t> nucleus;
    double sum = 0;
    for (const std::size_t token : order) {
      nucleus.insert(token);
      sum += p[token];
      if (sum >= top_p) break;
    }
    std::set<std::size_t> seen;
    for (int i = 0; i < 1000; ++i) {
      seen.insert(choose_token(logits, 1.0, top_p, (i + 0.5) / 1000, scratch));
    }
    // Which token is the last one in may turn on the last bit of a sum.
    for (const std::size_t token : seen) {
      EXPECT_TRUE(nucleus.contains(token) || p[token] < 1e-6) << top_p;
    }
    if (top_p < 0.8) {
      EXPECT_EQ(seen.size(), nucleus.size()) << top_p;
    }
  }
}

TEST(TokenChoice, HugeDifferencesAreZeroAndNotGarbage) {
  std::vector<float> scratch;
  std::vector<float> logits(100, -1e30F);
  logits[37] = 5;
  for (const double u : {0.0, 0.5, 0.999999999}) {
    EXPECT_EQ(choose_token(logits, 1, 1, u, scratch), 37U);
    EXPECT_EQ(choose_token(logits, 0.01, 0.9, u, scratch), 37U);
  }
}

}  // namespace
}  // namespace understudy
