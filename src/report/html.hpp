#pragma once
// The report as one HTML file: no script, nothing from elsewhere, to be read on any screen, in
// light or dark, and on paper. A strict content security policy stands in the file itself.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "report/json_fwd.hpp"

namespace understudy {

/// Bytes [begin, end) of a message's text; ends that lie beyond it or inside a code point are
/// moved.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Text as it was logged or generated; the report escapes it.
struct ExampleMessage {
  std::string role;  ///< "user", "assistant", "system", "tool"
  std::string text;
  std::vector<TextRange> evidence;  ///< shown marked; in any order, may overlap
};

/// One graded answer with the end of the conversation before it.
struct ExampleTranscript {
  std::string id;                 ///< an id that `understudy view` finds
  std::string arm;                ///< as in the report: "candidate", "deployed", …
  std::string verdict;            ///< "present", "absent" or the reason
  bool prefix_shortened = false;  ///< there is more conversation before prefix_tail
  std::vector<ExampleMessage> prefix_tail;
  ExampleMessage answer;
};

struct HtmlOptions {
  std::string study_name;                                          ///< where the report has none
  std::map<std::string, std::vector<ExampleTranscript>> examples;  ///< by behavior name
  std::vector<std::string> notes;  ///< extra lines under "Methods": plain text
};

/// The same bytes for the same input: no clock, no locale. kMismatch where `report` is not an
/// understudy.report/1.
[[nodiscard]] Result<std::string> html_report(const Json& report, const HtmlOptions& options);

}  // namespace understudy
