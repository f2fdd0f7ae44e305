#pragma once
// Where each JSON record of a file begins and ends, without parsing it: JSON Lines, one array of
// objects, objects one after another, pretty-printed or not, cut off or broken. Streaming; holds
// one record at a time.
//
// A broken record must not take the next ones with it. In JSON Lines a line is a record, whatever
// it holds. Elsewhere brackets and strings are followed, and after damage the next record is looked
// for where records of this file begin: at the column of the first one when they begin lines, else
// at the first one's opening (`{"id"`).

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "ingest/byte_source.hpp"
#include "ingest/reject.hpp"

namespace understudy {

class RecordSplitter {
 public:
  /// simdjson may read this far behind a record.
  static constexpr std::size_t kPadding = 64;
  static constexpr std::size_t kDepthMax = 1000;

  struct Piece {
    enum class Kind : std::uint8_t { kRecord, kReject, kEnd };
    Kind kind = Kind::kEnd;
    /// kRecord: one JSON value, or what stands in its place. kPadding readable bytes follow. Valid
    /// until the next call.
    std::string_view bytes;
    RejectReason reason = RejectReason::kInvalidJson;  ///< kReject only
    std::uint64_t line = 1;                            ///< from 1
    std::uint64_t byte_offset = 0;                     ///< in the decompressed stream
  };

  /// `record_bytes_max` bounds what is held: a longer record is a reject.
  RecordSplitter(std::unique_ptr<ByteSource> source, std::size_t record_bytes_max);

  /// Fails with kInfrastructure when the disk does.
  [[nodiscard]] Result<Piece> next();

  [[nodiscard]] std::uint64_t file_bytes_read() const { return source_->file_bytes_read(); }

 private:
  enum class Layout : std::uint8_t { kUnknown, kLines, kValues };
  /// How the records of this file begin, learned from its first one.
  enum class Anchor : std::uint8_t { kUnknown, kColumn, kOpening };

  // The window: bytes of the stream from base_ on. Positions are offsets in the stream throughout.
  [[nodiscard]] char at(std::uint64_t position) const {
    return window_[static_cast<std::size_t>(position - base_)];
  }
  [[nodiscard]] std::uint64_t end() const { return base_ + used_; }
  [[nodiscard]] std::string_view view(std::uint64_t from, std::uint64_t to) const;
  Result<bool> more();
  void make_room();
  Result<bool> available(std::uint64_t position);
  void release(std::uint64_t position);
  void count_lines(std::uint64_t position);

  Result<bool> skip_space();
  Result<void> choose_layout();
  Result<std::uint64_t> look_ahead_line(std::uint64_t position);
  Result<Piece> next_line();
  Result<Piece> next_value();
  Result<bool> skip_between_values();
  Result<Piece> object_or_array(std::uint64_t start);
  Result<Piece> scalar(std::uint64_t start);
  Result<void> learn_anchor(std::uint64_t start);
  Result<void> find_next_anchor(std::uint64_t from);

  Piece record(std::uint64_t start, std::uint64_t stop);
  Piece reject(std::uint64_t start, std::uint64_t line, RejectReason reason);
  Piece end_of_file();

  std::unique_ptr<ByteSource> source_;
  std::size_t record_bytes_max_;
  std::size_t capacity_;
  std::unique_ptr<char[]> window_;  // capacity_ + kPadding bytes, of which used_ hold the stream
  std::uint64_t base_ = 0;          // where the window begins
  std::uint64_t released_to_ = 0;   // what lies before is no longer needed
  std::size_t used_ = 0;
  bool source_ended_ = false;
  std::optional<RejectReason> damage_;

  std::uint64_t position_ = 0;          // the next byte to look at
  std::uint64_t lines_counted_to_ = 0;  // line_ is the line of this position
  std::uint64_t line_ = 1;
  std::uint64_t line_begin_ = 0;  // where the line of position_ begins
  bool line_is_blank_ = true;     // so far
  std::uint64_t pieces_ = 0;
  bool ended_ = false;

  Layout layout_ = Layout::kUnknown;
  bool array_seen_ = false;
  bool inside_array_ = false;
  Anchor anchor_ = Anchor::kUnknown;
  std::uint64_t anchor_column_ = 0;
  std::string opening_;
};

}  // namespace understudy
