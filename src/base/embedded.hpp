#pragma once
// Files that are part of the program: cmake/embed.cmake turns them into a table of bytes, so that
// an installed binary needs nothing beside it.

#include <string_view>

namespace understudy {

struct EmbeddedFile {
  std::string_view name;   ///< file name without its folder
  std::string_view bytes;  ///< the whole file
};

}  // namespace understudy
