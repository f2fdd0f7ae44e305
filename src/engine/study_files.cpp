#include "engine/study_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace understudy {

bool rename_for_good(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return false;
  const std::string directory = std::filesystem::path(to).parent_path().string();
  const int descriptor =
      ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return false;
  // Some file systems know no such thing, and say so.
  const bool synced = ::fsync(descriptor) == 0 || errno == EINVAL;
  ::close(descriptor);
  return synced;
}

std::optional<std::string> file_bytes(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  if (!in || (in.peek() != std::ifstream::traits_type::eof() && !(bytes << in.rdbuf()))) {
    return std::nullopt;
  }
  return std::move(bytes).str();
}

Result<void> write_whole_file(const std::string& path, std::string_view bytes) {
  const auto failed = [&] {
    return unexpected(ErrorCode::kInfrastructure,
                      fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  };
  const std::string part = path + ".part";
  const int descriptor = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return failed();
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t size = ::write(descriptor, bytes.data() + done, bytes.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      auto error = failed();
      ::close(descriptor);
      return error;
    }
    done += static_cast<std::size_t>(size);
  }
  const bool synced = ::fsync(descriptor) == 0;
  if (::close(descriptor) != 0 || !synced || !rename_for_good(part, path)) {
    return failed();
  }
  return {};
}

Result<void> write_study_toml(const std::string& directory, std::string_view toml, bool replace) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(directory, error);
  if (error) {
    return unexpected(ErrorCode::kInfrastructure,
                      fmt::format("cannot make {}: {}", directory, error.message()));
  }
  if (made) ::chmod(directory.c_str(), 0700);
  const std::string path = directory + "/study.toml";
  if (!replace && std::filesystem::exists(path, error)) {
    return unexpected(
        ErrorCode::kUsage,
        fmt::format("{} is there already: edit it, or choose another directory", path));
  }
  return write_whole_file(path, toml);
}

}  // namespace understudy
