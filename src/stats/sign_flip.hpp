#pragma once
// Is one method better than another on the same rows?

#include <span>

namespace understudy {

/// Two-sided sign-flip permutation test that paired differences are symmetric around zero (60).
/// Exact up to 16 non-zero differences, else 100,000 seeded flips. 1 where there is none.
/// Results do not depend on the order. Fisher 1935.
[[nodiscard]] double sign_flip_p(std::span<const double> differences);

}  // namespace understudy
