#include "ingest/record_splitter.hpp"

#include <algorithm>
#include <bitset>
#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 18;
/// How far the layout and the anchor may look ahead.
constexpr std::size_t kLookAheadBytes = std::size_t{1} << 20;
/// After damage within this distance the next record is searched from the damaged one's start;
/// farther away only from the damage on, so that a hostile file can't make us read it many times.
constexpr std::size_t kSearchBackBytes = std::size_t{1} << 16;
constexpr std::size_t kOpeningBytesMax = 64;

constexpr bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Follows strings and brackets of one JSON value.
class Brackets {
 public:
  enum class Step : std::uint8_t { kInside, kClosed, kMismatch, kTooDeep, kNewlineInString };

  Step feed(char c) {
    if (in_string_) return feed_string(c);
    switch (c) {
      case '"':
        in_string_ = true;
        return Step::kInside;
      case '{':
      case '[':
        if (depth_ == RecordSplitter::kDepthMax) return Step::kTooDeep;
        is_array_[depth_++] = c == '[';
        return Step::kInside;
      case '}':
      case ']':
        if (depth_ == 0 || is_array_[depth_ - 1] != (c == ']')) return Step::kMismatch;
        return --depth_ == 0 ? Step::kClosed : Step::kInside;
      default:
        return Step::kInside;
    }
  }
  [[nodiscard]] bool in_string() const { return in_string_; }

 private:
  Step feed_string(char c) {
    if (c == '\n') return Step::kNewlineInString;  // JSON allows it only escaped
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
    return Step::kInside;
  }

  std::bitset<RecordSplitter::kDepthMax> is_array_;
  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

/// What a first line `{…` tells of the records that follow.
struct FirstLine {
  bool closed = false;    ///< its object ends on the line
  std::string_view rest;  ///< what stands behind it then
  bool cut_in_string = false;
};
FirstLine look_at_line(std::string_view line) {
  Brackets brackets;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const Brackets::Step step = brackets.feed(line[i]);
    if (step == Brackets::Step::kClosed) {
      return {.closed = true, .rest = trimmed(line.substr(i + 1)), .cut_in_string = false};
    }
    if (step != Brackets::Step::kInside) break;
  }
  return {.closed = false, .rest = {}, .cut_in_string = brackets.in_string()};
}

/// `{"id"` of `{ "id": …`; empty when no key follows the brace.
std::string opening_of(std::string_view record) {
  const std::size_t quote = record.find_first_not_of(" \t\r\n", 1);
  if (quote == std::string_view::npos || record[quote] != '"') return {};
  const std::size_t closing = record.find('"', quote + 1);
  if (closing == std::string_view::npos || closing >= kOpeningBytesMax) return {};
  return std::string(record.substr(0, closing + 1));
}

}  // namespace

RecordSplitter::RecordSplitter(std::unique_ptr<ByteSource> source, std::size_t record_bytes_max)
    : source_(std::move(source)),
      record_bytes_max_(record_bytes_max),
      capacity_(4 * kReadBytes),
      window_(std::make_unique_for_overwrite<char[]>(capacity_ + kPadding)) {}

// ---- the window ----

std::string_view RecordSplitter::view(std::uint64_t from, std::uint64_t to) const {
  UNDERSTUDY_ASSERT(base_ <= from && from <= to && to <= end());
  return std::string_view(window_.get() + (from - base_), static_cast<std::size_t>(to - from));
}

/// Reads on; false at the end of the stream. What release() gave up makes room.
Result<bool> RecordSplitter::more() {
  if (source_ended_) return false;
  if (used_ + kReadBytes > capacity_) make_room();
  UNDERSTUDY_TRY(const ByteSource::Read read,
                 source_->read(std::span(window_.get() + used_, kReadBytes)));
  used_ += read.size;
  if (read.size == 0) {
    source_ended_ = true;
    damage_ = read.damage;
  }
  return read.size > 0;
}

