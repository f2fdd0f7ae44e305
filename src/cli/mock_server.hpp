#pragma once
// `understudy mock-server`: an OpenAI-compatible server on loopback to rehearse against.

#include <string>
#include <vector>

namespace understudy {

/// Serves until SIGINT or SIGTERM. `arguments` are those after the verb. Gives the exit code.
[[nodiscard]] int run_mock_server(const std::vector<std::string>& arguments);

}  // namespace understudy
