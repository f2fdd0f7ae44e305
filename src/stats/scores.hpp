#pragma once
// How good a forecast was, against what happened.

namespace understudy {

/// (57) Continuous ranked probability score of a normal forecast, in the units of `actual`; lower
/// is better, |mean − actual| as sd goes to 0. On logarithms of rates it scores relative error.
/// Gneiting & Raftery 2007.
[[nodiscard]] double crps_normal(double mean, double sd, double actual);
/// The same for a log-normal forecast, ln X ~ N(mean_log, sd_log²); actual > 0. Baran & Lerch 2015.
[[nodiscard]] double crps_lognormal(double mean_log, double sd_log, double actual);

}  // namespace understudy