void RecordSplitter::make_room() {
  const auto given_up = static_cast<std::size_t>(released_to_ - base_);
  const char* kept = window_.get() + given_up;
  base_ = released_to_;
  used_ -= given_up;
  // Growing while over three quarters are in use keeps the moves linear in what is read.
  if (used_ + kReadBytes <= capacity_ / 4 * 3) {
    std::memmove(window_.get(), kept, used_);
    return;
  }
  capacity_ += capacity_ / 2;
  auto larger = std::make_unique_for_overwrite<char[]>(capacity_ + kPadding);
  std::memcpy(larger.get(), kept, used_);
  window_ = std::move(larger);
}

/// Whether the stream has a byte at `position`.
Result<bool> RecordSplitter::available(std::uint64_t position) {
  while (position >= end()) {
    UNDERSTUDY_TRY(const bool got, more());
    if (!got) return false;
  }
  return true;
}

void RecordSplitter::release(std::uint64_t position) {
  count_lines(position);
  released_to_ = std::max(released_to_, std::min(position, end()));
}

void RecordSplitter::count_lines(std::uint64_t position) {
  position = std::min(position, end());
  if (position <= lines_counted_to_) return;
  const std::string_view passed = view(lines_counted_to_, position);
  line_ += static_cast<std::uint64_t>(std::count(passed.begin(), passed.end(), '\n'));
  lines_counted_to_ = position;
}

// ---- pieces ----

RecordSplitter::Piece RecordSplitter::record(std::uint64_t start, std::uint64_t stop) {
  count_lines(start);
  ++pieces_;
  return {.kind = Piece::Kind::kRecord,
          .bytes = view(start, stop),
          .reason = {},
          .line = line_,
          .byte_offset = start};
}

RecordSplitter::Piece RecordSplitter::reject(std::uint64_t start, std::uint64_t line,
                                             RejectReason reason) {
  ++pieces_;
  if (source_ended_ && position_ >= end()) {
    // One damage, one reject: the array that is not closed and the compression that breaks off are
    // this record's reason.
    inside_array_ = false;
    if (damage_) reason = *std::exchange(damage_, std::nullopt);
  }
  return {.kind = Piece::Kind::kReject,
          .bytes = {},
          .reason = reason,
          .line = line,
          .byte_offset = start};
}

RecordSplitter::Piece RecordSplitter::end_of_file() {
  position_ = end();
  release(position_);
  std::optional<RejectReason> reason;
  if (damage_) {
    reason = damage_;
  } else if (inside_array_) {
    reason = RejectReason::kArrayNotClosed;
  } else if (pieces_ == 0 && !array_seen_) {
    reason = RejectReason::kEmptyFile;
  }
  if (reason) return reject(position_, line_, *reason);
  ended_ = true;
  return {};
}

Result<RecordSplitter::Piece> RecordSplitter::next() {
  if (ended_) return Piece{};
  release(position_);
  if (layout_ == Layout::kUnknown) UNDERSTUDY_CHECK(choose_layout());
  return layout_ == Layout::kLines ? next_line() : next_value();
}

// ---- JSON Lines or values that follow each other ----

Result<void> RecordSplitter::choose_layout() {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  UNDERSTUDY_CHECK(available(kByteOrderMark.size() - 1));
  if (view(base_, end()).starts_with(kByteOrderMark)) position_ = kByteOrderMark.size();
  line_begin_ = position_;
  UNDERSTUDY_TRY(const bool any, skip_space());
  layout_ = Layout::kLines;
  if (!any) return {};
  if (at(position_) == '[') layout_ = Layout::kValues;
  if (at(position_) != '{') return {};

  UNDERSTUDY_TRY(const std::uint64_t line_end, look_ahead_line(position_));
  const std::string_view line = view(position_, line_end);
  const FirstLine first = look_at_line(line);
  if (first.closed) {
    if (first.rest.starts_with('{')) layout_ = Layout::kValues;
  } else if (trimmed(line) == "{") {
    layout_ = Layout::kValues;
  } else if (line_end < end() && !first.cut_in_string) {
    // The object goes on below, or the first line of JSON Lines is broken: then a line follows that
    // begins like a record.
    UNDERSTUDY_TRY(const bool follows, available(line_end + 1));
    if (follows && at(line_end + 1) != '{') layout_ = Layout::kValues;
  }
  return {};
}

