#include "stats/distributions.hpp"

#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

#include "base/assert.hpp"

namespace understudy {
namespace {
namespace bm = boost::math;
using Policy = bm::policies::policy<bm::policies::promote_double<false>,
                                    bm::policies::overflow_error<bm::policies::ignore_error>,
                                    bm::policies::evaluation_error<bm::policies::ignore_error>>;
constexpr double kRootTwo = 1.4142135623730950488;
}  // namespace

double beta_cdf(double a, double b, double x) {
  UNDERSTUDY_ASSERT(a >= 0 && b >= 0 && a + b > 0);
  if (x <= 0) return a == 0 ? 1 : 0;
  if (x >= 1 || a == 0) return 1;
  if (b == 0) return 0;
  return bm::ibeta(a, b, x, Policy());
}

double beta_quantile(double a, double b, double p) {
  UNDERSTUDY_ASSERT(a >= 0 && b >= 0 && a + b > 0 && p > 0 && p < 1);
  if (a == 0) return 0;
  if (b == 0) return 1;
  return bm::ibeta_inv(a, b, p, Policy());
}

double gamma_cdf(double shape, double scale, double x) {
  UNDERSTUDY_ASSERT(shape >= 0 && scale > 0);
  if (x <= 0) return shape == 0 ? 1 : 0;
  if (shape == 0) return 1;
  return bm::gamma_p(shape, x / scale, Policy());
}

double gamma_quantile(double shape, double scale, double p) {
  UNDERSTUDY_ASSERT(shape >= 0 && scale > 0 && p > 0 && p < 1);
  if (shape == 0) return 0;
  return scale * bm::gamma_p_inv(shape, p, Policy());
}

double normal_cdf(double x) {
  return 0.5 * bm::erfc(-x / kRootTwo, Policy());
}

double normal_quantile(double p) {
  UNDERSTUDY_ASSERT(p > 0 && p < 1);
  return -kRootTwo * bm::erfc_inv(2 * p, Policy());
}

double student_quantile(double freedom, double p) {
  UNDERSTUDY_ASSERT(freedom > 0 && p > 0 && p < 1);
  return bm::quantile(bm::students_t_distribution<double, Policy>(freedom), p);
}

double log_gamma(double x) {
  UNDERSTUDY_ASSERT(x > 0);
  return bm::lgamma(x, Policy());
}

double log_beta(double a, double b) {
  return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
}

double log_choose(double n, double k) {
  UNDERSTUDY_ASSERT(k >= 0 && n >= k);
  return log_gamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1);
}

}  // namespace understudy
