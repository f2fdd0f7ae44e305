#pragma once
// The table that `run` ends with. First what matters (sure changes, worst first), then what is
// undecided with what would decide it, then what was not seen with the floor.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "report/json_fwd.hpp"

namespace understudy {

struct TerminalOptions {
  std::size_t width = 100;  ///< columns; below 60 is taken as 60
  bool color = true;        ///< ANSI colors
  bool unicode = true;      ///< otherwise ASCII only
  std::string study_name;   ///< where the report has none
  std::string run_note;     ///< shown with the candidate: "4 min 51 s · no cost"; may be empty
  std::string html_path;    ///< where the full report lies; may be empty
  std::vector<std::string> next_steps;  ///< last line: commands that lead on
};

/// Every line ends with a newline and is at most `width` columns wide. Text from the report is made
/// safe for a terminal. kMismatch where `report` is not an understudy.report/1.
[[nodiscard]] Result<std::string> terminal_table(const Json& report,
                                                 const TerminalOptions& options);

/// Columns that a terminal gives the text: 2 for East Asian wide and emoji, 0 for combining marks.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// Breaks at spaces, and after `_`, `/` or `-` where a word alone is too wide; no line is wider
/// than `width` (>= 2) and nothing is lost but the spaces at the breaks.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t width);

}  // namespace understudy
