#pragma once
// Which kinds of prefixes carry a behavior. Strata are properties that a prefix has or has not
// (situations.hpp), chosen from the prefixes alone; each behavior's rate inside is tested against
// its rate outside, over all behaviors and strata together.

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "stats/intervals.hpp"

namespace understudy {

struct Strata {
  std::vector<std::string> names;
  std::vector<std::vector<bool>> holds;  ///< [stratum][prefix]
};

/// Takes the prefixes in an order that is random as far as their properties go: which properties
/// are strata follows from the first 5,000. Those that 1% of them have (ten at least) and 1% have
/// not; at most 400, the commonest. What the same prefixes have is one, under up to three names.
class StrataBuilder {
 public:
  void add(std::vector<std::string> names);
  [[nodiscard]] Strata finish();

 private:
  void choose();
  void place(const std::vector<std::string>& names);
  std::vector<std::vector<std::string>> first_;  // until they are chosen
  bool chosen_ = false;
  std::map<std::string, std::size_t> numbers_;
  Strata strata_;
  std::size_t prefixes_ = 0;
};

/// All draws of an arm; draws of one cluster stand together. Parallel.
struct StratumDraws {
  std::vector<std::size_t> prefix;  ///< a place in Strata::holds
  std::vector<std::uint64_t> cluster;
  std::vector<double> weight;  ///< 1 / inclusion probability, > 0
};

/// What one behavior's graders say of each draw.
enum class Carried : std::uint8_t { kNo = 0, kYes = 1, kUnknown = 2 };

struct StratumRate {
  std::size_t stratum = 0;
  std::uint64_t draws = 0, present = 0;  ///< plain counts inside
  double share = 0;                      ///< of all draws, weighted: how much of the traffic it is
  double rate = 0, rate_outside = 0;     ///< weighted shares
  Interval interval;                     ///< of `rate`, at StrataFound::interval_level
  Interval interval_of_all;              ///< the same at interval_of_all_level
  double p_value = 1, adjusted = 1;
};

struct StrataFound {
  std::vector<std::vector<StratumRate>> behaviors;  ///< parallel to the input; surest first
  std::size_t tested = 0;                           ///< pairs of behavior and stratum
  double interval_level = 0;
  double interval_of_all_level = 0;
};

/// Strata with a higher rate than the rest, at an adjusted p-value of at most `level`: mid-p tests
/// of effective counts, Benjamini–Hochberg over every pair tested. A side's variance is the larger
/// of two: that of its users' residuals, corrected for the pull of heavy users (Bell & McCaffrey
/// 2002), which tells nothing where few users are positive; and that which draws of a user would
/// have who are as alike as on both sides together.
/// Tested are behaviors that five clusters or more show (which says nothing of where), in strata
/// with ten clusters inside and outside. Intervals of the R pairs that are given, chosen from m,
/// are at 1 − R·level/m, so that on average at most `level` of those given miss (Benjamini &
/// Yekutieli 2005); a rate that was chosen for being high is still high by chance in part. Those at
/// 1 − level/m all hold together: the one to use for the highest rate, whichever it is.
[[nodiscard]] StrataFound strata_that_carry(const Strata& strata, const StratumDraws& draws,
                                            std::span<const std::vector<Carried>> behaviors,
                                            double level);

}  // namespace understudy
