#pragma once
// Intervals for a rate. Two-sided at `level` in (0, 1): each tail gets (1 − level)/2. None ever has
// zero width for 0 < n < ∞. Numbers in parentheses are those of docs/statistics.md, which holds the
// sources and the tests that pin each.

#include <cstdint>

namespace understudy {

struct Interval {
  double lo = 0;
  double hi = 1;
};

/// (3) Clopper–Pearson for a binomial share; 0 <= hits <= n, n > 0. Real arguments are the
/// effective counts of weighted or clustered data. Exact: coverage at least `level` under
/// independence. Clopper & Pearson 1934.
[[nodiscard]] Interval clopper_pearson(double hits, double n, double level);

/// (5) Jeffreys: Beta(hits + ½, n − hits + ½) quantiles, 0 and 1 kept at the ends. Close to `level`
/// on average, not guaranteed. Brown, Cai & DasGupta 2001.
[[nodiscard]] Interval jeffreys(double hits, double n, double level);

/// (4) Wilson score interval. Wilson 1927.
[[nodiscard]] Interval wilson(double hits, double n, double level);

/// (7) Exact interval of a Poisson mean from `hits` events. Garwood 1936.
[[nodiscard]] Interval poisson_exact(double hits, double level);

/// (6) One-sided upper bound of a share when none of n draws has it: 1 − (1 − level)^(1/n).
[[nodiscard]] double zero_event_upper(double n, double level);

/// A rate as a weighted sum of rare events: y = Σ w a, v = Σ w² a, and the most that one further
/// event could add. In units of the rate: a draw of a simple random selection has w = 1/n.
struct WeightedCount {
  double y = 0;       ///< >= 0
  double v = 0;       ///< >= 0, and 0 exactly when y is
  double w_next = 1;  ///< > 0
};

/// (27) Fay–Feuer gamma interval for a weighted sum of Poisson counts. With equal weights this is
/// poisson_exact / n. Conservative. Fay & Feuer 1997; `asht::wspoissonTest`.
[[nodiscard]] Interval fay_feuer(const WeightedCount& count, double level);

/// Its binomial sibling: Clopper–Pearson with effective counts y²/v of y/v, and one further event
/// of w_next above. Equal weights give clopper_pearson exactly, small rates fay_feuer; stays in
/// [0, 1]. Korn & Graubard 1998 (effective counts), Fay & Feuer 1997 (the further event).
struct BetaPair {
  double a_lo = 0, b_lo = 1;  ///< lower confidence distribution
  double a_hi = 1, b_hi = 0;  ///< upper confidence distribution
};
[[nodiscard]] BetaPair confidence_distributions(const WeightedCount& count);
[[nodiscard]] Interval weighted_binomial(const WeightedCount& count, double level);

/// (26) Melded interval of rate / recall, from the rate's confidence distributions and `flagged`
/// flags among `positives` known positives (0 <= flagged <= positives). Capped at 1; flagged = 0
/// gives hi = 1. Assumes both measured independently and recall alike in both. Quadrature in place
/// of the sources' Monte Carlo: same bytes every time. Bayer, Fay & Graubard 2023
/// (`asht::WprevSeSp`).
[[nodiscard]] Interval melded_quotient(const WeightedCount& rate, double flagged, double positives,
                                       double level);
/// The same for a product of two independent shares (flag share × precision of flags).
[[nodiscard]] Interval melded_product(const WeightedCount& share, const WeightedCount& part,
                                      double level);

/// Sum of two independent estimates with intervals: square-and-add (MOVER), clipped to [0, 1].
/// Zou & Donner 2008.
[[nodiscard]] Interval mover_sum(double first, const Interval& first_interval, double second,
                                 const Interval& second_interval);

/// (13), (15) Rogan–Gladen with Lang–Reiczigel's interval: a naive share corrected by measured
/// sensitivity and specificity. For rates of at least 10·(1 − specificity) only. n_* are the labels
/// behind each. Lang & Reiczigel 2014.
[[nodiscard]] double rogan_gladen(double naive, double sensitivity, double specificity);
[[nodiscard]] Interval lang_reiczigel(double naive, double n, double sensitivity,
                                      double n_sensitivity, double specificity,
                                      double n_specificity, double level);

/// (63) Beta-mixture confidence sequence: {p : B(a+x, b+n−x) / (B(a,b) p^x (1−p)^(n−x)) < 1/α}.
/// Holds at all n at once, so looking early and stopping are free. a, b > 0 steer where it is
/// tight: a = ½, b = a / expected rate. Robbins 1970; Howard et al. 2021.
[[nodiscard]] Interval beta_mixture_sequence(double hits, double n, double a, double b,
                                             double level);

}  // namespace understudy