/// Where the line of `position` ends: its newline, else the end of what may be looked at.
Result<std::uint64_t> RecordSplitter::look_ahead_line(std::uint64_t position) {
  std::uint64_t scanned = position;
  for (;;) {
    const std::string_view unseen = view(scanned, end());
    const std::size_t newline = unseen.find('\n');
    if (newline != std::string_view::npos) return scanned + newline;
    scanned = end();
    if (scanned - position > kLookAheadBytes) return scanned;
    UNDERSTUDY_TRY(const bool got, more());
    if (!got) return scanned;
  }
}

Result<bool> RecordSplitter::skip_space() {
  for (;;) {
    while (position_ < end()) {
      const char c = at(position_);
      if (!is_space(c)) return true;
      ++position_;
      if (c != '\n') continue;
      line_begin_ = position_;
      line_is_blank_ = true;
    }
    release(position_);
    UNDERSTUDY_TRY(const bool got, more());
    if (!got) return false;
  }
}

Result<RecordSplitter::Piece> RecordSplitter::next_line() {
  UNDERSTUDY_TRY(const bool any, skip_space());
  if (!any) return end_of_file();
  const std::uint64_t start = position_;
  count_lines(start);
  const std::uint64_t start_line = line_;
  bool found = false;
  while (!found) {
    const std::size_t newline = view(position_, end()).find('\n');
    found = newline != std::string_view::npos;
    position_ = found ? position_ + newline : end();
    if (position_ - start > record_bytes_max_) release(position_);
    if (!found) {
      UNDERSTUDY_TRY(const bool got, more());
      if (!got) break;
    }
  }
  if (position_ - start > record_bytes_max_) {
    return reject(start, start_line, RejectReason::kRecordTooLarge);
  }
  // A line that damaged compression cut off is not looked at: it may only seem whole.
  if (!found && damage_) return reject(start, start_line, RejectReason::kTruncated);
  std::uint64_t stop = position_;
  while (is_space(at(stop - 1))) --stop;
  return record(start, stop);
}

Result<RecordSplitter::Piece> RecordSplitter::next_value() {
  UNDERSTUDY_TRY(const bool any, skip_between_values());
  if (!any) return end_of_file();
  const char first = at(position_);
  return first == '{' || first == '[' ? object_or_array(position_) : scalar(position_);
}

/// To the next value; false at the end. Separators are not insisted on: records are what counts.
Result<bool> RecordSplitter::skip_between_values() {
  for (;;) {
    UNDERSTUDY_TRY(const bool any, skip_space());
    if (!any) return false;
    const char c = at(position_);
    if (c == '[' && !inside_array_) {
      inside_array_ = array_seen_ = true;
    } else if (c == ']') {
      inside_array_ = false;
    } else if (c != ',') {
      return true;
    }
    line_is_blank_ = false;
    ++position_;
  }
}

Result<RecordSplitter::Piece> RecordSplitter::object_or_array(std::uint64_t start) {
  if (anchor_ == Anchor::kUnknown && at(start) == '{') UNDERSTUDY_CHECK(learn_anchor(start));
  count_lines(start);
  const std::uint64_t start_line = line_;
  Brackets brackets;
  line_is_blank_ = false;
  for (;; ++position_) {
    if (position_ == end()) {
      if (position_ - start > record_bytes_max_) release(position_);
      UNDERSTUDY_TRY(const bool got, more());
      if (!got) return reject(start, start_line, RejectReason::kTruncated);
    }
    const char c = at(position_);
    if (c == '{' && line_is_blank_ && anchor_ == Anchor::kColumn &&
        position_ - line_begin_ == anchor_column_) {
      // Another record begins where this one should have gone on.
      return reject(start, start_line, RejectReason::kTruncated);
    }
    const Brackets::Step step = brackets.feed(c);
    if (step == Brackets::Step::kClosed) break;
    if (step != Brackets::Step::kInside) {
      const std::uint64_t damage_at = position_;
      // Within the record limit, so that what is searched again is still held.
      const bool near = damage_at - start <= std::min(kSearchBackBytes, record_bytes_max_);
      UNDERSTUDY_CHECK(
          find_next_anchor(near && anchor_ != Anchor::kColumn ? start + 1 : damage_at));
      return reject(
          start, start_line,
          step == Brackets::Step::kTooDeep ? RejectReason::kTooDeep : RejectReason::kInvalidJson);
    }
    if (c == '\n') {
      line_begin_ = position_ + 1;
      line_is_blank_ = true;
    } else if (!is_space(c)) {
      line_is_blank_ = false;
    }
  }
  ++position_;
  if (position_ - start > record_bytes_max_) {
    return reject(start, start_line, RejectReason::kRecordTooLarge);
  }
  return record(start, position_);
}

