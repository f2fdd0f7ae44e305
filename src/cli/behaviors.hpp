#pragma once
// `understudy behaviors [list|show NAME|test FILE…|compare DIR NAME]`: what the graders look for.

#include <string>
#include <vector>

namespace understudy {

/// `arguments` are those after the verb. Gives the exit code: 0, 1 when an example failed, 2 usage.
[[nodiscard]] int run_behaviors(const std::vector<std::string>& arguments);

}  // namespace understudy
