#pragma once
// Rows of the datasets that come as CSV.

#include <map>
#include <string>
#include <vector>

namespace understudy {

using CsvRow = std::map<std::string, std::string>;  ///< by the header's names

/// RFC 4180: fields may hold commas, line breaks and doubled quotation marks. Rows of another width
/// are left out; none where there is no such file.
[[nodiscard]] std::vector<CsvRow> csv_rows(const std::string& path);

}  // namespace understudy