/// A number, a word, rubbish: up to where the next value may begin.
Result<RecordSplitter::Piece> RecordSplitter::scalar(std::uint64_t start) {
  count_lines(start);
  const std::uint64_t start_line = line_;
  const bool is_text = at(start) == '"';
  bool escaped = false;
  for (++position_;; ++position_) {
    if (position_ - start > record_bytes_max_) release(position_);
    UNDERSTUDY_TRY(const bool any, available(position_));
    if (!any) break;
    const char c = at(position_);
    if (c == '\n') break;
    if (is_text) {
      if (c == '"' && !escaped) {
        ++position_;
        break;
      }
      escaped = c == '\\' && !escaped;
    } else if (c == ',' || c == ']' || c == '{') {
      break;
    }
  }
  if (position_ - start > record_bytes_max_) {
    return reject(start, start_line, RejectReason::kRecordTooLarge);
  }
  return record(start, position_);
}

// ---- after damage ----

Result<void> RecordSplitter::learn_anchor(std::uint64_t start) {
  UNDERSTUDY_CHECK(available(start + kOpeningBytesMax));
  opening_ = opening_of(view(start, std::min(end(), start + kOpeningBytesMax)));
  UNDERSTUDY_TRY(const std::uint64_t line_end, look_ahead_line(start));
  const std::string_view line = view(start, line_end);
  anchor_ = Anchor::kOpening;
  anchor_column_ = start - line_begin_;
  if (!line_is_blank_) return {};
  const FirstLine first = look_at_line(line);
  const bool one_a_line = first.closed && (first.rest.empty() || first.rest == ",");
  bool indented = false;
  if (!first.closed && line_end < end()) {
    UNDERSTUDY_TRY(const bool deeper, available(line_end + 1 + anchor_column_));
    if (deeper) {
      const std::string_view margin = view(line_end + 1, line_end + 2 + anchor_column_);
      indented = margin.find_first_not_of(" \t") == std::string_view::npos;
    }
  }
  if (one_a_line || indented || first.cut_in_string) anchor_ = Anchor::kColumn;
  return {};
}

/// Moves position_ to where the next record may begin at or after `from`, or to the end.
Result<void> RecordSplitter::find_next_anchor(std::uint64_t from) {
  position_ = from;
  if (anchor_ == Anchor::kColumn) {
    for (;;) {
      UNDERSTUDY_TRY(const std::uint64_t line_end, look_ahead_line(position_));
      position_ = line_end;
      release(position_);
      UNDERSTUDY_TRY(const bool any, available(position_ + anchor_column_ + 1));
      if (!any) break;
      if (at(position_) != '\n') continue;
      line_begin_ = ++position_;
      const std::string_view margin = view(position_, position_ + anchor_column_);
      if (margin.find_first_not_of(" \t") == std::string_view::npos &&
          at(position_ + anchor_column_) == '{') {
        position_ += anchor_column_;
        return {};
      }
    }
  } else if (!opening_.empty()) {
    for (;;) {
      const std::size_t found = view(position_, end()).find(opening_);
      if (found != std::string_view::npos) {
        position_ += found;
        return {};
      }
      // The opening may begin in what is held and end in what is not.
      position_ =
          std::max(position_, end() - std::min<std::uint64_t>(end() - base_, opening_.size() - 1));
      release(position_);
      UNDERSTUDY_TRY(const bool got, more());
      if (!got) break;
    }
  }
  for (bool got = true; got;) {
    position_ = end();
    release(position_);
    UNDERSTUDY_TRY(got, more());
  }
  return {};
}

}  // namespace understudy
