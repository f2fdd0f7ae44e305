#include "ingest/reject.hpp"

#include "base/assert.hpp"
#include "base/json.hpp"

namespace understudy {

std::string_view reject_reason_name(RejectReason reason) {
  switch (reason) {
    case RejectReason::kUnreadable:
      return "unreadable";
    case RejectReason::kEmptyFile:
      return "empty_file";
    case RejectReason::kInvalidJson:
      return "invalid_json";
    case RejectReason::kTruncated:
      return "truncated";
    case RejectReason::kNulByte:
      return "nul_byte";
    case RejectReason::kInvalidUtf8:
      return "invalid_utf8";
    case RejectReason::kLoneSurrogate:
      return "lone_surrogate";
    case RejectReason::kRecordTooLarge:
      return "record_too_large";
    case RejectReason::kTooDeep:
      return "too_deep";
    case RejectReason::kNumberOutOfRange:
      return "number_out_of_range";
    case RejectReason::kNotAnObject:
      return "not_an_object";
    case RejectReason::kNoMessages:
      return "no_messages";
    case RejectReason::kWrongType:
      return "wrong_type";
    case RejectReason::kUnknownRole:
      return "unknown_role";
    case RejectReason::kArrayNotClosed:
      return "array_not_closed";
    case RejectReason::kCompressedTruncated:
      return "compressed_truncated";
    case RejectReason::kCompressedCorrupt:
      return "compressed_corrupt";
    case RejectReason::kCompressedWindow:
      return "compressed_window";
  }
  UNDERSTUDY_ASSERT(false);
}

std::string reject_line(const Reject& reject) {
  const Json line = {{"file", reject.position.file},
                     {"line", reject.position.line},
                     {"byte_offset", reject.position.byte_offset},
                     {"reason", reject_reason_name(reject.reason)}};
  return write_json(line, JsonStyle::kCanonical) + "\n";
}

}  // namespace understudy
