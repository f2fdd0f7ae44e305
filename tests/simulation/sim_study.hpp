#pragma once
// What one seed makes: a small log with the oddities of real ones, a configuration, and a server.

#include <cstdint>
#include <string>

#include "engine/study_config.hpp"
#include "testing/mock_server.hpp"

namespace understudy::simulation {

struct SimStudy {
  std::string log;  ///< JSONL, with broken lines among the good ones
  StudyConfig config;
  MockServerOptions server;
  std::size_t endpoints = 1;  ///< of each model
};

/// `log_path`: where the caller will write the log.
[[nodiscard]] SimStudy make_sim_study(std::uint64_t seed, const std::string& log_path);

/// A small one in which every stage has something to do, the same each time.
[[nodiscard]] SimStudy make_sweep_study(const std::string& log_path);

}  // namespace understudy::simulation
