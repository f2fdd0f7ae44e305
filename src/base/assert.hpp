#pragma once
// Always-on assertion for programmer errors. Bad input never gets here: it is a Result
// (result.hpp).

namespace understudy {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}  // namespace understudy

#define UNDERSTUDY_ASSERT(condition)                                  \
  do {                                                                \
    if (!(condition)) {                                               \
      ::understudy::assertion_failed(#condition, __FILE__, __LINE__); \
    }                                                                 \
  } while (false)
