#include "base/result.hpp"

#include <fmt/format.h>

namespace understudy {
std::string Error::describe() const {
  std::string text;
  if (!where.file.empty()) {
    text = where.file;
    if (where.line) text += fmt::format(":{}", *where.line);
    text += ": ";
  }
  text += message;
  if (where.byte_offset) text += fmt::format(" (byte {})", *where.byte_offset);
  return text;
}
}  // namespace understudy
