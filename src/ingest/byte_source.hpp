#pragma once
// The bytes of a log file, decompressed on the way. What compression there is, the first bytes say,
// not the name.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "ingest/reject.hpp"

namespace understudy {

class ByteSource {
 public:
  struct Read {
    std::size_t size = 0;  ///< bytes written; 0 only at the end
    /// Set at the end of a file whose compression is damaged: what was given before is good.
    std::optional<RejectReason> damage;
  };

  virtual ~ByteSource() = default;
  /// Fails with kInfrastructure when the disk does. After the end it stays at the end.
  [[nodiscard]] virtual Result<Read> read(std::span<char> out) = 0;
  /// Bytes of the stored file taken so far.
  [[nodiscard]] virtual std::uint64_t file_bytes_read() const = 0;
};

/// Fails with kInput: no such file, no permission, a directory, or a kind of file that is not read,
/// with what to do instead. Reads forward only, so that pipes work.
[[nodiscard]] Result<std::unique_ptr<ByteSource>> open_byte_source(const std::string& path);

}  // namespace understudy
