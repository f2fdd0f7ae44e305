#pragma once
// `understudy calibrate`: our own estimates on worlds with known truth.

#include <string>
#include <vector>

namespace understudy {

/// `arguments` are those after the verb. Gives the exit code.
[[nodiscard]] int run_calibrate(const std::vector<std::string>& arguments);

}  // namespace understudy
