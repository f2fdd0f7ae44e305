#pragma once
// The plain files of a study directory, each readable by its owner alone and written whole.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace understudy {

/// Renames, and syncs the directory: after a power failure too, it is the new file that is there.
/// False: errno says why.
[[nodiscard]] bool rename_for_good(const std::string& from, const std::string& to);

/// The bytes of a regular file; none where there is none, or it cannot be read.
[[nodiscard]] std::optional<std::string> file_bytes(const std::string& path);

/// Written beside, synced, then renamed over: a crash leaves the old file or the new one.
Result<void> write_whole_file(const std::string& path, std::string_view bytes);

/// Makes the directory (0700) if needed. Without `replace`, an existing study.toml is an error.
Result<void> write_study_toml(const std::string& directory, std::string_view toml, bool replace);

}  // namespace understudy
