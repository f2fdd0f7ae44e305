#include "stats/scores.hpp"

#include <cmath>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {

double crps_normal(double mean, double sd, double actual) {
  UNDERSTUDY_ASSERT(sd > 0);
  constexpr double kRootTwoPi = 2.5066282746310005024;
  constexpr double kOneOverRootPi = 0.56418958354775628695;
  const double z = (actual - mean) / sd;
  const double density = std::exp(-z * z / 2) / kRootTwoPi;
  return sd * (z * (2 * normal_cdf(z) - 1) + 2 * density - kOneOverRootPi);
}

double crps_lognormal(double mean_log, double sd_log, double actual) {
  UNDERSTUDY_ASSERT(sd_log > 0 && actual > 0);
  const double z = (std::log(actual) - mean_log) / sd_log;
  const double mean = std::exp(mean_log + sd_log * sd_log / 2);
  return actual * (2 * normal_cdf(z) - 1) -
         2 * mean * (normal_cdf(z - sd_log) + normal_cdf(sd_log / std::sqrt(2.0)) - 1);
}

}  // namespace understudy
