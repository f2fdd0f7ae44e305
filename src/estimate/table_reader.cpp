#include "estimate/table_reader.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 22;
constexpr std::size_t kRecordMax = std::size_t{32} << 20;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string list(const std::vector<std::string>& names, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + names[i];
  return text;
}

}  // namespace

struct TableReader::Source {
  std::string path;
  std::unique_ptr<std::FILE, CloseFile> file;
  std::vector<char> buffer = std::vector<char>(kBlock);
  std::size_t begin = 0, end = 0;  // what is not consumed yet
  std::uint64_t offset = 0;        // of buffer[begin] in the file
  std::uint64_t line = 0;          // lines consumed
  std::uint64_t record_offset = 0, record_line = 0;
  bool at_end = false;
  simdjson::dom::parser parser{kRecordMax};
  std::vector<std::string> numbers;  // text of numeric members, by column
};

TableReader::TableReader() = default;
TableReader::TableReader(TableReader&&) noexcept = default;
TableReader& TableReader::operator=(TableReader&&) noexcept = default;
TableReader::~TableReader() = default;

ErrorContext TableReader::where() const {
  return {source_->path, source_->record_line, source_->record_offset};
}

Unexpected TableReader::error(const std::string& message) const {
  return unexpected(ErrorCode::kInput, message, where());
}

Result<TableReader> TableReader::open(const std::string& path, std::vector<std::string> columns,
                                      std::size_t required) {
  TableReader reader;
  reader.source_ = std::make_unique<Source>();
  reader.source_->path = path;
  reader.source_->file.reset(std::fopen(path.c_str(), "rb"));
  if (!reader.source_->file) {
    return unexpected(ErrorCode::kUsage,
                      std::string("can't open this table: ") + std::strerror(errno),
                      {path, {}, {}});
  }
  reader.columns_ = std::move(columns);
  reader.cells_.resize(reader.columns_.size());
  reader.required_ = required;
  UNDERSTUDY_CHECK(reader.read_header());
  return reader;
}

Result<bool> TableReader::next_line(std::string_view& line) {
  Source& in = *source_;
  std::size_t searched = in.begin;
  while (true) {
    const char* start = in.buffer.data() + searched;
    const void* found = in.end > searched ? std::memchr(start, '\n', in.end - searched) : nullptr;
    if (found != nullptr || (in.at_end && in.end > in.begin)) {
      const std::size_t stop =
          found != nullptr
              ? static_cast<std::size_t>(static_cast<const char*>(found) - in.buffer.data())
              : in.end;
      line = std::string_view(in.buffer.data() + in.begin, stop - in.begin);
      const std::size_t consumed = stop - in.begin + (found != nullptr ? 1 : 0);
      in.begin += consumed;
      in.offset += consumed;
      ++in.line;
      return true;
    }
    if (in.at_end) return false;
    searched = in.end;
    if (in.begin > 0) {
      std::memmove(in.buffer.data(), in.buffer.data() + in.begin, in.end - in.begin);
      in.end -= in.begin;
      searched -= in.begin;
      in.begin = 0;
    }
    if (in.end == in.buffer.size()) {
      if (in.buffer.size() >= kRecordMax) {
        return unexpected(ErrorCode::kInput, "a record of more than 32 MB",
                          {in.path, in.line + 1, in.offset});
      }
      in.buffer.resize(in.buffer.size() * 2);
    }
    const std::size_t got =
        std::fread(in.buffer.data() + in.end, 1, in.buffer.size() - in.end, in.file.get());
    if (got == 0) {
      if (std::ferror(in.file.get()) != 0) {
        return unexpected(ErrorCode::kInput,
                          std::string("can't read this table: ") + std::strerror(errno),
                          {in.path, {}, {}});
      }
      in.at_end = true;
    }
    in.end += got;
  }
}

Result<void> TableReader::read_header() {
  Source& in = *source_;
  std::string_view line;
  do {
    in.record_offset = in.offset;
    in.record_line = in.line + 1;
    UNDERSTUDY_TRY(const bool more, next_line(line));
    if (!more) return error("the table is empty");
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  } while (trimmed(line).empty());
  if (trimmed(line).front() == '{') {
    json_ = true;
    // The record is read again by next(): it is still in the buffer.
    in.begin -= static_cast<std::size_t>(in.offset - in.record_offset);
    in.offset = in.record_offset;
    --in.line;
    return {};
  }
  // Positions stand for themselves while the header is split.
  const std::vector<std::string> known = columns_;
  std::vector<std::string> names;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  for (std::string_view name : split(line, ',')) {
    name = trimmed(name);
    if (name.size() >= 2 && name.front() == '"' && name.back() == '"') {
      name = name.substr(1, name.size() - 2);
    }
    names.emplace_back(name);
  }
  std::vector<bool> seen(known.size(), false);
  for (const std::string& name : names) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      if (!nearest_name(name, known).empty()) {
        return error("a column name is not known" + did_you_mean(name, known));
      }
      ignored_.push_back(terminal_safe(utf8_prefix(replace_invalid_utf8(name), 60)));
      column_at_.push_back(-1);
      continue;
    }
    const auto index = static_cast<std::size_t>(found - known.begin());
    if (seen[index]) return error("column " + *found + " comes twice");
    seen[index] = true;
    column_at_.push_back(static_cast<int>(index));
  }
  for (std::size_t i = 0; i < required_; ++i) {
    if (!seen[i]) {
      return error("the header has no column " + known[i] + "; needed are " +
                   list(known, required_));
    }
  }
  return {};
}

