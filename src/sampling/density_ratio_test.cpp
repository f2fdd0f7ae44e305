#include "sampling/density_ratio.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/rng.hpp"

namespace understudy {
namespace {

// Questions about code with the given probability, about gardens otherwise.
std::vector<TextFeature> question(double code, Rng& rng, bool* about_code = nullptr) {
  const bool is_code = rng.uniform() < code;
  if (about_code != nullptr) *about_code = is_code;
  Message message;
  message.content = (is_code ? "fix this function number " : "plant this flower number ") +
                    std::to_string(rng.below(50));
  return text_features({&message, 1}, "");
}

DensityRatio::Texts texts_of(double in_logs, double in_target, std::size_t each, Rng& rng) {
  DensityRatio::Texts texts;
  for (const std::size_t half : {0U, 1U}) {
    for (std::size_t i = 0; i < each; ++i) {
      texts.logs[half].push_back(question(in_logs, rng));
      texts.target[half].push_back(question(in_target, rng));
    }
  }
  return texts;
}

TEST(DensityRatio, RecoversTheTargetsShareOfATopic) {
  Rng rng(1);
  const DensityRatio ratio(texts_of(0.2, 0.6, 1000, rng));
  EXPECT_GT(ratio.area(), 0.65);
  double code = 0, all = 0;
  for (int i = 0; i < 4000; ++i) {
    bool about_code = false;
    const auto features = question(0.2, rng, &about_code);
    const double weight = ratio.weight(static_cast<std::size_t>(i % 2), features);
    all += weight;
    code += about_code ? weight : 0;
  }
  EXPECT_NEAR(code / all, 0.6, 0.05);
  EXPECT_NEAR(all / 4000, 1, 0.1);
}

TEST(DensityRatio, IsOneWhereLogsAndTargetAreAlike) {
  Rng rng(2);
  const DensityRatio ratio(texts_of(0.3, 0.3, 1000, rng));
  EXPECT_NEAR(ratio.area(), 0.5, 0.05);
  for (int i = 0; i < 200; ++i) {
    EXPECT_NEAR(ratio.weight(0, question(0.3, rng)), 1, 0.2);
  }
}

TEST(LogisticLine, FindsALineAndIsFlatWhereScoresMislead) {
  std::vector<double> scores;
  std::vector<char> labels;
  Rng rng(3);
  for (int i = 0; i < 20'000; ++i) {
    scores.push_back(4 * rng.uniform() - 2);
    const double p = 1 / (1 + std::exp(-(0.5 + 1.5 * scores.back())));
    labels.push_back(rng.uniform() < p ? 1 : 0);
  }
  const LogisticLine line = fit_logistic_line(scores, labels);
  EXPECT_NEAR(line.intercept, 0.5, 0.1);
  EXPECT_NEAR(line.slope, 1.5, 0.1);
  for (double& score : scores) score = -score;
  EXPECT_EQ(fit_logistic_line(scores, labels).slope, 0);
}

}  // namespace
}  // namespace understudy
