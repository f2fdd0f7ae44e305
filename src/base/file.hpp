#pragma once
// A whole file, or nothing: the standard's stream buffers throw where reading fails after opening.

#include <optional>
#include <string>

namespace understudy {

/// Nothing where the file cannot be opened or not be read to its end: a directory, a file of
/// `/proc` whose process has ended.
[[nodiscard]] std::optional<std::string> file_bytes(const std::string& path);

}  // namespace understudy
