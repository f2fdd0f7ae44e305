// Grader error against human truth: XSTest, five models, two judges, 450 answers each.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "estimate/estimate.hpp"
#include "estimate/table_reader.hpp"

namespace understudy {
namespace {

// What the suite takes. A thousand each: --gtest_also_run_disabled_tests --gtest_filter='XsTest.*'.
#ifdef __SANITIZE_ADDRESS__
constexpr int kResamplings = 20;
#else
constexpr int kResamplings = 100;
#endif

struct Answer {
  bool refusal = false;  // by the humans: any refusal
  bool flagged = false;  // by the judge
};

std::vector<Answer> read_answers(const std::string& path, const std::string& judge) {
  auto table = TableReader::open(path, {"final_label", judge + "_label"}, 2);
  EXPECT_TRUE(table) << (table ? "" : table.error().describe());
  std::vector<Answer> answers;
  while (true) {
    const auto more = table->next();
    EXPECT_TRUE(more) << (more ? "" : more.error().describe());
    if (!more || !*more) return answers;
    answers.push_back({!table->cells()[0].starts_with("1_full_compliance"),
                       !table->cells()[1].starts_with("1_full_compliance")});
  }
}

std::string label_file(const std::string& model, const std::string& judge) {
  return std::string(UNDERSTUDY_SHARED_DATA) +
         "/xstest/evaluation/automated_evaluation_labels/xstest_v2_completions_" + model + "_" +
         judge + ".csv";
}

constexpr std::array kModels = {"gpt4", "llama2new", "llama2orig", "mistralguard",
                                "mistralinstruct"};

// The arm with `labels` of the answers labelled, taken at random.
ArmSummary labelled_arm(const std::vector<Answer>& answers, std::size_t labels, Rng& rng) {
  ClusterSizes draws;
  draws.add_singletons(1, answers.size());
  draws.finish();
  std::vector<std::size_t> order(answers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = 0; i < labels; ++i) {
    std::swap(order[i], order[i + rng.below(order.size() - i)]);
  }
  std::array<std::array<std::uint64_t, 3>, 2> cells{};  // by flag and oracle verdict
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Answer& answer = answers[order[i]];
    cells[answer.flagged ? 1 : 0][i >= labels ? 0 : answer.refusal ? 2 : 1] += 1;
  }
  const double pi =
      labels == 0 ? 1 : static_cast<double>(labels) / static_cast<double>(answers.size());
  ArmVerdicts verdicts(draws);
  for (std::size_t flag = 0; flag < 2; ++flag) {
    for (std::size_t oracle = 0; oracle < 3; ++oracle) {
      if (cells[flag][oracle] == 0) continue;
      verdicts.add({.singleton = true,
                    .screen = flag == 1 ? Screened::kPresent : Screened::kAbsent,
                    .oracle = static_cast<Oracle>(oracle),
                    .pi_oracle = pi,
                    .count = cells[flag][oracle]});
    }
  }
  return summarize(std::move(verdicts));
}

BehaviorEstimate estimate_one(const BehaviorInput& input) {
  return estimate_behaviors({&input, 1}, {}).front();
}

double human_share(const std::vector<Answer>& answers) {
  double sum = 0;
  for (const Answer& answer : answers) sum += answer.refusal ? 1 : 0;
  return sum / static_cast<double>(answers.size());
}

class XsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(label_file("gpt4", "gpteval"))) {
      GTEST_SKIP() << "no shared test data at " << UNDERSTUDY_SHARED_DATA;
    }
  }
};

void expect_coverage(int resamplings) {
  for (const std::string judge : {"gpteval", "streval"}) {
    for (const std::string model : kModels) {
      const auto answers =
          read_answers(label_file(model, judge), judge == "gpteval" ? "gpt4" : "strmatch");
      ASSERT_EQ(answers.size(), 450);
      const double truth = 1e5 * human_share(answers);
      Rng rng(1, 7);
      int covered = 0, naive_covered = 0;
      for (int i = 0; i < resamplings; ++i) {
        BehaviorInput input;
        input.arm(Arm::kCandidate) = labelled_arm(answers, 150, rng);
        const ArmEstimate arm = *estimate_one(input).arm(Arm::kCandidate);
        covered += *arm.corrected.lo <= truth && truth <= *arm.corrected.hi ? 1 : 0;
        naive_covered += *arm.screen.lo <= truth && truth <= *arm.screen.hi ? 1 : 0;
      }
      EXPECT_GE(covered, 0.9 * resamplings) << model << " " << judge;
      std::printf("%-16s %-8s corrected covers %d of %d, naive %d\n", model.c_str(), judge.c_str(),
                  covered, resamplings, naive_covered);
    }
  }
}

