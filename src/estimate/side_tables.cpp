#include "estimate/side_tables.hpp"

#include <set>
#include <utility>

#include "estimate/table_reader.hpp"

namespace understudy {
namespace {

// An optional number of a cell, within [lo, hi].
Result<std::optional<double>> optional_number(const TableReader& table, std::string_view cell,
                                              double lo, double hi, const std::string& what) {
  if (cell.empty()) return std::optional<double>();
  const auto value = parse_number(cell);
  if (!value || *value < lo || *value > hi) return table.error(what);
  return std::optional<double>(*value);
}

Result<std::optional<double>> optional_rate(const TableReader& table, std::string_view cell,
                                            const std::string& column) {
  return optional_number(table, cell, 0, 1e5, column + " is not a rate per 100,000");
}

Result<std::optional<std::uint64_t>> optional_count(const TableReader& table, std::string_view cell,
                                                    const std::string& column) {
  if (cell.empty()) return std::optional<std::uint64_t>();
  const auto value = parse_count(cell);
  if (!value) return table.error(column + " is not a whole number");
  return std::optional<std::uint64_t>(*value);
}

}  // namespace

Result<std::vector<RecallRow>> read_recall(const std::string& path) {
  UNDERSTUDY_TRY(
      TableReader table,
      TableReader::open(
          path, {"behavior", "channel", "positives", "flagged", "judge", "source_model", "version"},
          4));
  std::vector<RecallRow> rows;
  std::set<std::pair<std::string, std::string>> seen;
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) return rows;
    const Cells cells = table.cells();
    RecallRow row;
    row.behavior = cells[0];
    row.channel.channel = cells[1];
    const auto positives = parse_count(cells[2]);
    const auto flagged = parse_count(cells[3]);
    row.channel.judge = cells[4];
    row.channel.source_model = cells[5];
    row.version = cells[6];
    if (row.behavior.empty()) return table.error("behavior is empty");
    if (!positives || !flagged) return table.error("positives and flagged are whole numbers");
    if (*flagged > *positives) return table.error("more are flagged than there are positives");
    row.channel.positives = *positives;
    row.channel.flagged = *flagged;
    const std::string measured = row.channel.channel + '\0' + row.channel.judge + '\0' +
                                 row.channel.source_model + '\0' + row.version;
    if (!seen.insert({row.behavior, measured}).second) {
      return table.error("this behavior and channel come twice");
    }
    rows.push_back(std::move(row));
  }
}

Result<std::vector<PreviousRow>> read_previous(const std::string& path) {
  UNDERSTUDY_TRY(TableReader table,
                 TableReader::open(path, {"behavior", "per_100k", "lo", "hi"}, 2));
  std::vector<PreviousRow> rows;
  std::set<std::string> seen;
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) return rows;
    const Cells cells = table.cells();
    PreviousRow row;
    row.behavior = cells[0];
    if (row.behavior.empty()) return table.error("behavior is empty");
    if (!seen.insert(row.behavior).second) return table.error("this behavior comes twice");
    UNDERSTUDY_TRY(const auto rate, optional_rate(table, cells[1], "per_100k"));
    if (!rate) return table.error("per_100k is empty");
    row.rate.per_100k = *rate;
    UNDERSTUDY_TRY(row.rate.lo, optional_rate(table, cells[2], "lo"));
    UNDERSTUDY_TRY(row.rate.hi, optional_rate(table, cells[3], "hi"));
    if ((row.rate.lo && *row.rate.lo > *rate) || (row.rate.hi && *row.rate.hi < *rate)) {
      return table.error("the interval from lo to hi does not hold per_100k");
    }
    rows.push_back(std::move(row));
  }
}

Result<std::vector<HistoryRow>> read_history(const std::string& path) {
  UNDERSTUDY_TRY(
      TableReader table,
      TableReader::open(
          path,
          {"release", "behavior", "previous_per_100k", "candidate_replayed_per_100k",
           "candidate_draws", "deployed_replayed_per_100k", "deployed_draws", "actual_per_100k"},
          2));
  std::vector<HistoryRow> rows;
  std::set<std::pair<std::string, std::string>> seen;
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) return rows;
    const Cells cells = table.cells();
    HistoryRow row;
    row.release = cells[0];
    row.behavior = cells[1];
    if (row.release.empty() || row.behavior.empty()) {
      return table.error("release and behavior must be named");
    }
    if (!seen.insert({row.release, row.behavior}).second) {
      return table.error("this release and behavior come twice");
    }
    UNDERSTUDY_TRY(row.previous_per_100k, optional_rate(table, cells[2], "previous_per_100k"));
    UNDERSTUDY_TRY(row.candidate_replayed_per_100k,
                   optional_rate(table, cells[3], "candidate_replayed_per_100k"));
    UNDERSTUDY_TRY(row.candidate_draws, optional_count(table, cells[4], "candidate_draws"));
    UNDERSTUDY_TRY(row.deployed_replayed_per_100k,
                   optional_rate(table, cells[5], "deployed_replayed_per_100k"));
    UNDERSTUDY_TRY(row.deployed_draws, optional_count(table, cells[6], "deployed_draws"));
    UNDERSTUDY_TRY(row.actual_per_100k, optional_rate(table, cells[7], "actual_per_100k"));
    rows.push_back(std::move(row));
  }
}

}  // namespace understudy
