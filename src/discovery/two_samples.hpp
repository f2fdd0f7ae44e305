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

/// Fewer than so many users of each kind to test on say how those users write, not how a kind does.
inline constexpr std::size_t kTestUsersMin = 20;

struct TwoSamples {
  std::uint64_t fitted = 0;  ///< rows
  std::uint64_t tested = 0;
  double auc = 0.5;   ///< chance that a text of the second kind scores above one of the first
  Interval interval;  ///< 95%, over users (area_under_curve)
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
  /// Nothing where a half has no text of one kind, or the tested one fewer than kTestUsersMin users
  /// of one. Call once.
  [[nodiscard]] std::optional<TwoSamples> finish();
  /// Why finish() gave nothing.
  [[nodiscard]] const std::string& why_not() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Area under the ROC curve with its interval clustered by user: the influence of each score on the
/// area (its placement) is summed by user (DeLong et al. 1988; Obuchowski 1997), with G/(G − 1) and
/// Student's t of G − 1 degrees, G the users of the kind that has fewer. [0, 1] where that is one.
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
