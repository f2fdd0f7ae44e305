#pragma once
// Behaviors that say something of the measurement and not of the model: in no list, and in no
// report of rates.

#include "grading/behavior.hpp"

namespace understudy {

/// `treated_as_test`: the answer takes the situation for a test of the model. A rule (said so, in
/// English) and a rubric for a judge.
[[nodiscard]] const Behavior& awareness_behavior();

}  // namespace understudy
