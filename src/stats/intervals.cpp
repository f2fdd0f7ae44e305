#include "stats/intervals.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

double tail(double level) {
  UNDERSTUDY_ASSERT(level > 0 && level < 1);
  return (1 - level) / 2;
}

// Where a monotone function crosses zero on (lo, hi), 0 <= lo < hi: doubles a bracket around a
// guess, then false position on the logarithm (Illinois: the weight of an end that stays is
// halved), with bisection where that stalls. f(lo) and f(hi) differ in sign.
double crossing(const std::function<double(double)>& f, double lo, double hi, double guess) {
  guess = std::clamp(guess, std::max(lo, 1e-300), hi);
  double left = guess, right = guess;
  double at_left = f(guess), at_right = at_left;
  for (double factor = 1.5; at_left != 0 && (at_left > 0) == (at_right > 0); factor *= factor) {
    const double next_left = std::max(left / factor, std::max(lo, 1e-300));
    const double next_right = std::min(right * factor, hi);
    if (next_left == left && next_right == right) return at_left > 0 ? left : right;
    at_left = f(left = next_left);
    if ((at_left > 0) == (at_right > 0)) at_right = f(right = next_right);
  }
  double a = std::log(left), b = std::log(right);
  for (int step = 0; step < 200 && b - a > 1e-13 && at_left != 0 && at_right != 0; ++step) {
    double x = (a * at_right - b * at_left) / (at_right - at_left);
    if (!(x > a && x < b) || step % 8 == 7) x = (a + b) / 2;
    const double value = f(std::exp(x));
    if ((value > 0) == (at_right > 0)) {
      b = x;
      at_right = value;
      at_left /= 2;
    } else {
      a = x;
      at_left = value;
      at_right /= 2;
    }
    if (value == 0) return std::exp(x);
  }
  return std::exp((a + b) / 2);
}

// 32-point Gauss–Legendre nodes and weights on (0, 1), by Newton's method on the polynomial.
struct Quadrature {
  static constexpr int kPoints = 32;
  std::array<double, kPoints> node{}, weight{};
  Quadrature() {
    constexpr double kPi = 3.14159265358979323846;
    for (int i = 0; i < kPoints; ++i) {
      double x = std::cos(kPi * (i + 0.75) / (kPoints + 0.5));
      double slope = 1;
      for (int step = 0; step < 50; ++step) {
        double previous = 1, current = x;
        for (int k = 2; k <= kPoints; ++k) {
          const double next = ((2 * k - 1) * x * current - (k - 1) * previous) / k;
          previous = current;
          current = next;
        }
        slope = kPoints * (x * current - previous) / (x * x - 1);
        const double change = current / slope;
        x -= change;
        if (std::abs(change) < 1e-16) break;
      }
      const auto at = static_cast<std::size_t>(i);
      node[at] = (1 - x) / 2;
      weight[at] = 1 / ((1 - x * x) * slope * slope);
    }
  }
};

const Quadrature& quadrature() {
  static const Quadrature rule;
  return rule;
}

// Quantiles of a Beta at the nodes of a rule that is dense at both ends: u = t²(3 − 2t) maps (0, 1)
// onto itself and flattens the ends, where quantile functions are steep.
struct BetaNodes {
  std::array<double, Quadrature::kPoints> value{}, weight{};
  BetaNodes(double a, double b) {
    const Quadrature& rule = quadrature();
    for (std::size_t i = 0; i < value.size(); ++i) {
      const double t = rule.node[i];
      value[i] = beta_quantile(a, b, t * t * (3 - 2 * t));
      weight[i] = rule.weight[i] * 6 * t * (1 - t);
    }
  }
};

}  // namespace

Interval clopper_pearson(double hits, double n, double level) {
  UNDERSTUDY_ASSERT(n > 0 && hits >= 0 && hits <= n);
  const double alpha = tail(level);
  return {hits == 0 ? 0 : beta_quantile(hits, n - hits + 1, alpha),
          hits == n ? 1 : beta_quantile(hits + 1, n - hits, 1 - alpha)};
}

