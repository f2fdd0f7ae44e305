#include "cli/exit_code.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "base/text.hpp"

namespace understudy {

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
      return kExitUsage;
    case ErrorCode::kInput:
      return kExitInput;
    case ErrorCode::kInfrastructure:
      return kExitInfrastructure;
    case ErrorCode::kPaused:
      return kExitPaused;
    case ErrorCode::kMismatch:
      return kExitMismatch;
  }
  return kExitInfrastructure;
}

int report_error(const Error& error) {
  fmt::print(stderr, "understudy: {}\n", terminal_safe(error.describe()));
  return exit_code_of(error);
}

}  // namespace understudy
