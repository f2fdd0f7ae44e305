#pragma once
// A record that could not be taken: where it stands and why, never what it says.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace understudy {

/// Where a record begins. In a compressed file, line and byte count in the decompressed stream
/// (`zcat FILE | tail -c +N` finds it), since that is what a person can look at.
struct RecordPosition {
  std::string file;
  std::uint64_t line = 1;         ///< from 1
  std::uint64_t byte_offset = 0;  ///< from 0
  bool operator==(const RecordPosition&) const = default;
};

/// The names are part of `report.json` (`rejected{reason}`) and `rejects.jsonl`.
enum class RejectReason : std::uint8_t {
  kUnreadable,           ///< the file can't be opened: permissions, a directory, not there
  kEmptyFile,            ///< nothing but white space in the file
  kInvalidJson,          ///< not JSON
  kTruncated,            ///< JSON that stops before it is closed
  kNulByte,              ///< holds a NUL byte (an escaped one, \u0000, is text)
  kInvalidUtf8,          ///< bytes that are not UTF-8
  kLoneSurrogate,        ///< \ud800…\udfff without its other half
  kRecordTooLarge,       ///< over LogOptions::record_bytes_max, or over 2,000,000 JSON values
  kTooDeep,              ///< nested deeper than 1,000 levels
  kNumberOutOfRange,     ///< a number that neither 64 bits nor a double can hold
  kNotAnObject,          ///< JSON, but not an object
  kNoMessages,           ///< an object of no known format, or not of the one asked for
  kWrongType,            ///< a member that we need has another type than its format says
  kUnknownRole,          ///< a message whose role we do not know
  kArrayNotClosed,       ///< the file's array ends without `]`, after a whole record
  kCompressedTruncated,  ///< the compressed file stops early
  kCompressedCorrupt,    ///< the compressed data does not check
  kCompressedWindow,     ///< zstd with a window over 128 MiB: compress again without --long
};
inline constexpr std::size_t kRejectReasonCount = 18;
/// "truncated", "lone_surrogate", …
[[nodiscard]] std::string_view reject_reason_name(RejectReason reason);

struct Reject {
  RecordPosition position;
  RejectReason reason = RejectReason::kInvalidJson;
  bool operator==(const Reject&) const = default;
};

/// A line of `rejects.jsonl`, with its newline: {"byte_offset","file","line","reason"}.
[[nodiscard]] std::string reject_line(const Reject& reject);

}  // namespace understudy
