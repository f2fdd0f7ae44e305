#pragma once
// `understudy estimate --table`: rates from a table of verdicts, without a study.

#include <string>
#include <vector>

namespace understudy {

/// `arguments` are those after the verb. Gives the exit code.
[[nodiscard]] int run_estimate_table(const std::vector<std::string>& arguments);

}  // namespace understudy