void TableReader::put(std::size_t position, std::string_view cell) {
  const int index = column_at_[position];
  if (index >= 0) cells_[static_cast<std::size_t>(index)] = cell;
}

Result<void> TableReader::split_csv(std::string_view line) {
  if (std::memchr(line.data(), '"', line.size()) != nullptr) return split_quoted(line);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  std::size_t position = 0;
  const char* cell = line.data();
  const char* const end = line.data() + line.size();
  while (true) {
    const char* comma = cell;
    while (comma != end && *comma != ',') ++comma;  // cells are short: faster than memchr
    if (position == column_at_.size()) return error("the record has more cells than the header");
    put(position++, std::string_view(cell, static_cast<std::size_t>(comma - cell)));
    if (comma == end) break;
    cell = comma + 1;
  }
  if (position != column_at_.size()) return error("the record has fewer cells than the header");
  return {};
}

Result<void> TableReader::split_quoted(std::string_view line) {
  // Cells are unquoted into one string; where they lie in it is fixed once it no longer grows.
  unquoted_.clear();
  std::vector<std::pair<std::size_t, std::size_t>> spans;
  std::string record(line);
  std::size_t i = 0;
  while (true) {
    const std::size_t start = unquoted_.size();
    if (i < record.size() && record[i] == '"') {
      ++i;
      while (true) {
        if (i == record.size()) {
          std::string_view more;
          if (record.size() > kRecordMax) return error("a record of more than 32 MB");
          UNDERSTUDY_TRY(const bool found, next_line(more));
          if (!found) return error("a quoted cell never ends");
          record += '\n';
          record += more;
        }
        if (record[i] != '"') {
          unquoted_ += record[i++];
        } else if (i + 1 < record.size() && record[i + 1] == '"') {
          unquoted_ += '"';
          i += 2;
        } else {
          ++i;
          break;
        }
      }
    } else {
      while (i < record.size() && record[i] != ',' && record[i] != '\r') unquoted_ += record[i++];
    }
    spans.emplace_back(start, unquoted_.size() - start);
    if (i < record.size() && record[i] == '\r') ++i;
    if (i == record.size()) break;
    if (record[i] != ',') return error("text after a quoted cell");
    ++i;
  }
  if (spans.size() != column_at_.size()) {
    return error("the record has " + std::to_string(spans.size()) + " cells, the header " +
                 std::to_string(column_at_.size()));
  }
  for (std::size_t k = 0; k < spans.size(); ++k) {
    put(k, std::string_view(unquoted_).substr(spans[k].first, spans[k].second));
  }
  return {};
}

Result<void> TableReader::split_json(std::string_view line) {
  Source& in = *source_;
  simdjson::dom::object object;
  // The parser copies the line into a padded buffer of its own; one document, nothing after it.
  if (in.parser.parse(line.data(), line.size()).get_object().get(object) != simdjson::SUCCESS) {
    return error("the record is not a JSON object, or not valid JSON");
  }
  in.numbers.resize(columns_.size());
  for (const auto& [name, value] : object) {
    const auto found = std::find(columns_.begin(), columns_.end(), name);
    if (found == columns_.end()) {
      if (!nearest_name(name, columns_).empty()) {
        return error("a member name is not known" + did_you_mean(name, columns_));
      }
      continue;
    }
    const auto index = static_cast<std::size_t>(found - columns_.begin());
    std::string_view& cell = cells_[index];
    if (!cell.empty()) return error("member " + *found + " comes twice");
    std::string& number = in.numbers[index];
    switch (value.type()) {
      case simdjson::dom::element_type::STRING:
        cell = value.get_string().value_unsafe();
        break;
      case simdjson::dom::element_type::INT64:
        cell = number = std::to_string(value.get_int64().value_unsafe());
        break;
      case simdjson::dom::element_type::UINT64:
        cell = number = std::to_string(value.get_uint64().value_unsafe());
        break;
      case simdjson::dom::element_type::DOUBLE:
        cell = number = fmt::format("{}", value.get_double().value_unsafe());
        break;
      case simdjson::dom::element_type::BOOL:
        cell = value.get_bool().value_unsafe() ? "1" : "0";
        break;
      case simdjson::dom::element_type::NULL_VALUE:
        break;
      default:
        return error("member " + *found + " is a list or an object");
    }
  }
  return {};
}

Result<bool> TableReader::next() {
  Source& in = *source_;
  std::string_view line;
  do {
    in.record_offset = in.offset;
    in.record_line = in.line + 1;
    UNDERSTUDY_TRY(const bool more, next_line(line));
    if (!more) return false;
    if (json_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  } while (line.empty() || line == "\r");
  std::fill(cells_.begin(), cells_.end(), std::string_view());
  if (json_) {
    if (trimmed(line).empty()) return next();
    UNDERSTUDY_CHECK(split_json(line));
  } else {
    UNDERSTUDY_CHECK(split_csv(line));
  }
  return true;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (status != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (status == std::errc() && stop == end) return value;
  // "3.0" and "1e3" are whole numbers as well: data frames write counts like that.
  const auto number = parse_number(text);
  if (!number || *number < 0 || *number > 9e15 || *number != std::floor(*number)) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(*number);
}

}  // namespace understudy