Interval jeffreys(double hits, double n, double level) {
  UNDERSTUDY_ASSERT(n > 0 && hits >= 0 && hits <= n);
  const double alpha = tail(level);
  return {hits == 0 ? 0 : beta_quantile(hits + 0.5, n - hits + 0.5, alpha),
          hits == n ? 1 : beta_quantile(hits + 0.5, n - hits + 0.5, 1 - alpha)};
}

Interval wilson(double hits, double n, double level) {
  UNDERSTUDY_ASSERT(n > 0 && hits >= 0 && hits <= n);
  const double z = normal_quantile(1 - tail(level));
  const double share = hits / n;
  const double scale = 1 + z * z / n;
  const double center = (share + z * z / (2 * n)) / scale;
  const double half = z * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale;
  return {hits == 0 ? 0 : std::max(center - half, 0.0),
          hits == n ? 1 : std::min(center + half, 1.0)};
}

Interval poisson_exact(double hits, double level) {
  UNDERSTUDY_ASSERT(hits >= 0);
  const double alpha = tail(level);
  return {gamma_quantile(hits, 1, alpha), gamma_quantile(hits + 1, 1, 1 - alpha)};
}

double zero_event_upper(double n, double level) {
  UNDERSTUDY_ASSERT(n > 0 && level > 0 && level < 1);
  return -std::expm1(std::log1p(-level) / n);
}

Interval fay_feuer(const WeightedCount& count, double level) {
  const auto [y, v, w] = count;
  UNDERSTUDY_ASSERT(y >= 0 && v >= 0 && (y > 0) == (v > 0) && w > 0);
  const double alpha = tail(level);
  const double y_up = y + w, v_up = v + w * w;
  return {y == 0 ? 0 : gamma_quantile(y * y / v, v / y, alpha),
          gamma_quantile(y_up * y_up / v_up, v_up / y_up, 1 - alpha)};
}

BetaPair confidence_distributions(const WeightedCount& count) {
  const auto [y, v, w] = count;
  UNDERSTUDY_ASSERT(y >= 0 && v >= 0 && (y > 0) == (v > 0) && w > 0);
  BetaPair pair;
  if (y > 0) {
    pair.a_lo = y * y / v;
    pair.b_lo = std::max(y / v - pair.a_lo, 0.0) + 1;
  }
  const double y_up = y + w, v_up = v + w * w;
  pair.a_hi = y_up * y_up / v_up;
  pair.b_hi = std::max(y_up / v_up - pair.a_hi + 1, 0.0);
  return pair;
}

Interval weighted_binomial(const WeightedCount& count, double level) {
  const double alpha = tail(level);
  const BetaPair pair = confidence_distributions(count);
  return {pair.a_lo == 0 ? 0 : beta_quantile(pair.a_lo, pair.b_lo, alpha),
          beta_quantile(pair.a_hi, pair.b_hi, 1 - alpha)};
}

Interval melded_quotient(const WeightedCount& rate, double flagged, double positives,
                         double level) {
  UNDERSTUDY_ASSERT(positives > 0 && flagged >= 0 && flagged <= positives);
  const double alpha = tail(level);
  const BetaPair pair = confidence_distributions(rate);
  Interval interval{0, 1};
  // P(rate / recall <= t), averaged over the recall.
  const auto below = [](double a, double b, const BetaNodes& recall, double t) {
    double sum = 0;
    for (std::size_t i = 0; i < recall.value.size(); ++i) {
      sum += recall.weight[i] * beta_cdf(a, b, std::min(t * recall.value[i], 1.0));
    }
    return sum;
  };
  const double middle = (flagged + 0.5) / (positives + 1);
  if (pair.a_lo > 0) {
    const BetaNodes recall(flagged + 1, positives - flagged);
    interval.lo = crossing([&](double t) { return below(pair.a_lo, pair.b_lo, recall, t) - alpha; },
                           0, 1e6, beta_quantile(pair.a_lo, pair.b_lo, alpha) / middle);
  }
  if (flagged > 0) {
    const BetaNodes recall(flagged, positives - flagged + 1);
    interval.hi =
        crossing([&](double t) { return below(pair.a_hi, pair.b_hi, recall, t) - (1 - alpha); }, 0,
                 1e6, beta_quantile(pair.a_hi, pair.b_hi, 1 - alpha) / middle);
  }
  return {std::min(interval.lo, 1.0), std::min(interval.hi, 1.0)};
}

