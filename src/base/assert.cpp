#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace understudy {
void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "understudy: this is a bug: %s does not hold (%s:%d)\n", condition, file,
               line);
  std::abort();
}
}  // namespace understudy
