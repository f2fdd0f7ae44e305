#pragma once
// The few distribution functions that the estimators need, with the edges that they meet (shape
// zero: all mass at zero) defined instead of thrown. Boost.Math 1.74 behind, in double throughout.
// Shapes may be any real number: weighted counts are.

namespace understudy {

/// P(X <= x), X ~ Beta(a, b); x in [0, 1], a, b >= 0. a = 0: all mass at 0; b = 0: all mass at 1.
[[nodiscard]] double beta_cdf(double a, double b, double x);
/// Inverse of beta_cdf in x; p in (0, 1).
[[nodiscard]] double beta_quantile(double a, double b, double p);
/// P(X <= x), X ~ Gamma(shape, scale); shape >= 0 (0: all mass at 0), scale > 0, x >= 0.
[[nodiscard]] double gamma_cdf(double shape, double scale, double x);
[[nodiscard]] double gamma_quantile(double shape, double scale, double p);
[[nodiscard]] double normal_cdf(double x);
/// p in (0, 1).
[[nodiscard]] double normal_quantile(double p);
/// Student's t with any degrees of freedom > 0.
[[nodiscard]] double student_quantile(double freedom, double p);
[[nodiscard]] double log_gamma(double x);           ///< x > 0
[[nodiscard]] double log_beta(double a, double b);  ///< a, b > 0
/// ln C(n, k).
[[nodiscard]] double log_choose(double n, double k);

}  // namespace understudy
