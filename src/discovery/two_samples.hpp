#pragma once
// Can texts of two kinds be told apart (statistics.md (65))? Logistic regression on features,
// fitted on half of the users and asked about the other half. What it says is how well two samples
// can be told apart by these features, not whether a rate differs: with enough texts anything can.
//
// Rows are kept in memory; give a few thousand of each kind.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "grading/answer_features.hpp"
#include "stats/intervals.hpp"

namespace understudy {

struct TwoSamples {
  std::uint64_t fitted = 0;  ///< rows
  std::uint64_t tested = 0;
  double auc = 0.5;   ///< chance that a text of the second kind scores above one of the first
  Interval interval;  ///< 95%, over users: variance of the placements summed by user
  std::vector<std::string> of_second;  ///< features that give the second kind away, strongest first
  std::vector<std::string> of_first;
};

class TwoSampleTest {
 public:
  explicit TwoSampleTest(std::uint64_t seed);
  ~TwoSampleTest();
  TwoSampleTest(TwoSampleTest&&) noexcept;
  TwoSampleTest& operator=(TwoSampleTest&&) noexcept;

  void add(std::uint64_t cluster, bool second, std::span<const Feature> features);
  /// Nothing where a half has no text of one kind. Call once.
  [[nodiscard]] std::optional<TwoSamples> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Area under the ROC curve with its interval clustered by user: the influence of each score on the
/// area (its placement) is summed by user (DeLong et al. 1988; Obuchowski 1997).
struct Scored {
  double score = 0;
  std::uint64_t cluster = 0;
  bool second = false;
};
struct Area {
  double auc = 0.5;
  Interval interval;
};
/// Both kinds are there.
[[nodiscard]] Area area_under_curve(std::span<const Scored> scores, double level);

}  // namespace understudy
