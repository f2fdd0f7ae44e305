#pragma once
// What the program tells the shell: a contract (README.md).

#include "base/result.hpp"

namespace understudy {

enum ExitCode : int {
  kExitDone = 0,
  kExitGateFailed = 1,      ///< a gate in study.toml failed
  kExitUsage = 2,           ///< usage or configuration
  kExitInput = 3,           ///< input: nothing usable
  kExitInfrastructure = 4,  ///< disk, database
  kExitPaused = 5,          ///< paused by budget or Ctrl-C, `run` resumes
  kExitPartial = 6,         ///< ran, but part of the work failed (counts say which)
  kExitMismatch = 7,        ///< a forecast or signature does not check
};

[[nodiscard]] int exit_code_of(const Error& error);
/// Prints the error as the program does, and gives its exit code.
int report_error(const Error& error);

}  // namespace understudy