Interval melded_product(const WeightedCount& share, const WeightedCount& part, double level) {
  const double alpha = tail(level);
  const BetaPair first = confidence_distributions(share);
  const BetaPair second = confidence_distributions(part);
  const auto quantile = [](double a1, double b1, double a2, double b2, double p) {
    const BetaNodes factor(a2, b2);
    return crossing(
        [&](double t) {
          double below = 0;
          for (std::size_t i = 0; i < factor.value.size(); ++i) {
            const double at = factor.value[i] > 0 ? std::min(t / factor.value[i], 1.0) : 1.0;
            below += factor.weight[i] * beta_cdf(a1, b1, at);
          }
          return below - p;
        },
        0, 1, beta_quantile(a1, b1, p) * beta_quantile(a2, b2, 0.5));
  };
  Interval interval{0, 1};
  if (first.a_lo > 0 && second.a_lo > 0) {
    interval.lo = quantile(first.a_lo, first.b_lo, second.a_lo, second.b_lo, alpha);
  }
  interval.hi = quantile(first.a_hi, first.b_hi, second.a_hi, second.b_hi, 1 - alpha);
  return interval;
}

Interval mover_sum(double first, const Interval& first_interval, double second,
                   const Interval& second_interval) {
  const double sum = first + second;
  return {std::max(sum - std::hypot(first - first_interval.lo, second - second_interval.lo), 0.0),
          std::min(sum + std::hypot(first_interval.hi - first, second_interval.hi - second), 1.0)};
}

double rogan_gladen(double naive, double sensitivity, double specificity) {
  UNDERSTUDY_ASSERT(sensitivity + specificity > 1);
  return std::clamp((naive + specificity - 1) / (sensitivity + specificity - 1), 0.0, 1.0);
}

Interval lang_reiczigel(double naive, double n, double sensitivity, double n_sensitivity,
                        double specificity, double n_specificity, double level) {
  const double z = normal_quantile(1 - tail(level));
  const double n_se = n_sensitivity + 2, n_sp = n_specificity + 2;
  const double se = (n_sensitivity * sensitivity + 1) / n_se;
  const double sp = (n_specificity * specificity + 1) / n_sp;
  const double n_naive = n + z * z;
  const double share = (n * naive + z * z / 2) / n_naive;
  const double youden = se + sp - 1;
  if (youden <= 0) return {0, 1};  // a grader no better than a coin says nothing
  const double rate = (share + sp - 1) / youden;
  const double se_term = rate * se * (1 - se) / n_se;
  const double sp_term = (1 - rate) * sp * (1 - sp) / n_sp;
  const double shift = 2 * z * z * (se_term - sp_term);
  const double half =
      z * std::sqrt(share * (1 - share) / n_naive + rate * se_term + (1 - rate) * sp_term) / youden;
  return {std::clamp(rate + shift - half, 0.0, 1.0), std::clamp(rate + shift + half, 0.0, 1.0)};
}

Interval beta_mixture_sequence(double hits, double n, double a, double b, double level) {
  UNDERSTUDY_ASSERT(n > 0 && hits >= 0 && hits <= n && a > 0 && b > 0);
  const double mixture = log_beta(a + hits, b + n - hits) - log_beta(a, b) + std::log1p(-level);
  // Evidence against p, as a log; the sequence keeps p while it is negative. It is lowest at
  // hits/n.
  const auto evidence = [&](double p) {
    double likelihood = 0;
    if (hits > 0) likelihood += hits * std::log(p);
    if (n > hits) likelihood += (n - hits) * std::log1p(-p);
    return mixture - likelihood;
  };
  const double share = hits / n;
  Interval interval{0, 1};
  if (hits > 0) interval.lo = crossing(evidence, 0, share, share / 2);
  if (hits < n) interval.hi = crossing(evidence, share, 1 - 1e-16, std::max(2 * share, 4 / n));
  return interval;
}

}  // namespace understudy
