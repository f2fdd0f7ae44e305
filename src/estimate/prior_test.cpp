#include "estimate/prior.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace understudy {
namespace {

ChangeEvidence evidence(double old, double events, double exposure) {
  ChangeEvidence one;
  one.previous = old;
  one.events = events;
  one.exposure = exposure;
  return one;
}

// Rates from 1e-5 to 1e-2 at which nothing has changed, measured well.
std::vector<ChangeEvidence> steady_report(int count) {
  std::vector<ChangeEvidence> report;
  for (int i = 0; i < count; ++i) {
    const double rate = std::pow(10, -5 + 3.0 * i / (count - 1));
    report.push_back(evidence(rate, rate * 1e7, 1e7));
  }
  return report;
}

TEST(DefaultPrior, AloneIsTheDocumentedOne) {
  // No event and hardly any exposure: the posterior is the prior, centered on no change.
  const auto posterior = change_posteriors(std::vector{evidence(1e-4, 0, 1e-3)}, {}, 0.95);
  EXPECT_NEAR(posterior[0].median, 0, 0.02);
  EXPECT_NEAR(posterior[0].hi, -posterior[0].lo, 0.05);
  EXPECT_GT(posterior[0].hi, 1);
}

TEST(DefaultPrior, ChangesLeadBackFromTheEndsOfTheReportsRates) {
  std::vector<ChangeEvidence> report = steady_report(20);
  // An old rate below all that the others show, of which the draws say nothing.
  report.push_back(evidence(2e-6, 0, 1));
  const double beyond = change_posteriors(report, {}, 0.95).back().median;
  report.back().previous = 3e-4;
  const double within = change_posteriors(report, {}, 0.95).back().median;
  EXPECT_GT(beyond, within + 0.02);
  EXPECT_NEAR(within, 0, 0.05);
}

TEST(DefaultPrior, AFewBehaviorsTellNothingAboutEnds) {
  std::vector<ChangeEvidence> report = steady_report(5);
  report.push_back(evidence(2e-6, 0, 1));
  const double beyond = change_posteriors(report, {}, 0.95).back().median;
  report.back().previous = 3e-4;
  EXPECT_NEAR(beyond, change_posteriors(report, {}, 0.95).back().median, 0.02);
}

TEST(DefaultPrior, DrawsOverruleTheEnds) {
  std::vector<ChangeEvidence> report = steady_report(20);
  report.push_back(evidence(1e-2, 4e5, 1e7));  // four times the largest of all
  EXPECT_NEAR(change_posteriors(report, {}, 0.95).back().median, std::log(4), 0.05);
}

TEST(DefaultPrior, SameBytesForAnyOrder) {
  std::vector<ChangeEvidence> report = steady_report(20);
  for (std::size_t i = 0; i < report.size(); ++i) {
    report[i].events = std::floor(static_cast<double>(i * 7 % 5));
    report[i].exposure = 1e5;
    report[i].previous_log_variance = i % 3 == 0 ? 0.04 : 0;
  }
  const auto straight = change_posteriors(report, {}, 0.95);
  std::reverse(report.begin(), report.end());
  const auto reversed = change_posteriors(report, {}, 0.95);
  for (std::size_t i = 0; i < report.size(); ++i) {
    EXPECT_EQ(straight[i].median, reversed[report.size() - 1 - i].median);
    EXPECT_EQ(straight[i].hi, reversed[report.size() - 1 - i].hi);
  }
}

}  // namespace
}  // namespace understudy
