#pragma once
// Reads tables of named columns, CSV (RFC 4180) or JSON Lines, one record at a time in constant
// memory: 26 million rows pass through it. Errors carry file, line and byte offset, and never the
// content of a cell.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace understudy {

/// One cell or none: empty text, JSON null and a missing member are all empty.
using Cells = std::span<const std::string_view>;

class TableReader {
 public:
  /// Opens the file and finds the columns. `columns` are the known names; the first `required` of
  /// them must be there. A name that nearly is a known one is an error; other names are ignored and
  /// listed by ignored(). In JSON Lines every record names its own members, so `required` is for
  /// the caller to check.
  [[nodiscard]] static Result<TableReader> open(const std::string& path,
                                                std::vector<std::string> columns,
                                                std::size_t required);
  TableReader(TableReader&&) noexcept;
  TableReader& operator=(TableReader&&) noexcept;
  ~TableReader();

  /// Moves to the next record; false at the end.
  [[nodiscard]] Result<bool> next();
  /// The record's cells in the order of `columns`, valid until the next call of next().
  [[nodiscard]] Cells cells() const { return cells_; }
  /// Where the record begins.
  [[nodiscard]] ErrorContext where() const;
  /// An error about this record.
  [[nodiscard]] Unexpected error(const std::string& message) const;
  [[nodiscard]] const std::vector<std::string>& ignored() const { return ignored_; }

 private:
  TableReader();
  struct Source;
  Result<void> read_header();
  /// The next line without its end; more lines where quotes span them.
  Result<bool> next_line(std::string_view& line);
  Result<void> split_csv(std::string_view line);
  Result<void> split_quoted(std::string_view line);
  Result<void> split_json(std::string_view line);
  void put(std::size_t position, std::string_view cell);

  std::unique_ptr<Source> source_;
  std::vector<std::string> columns_;
  std::vector<int> column_at_;  ///< CSV position → index in columns_, or −1
  std::vector<std::string_view> cells_;
  std::vector<std::string> ignored_;
  std::string unquoted_;
  std::size_t required_ = 0;
  bool json_ = false;
};

/// A number as JSON and CSV write it; empty if the text is anything else or not finite.
[[nodiscard]] std::optional<double> parse_number(std::string_view text);
/// A whole number >= 0.
[[nodiscard]] std::optional<std::uint64_t> parse_count(std::string_view text);

}  // namespace understudy