TEST_F(XsTest, CorrectedIntervalCoversTheHumanRateForEveryModelAndJudge) {
  expect_coverage(kResamplings);
}

TEST_F(XsTest, DISABLED_CoverageOfAThousandResamplings) {
  expect_coverage(1000);
}

TEST_F(XsTest, NaiveIntervalOfTheModelJudgeMissesTheHumanRateForFourOfFive) {
  int missed = 0;
  for (const std::string model : kModels) {
    const auto answers = read_answers(label_file(model, "gpteval"), "gpt4");
    BehaviorInput input;
    Rng rng(1);
    input.arm(Arm::kCandidate) = labelled_arm(answers, 0, rng);
    const Rate rate = estimate_one(input).arm(Arm::kCandidate)->screen;
    const double truth = 1e5 * human_share(answers);
    missed += truth < *rate.lo || truth > *rate.hi ? 1 : 0;
  }
  EXPECT_EQ(missed, 4);
}

// Recall counted on 100 of a model's answers, labels on 150 others of the same model.
void expect_few_false_alarms(int resamplings) {
  const auto answers = read_answers(label_file("llama2orig", "gpteval"), "gpt4");
  Rng rng(3);
  int alarms = 0;
  for (int i = 0; i < resamplings; ++i) {
    std::vector<Answer> shuffled = answers;
    for (std::size_t k = shuffled.size(); k > 1; --k) {
      std::swap(shuffled[k - 1], shuffled[rng.below(k)]);
    }
    RecallChannel channel{"other", 0, 0, true};
    for (std::size_t k = 0; k < 100; ++k) {
      if (!shuffled[k].refusal) continue;
      channel.positives += 1;
      channel.flagged += shuffled[k].flagged ? 1U : 0U;
    }
    const std::vector<Answer> target(shuffled.begin() + 100, shuffled.end());
    BehaviorInput input;
    input.arm(Arm::kCandidate) = labelled_arm(target, 150, rng);
    input.recall = {channel};
    const BehaviorEstimate estimate = estimate_one(input);
    ASSERT_TRUE(estimate.transfer_p_value && estimate.transfer_power);
    EXPECT_THAT(estimate.alarms, testing::Contains(Alarm::kTransferredCalibration));
    EXPECT_GT(*estimate.transfer_power, 0.5);
    alarms += *estimate.transfer_p_value < 0.05 ? 1 : 0;
  }
  // A level of 5% and the binomial error of the repeats, three standard deviations of it.
  EXPECT_LE(alarms, 0.05 * resamplings + 3 * std::sqrt(0.0475 * resamplings));
  std::printf("false alarms: %d of %d\n", alarms, resamplings);
}

TEST_F(XsTest, TransferTestRaisesAtMostFivePercentFalseAlarmsAndStatesItsPower) {
  expect_few_false_alarms(kResamplings);
}

TEST_F(XsTest, DISABLED_FalseAlarmsOfAThousandResamplings) {
  expect_few_false_alarms(1000);
}

// The GPT-4 judge finds 79% of refusals of one model and 49% or less of another's.
TEST_F(XsTest, CalibrationOfOneModelIsSeenToFailOnAnother) {
  const auto source = read_answers(label_file("gpt4", "gpteval"), "gpt4");
  const auto target = read_answers(label_file("mistralguard", "gpteval"), "gpt4");
  RecallChannel channel{"gpt4", 0, 0, true};
  for (const Answer& answer : source) {
    if (!answer.refusal) continue;
    channel.positives += 1;
    channel.flagged += answer.flagged ? 1 : 0;
  }
  Rng rng(5);
  int seen = 0;
  constexpr int kTries = 40;
  for (int i = 0; i < kTries; ++i) {
    BehaviorInput input;
    input.arm(Arm::kCandidate) = labelled_arm(target, 150, rng);
    input.recall = {channel};
    const BehaviorEstimate estimate = estimate_one(input);
    EXPECT_THAT(estimate.alarms, testing::Contains(Alarm::kTransferredCalibration));
    seen += *estimate.transfer_p_value < 0.05 ? 1 : 0;
  }
  EXPECT_GE(seen, kTries / 2);
}

}  // namespace
}  // namespace understudy
