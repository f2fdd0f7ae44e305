#include "report/terminal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/text.hpp"
#include "report/numbers.hpp"
#include "report/view.hpp"
#include "report/words.hpp"

namespace understudy {
namespace {

// The code point at the front of valid UTF-8, and how many bytes it takes.
std::pair<char32_t, std::size_t> front_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (size == 1) return {lead, 1};
  char32_t point = lead & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) point = (point << 6) | (byte(i) & 0x3FU);
  return {point, size};
}

std::size_t columns(char32_t point) {
  struct Range {
    char32_t first, last;
  };
  constexpr std::array<Range, 6> kZero = {{{0x300, 0x36F},
                                           {0x200B, 0x200F},
                                           {0x20D0, 0x20F0},
                                           {0xFE00, 0xFE0F},
                                           {0x1AB0, 0x1AFF},
                                           {0xE0100, 0xE01EF}}};
  constexpr std::array<Range, 11> kWide = {{{0x1100, 0x115F},
                                            {0x2E80, 0x303E},
                                            {0x3041, 0xA4CF},
                                            {0xA960, 0xA97C},
                                            {0xAC00, 0xD7A3},
                                            {0xF900, 0xFAFF},
                                            {0xFE30, 0xFE6F},
                                            {0xFF00, 0xFF60},
                                            {0xFFE0, 0xFFE6},
                                            {0x1F300, 0x1FAFF},
                                            {0x20000, 0x3FFFD}}};
  const auto holds = [point](const Range& range) {
    return point >= range.first && point <= range.last;
  };
  if (std::any_of(kZero.begin(), kZero.end(), holds)) return 0;
  return std::any_of(kWide.begin(), kWide.end(), holds) ? 2 : 1;
}

// Bytes of the longest front of `word` that fits; breaks after `_`, `/` or `-` where it can.
std::size_t fitting_bytes(std::string_view word, std::size_t width) {
  std::size_t used = 0;
  std::size_t bytes = 0;
  std::size_t after_separator = 0;
  while (bytes < word.size()) {
    const auto [point, size] = front_code_point(word.substr(bytes));
    if (used + columns(point) > width && bytes > 0) break;
    used += columns(point);
    bytes += size;
    if (point == U'_' || point == U'/' || point == U'-') after_separator = bytes;
  }
  return bytes < word.size() && after_separator > 0 ? after_separator : bytes;
}

struct Row {
  Finding finding = Finding::kUndecided;
  std::string name;
  std::string now;
  std::string replayed;
  std::string next;
  std::string change;
  std::vector<std::string> notes;
};

// Text as this terminal can take it: nothing that drives it, and ASCII where it must be.
class Pen {
 public:
  explicit Pen(const TerminalOptions& options)
      : width_(std::max<std::size_t>(options.width, 60)),
        color_(options.color),
        unicode_(options.unicode) {}

  [[nodiscard]] std::size_t width() const { return width_; }
  [[nodiscard]] NumberStyle style() const { return {.unicode = unicode_}; }
  [[nodiscard]] std::string_view dot() const { return unicode_ ? " · " : " | "; }

  [[nodiscard]] std::string text(std::string_view raw) const {
    const std::string safe = terminal_safe(raw);
    if (unicode_) return safe;
    static const std::map<char32_t, std::string_view> kAscii = {
        {U'·', "|"}, {U'–', "-"}, {U'×', "x"}, {U'≤', "<="}, {U'…', "..."}, {U'’', "'"}};
    std::string out;
    for (std::size_t i = 0; i < safe.size();) {
      const auto [point, size] = front_code_point(std::string_view(safe).substr(i));
      const auto known = kAscii.find(point);
      if (point < 0x80) {
        out += safe[i];
      } else {
        out += known == kAscii.end() ? "?" : known->second;
      }
      i += size;
    }
    return out;
  }

  [[nodiscard]] std::string mark(Finding finding) const {
    if (finding == Finding::kWorse) return unicode_ ? "▲" : "^";
    if (finding == Finding::kBetter) return unicode_ ? "▼" : "v";
    return unicode_ ? "·" : ".";
  }

  [[nodiscard]] std::string painted(std::string_view raw, Finding finding) const {
    if (finding == Finding::kWorse) return painted(raw, "1;31");
    if (finding == Finding::kBetter) return painted(raw, "32");
    return finding == Finding::kUndecided ? std::string(raw) : painted(raw, "2");
  }
  [[nodiscard]] std::string painted(std::string_view raw, std::string_view code) const {
    return color_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, raw) : std::string(raw);
  }

  /// A paragraph whose lines after the first are indented.
  void paragraph(std::string& out, std::string_view raw, std::size_t first_indent,
                 std::size_t indent, std::string_view color = "") const {
    const std::string safe = text(raw);
    std::size_t margin = first_indent;
    std::string_view rest = safe;
    // The first line may be longer than the others: it is taken alone, the rest is wrapped after.
    const std::vector<std::string> lines = wrapped(rest, width_ - std::max(first_indent, indent));
    for (const std::string& line : lines) {
      out.append(margin, ' ');
      out += color.empty() ? line : painted(line, color);
      out += '\n';
      margin = indent;
    }
  }

 private:
  std::size_t width_;
  bool color_;
  bool unicode_;
};

std::string padded(std::string text, std::size_t width) {
  const std::size_t used = display_width(text);
  if (used < width) text.append(width - used, ' ');
  return text;
}

std::string deployed_line(const ReportView& view, const Pen& pen) {
  std::string out;
  const auto add = [&](const std::string& part) {
    if (!out.empty()) out += pen.dot();
    out += part;
  };
  if (view.eligible) {
    std::string part = counted(*view.eligible, "conversation");
    if (view.clusters) part += fmt::format(" of {} people", with_commas(*view.clusters));
    add(part);
  }
  const ArmView* deployed = view.arm("deployed");
  if (deployed != nullptr) add(counted(deployed->draws.completed, "logged answer"));
  if (deployed != nullptr && !deployed->draws.failed.empty()) {
    add(fmt::format("{} failed ({})", with_commas(sum(deployed->draws.failed)),
                    reasons_text(deployed->draws.failed)));
  }
  return out;
}

std::string replay_line(const ReportView& view, const ArmView& arm, const Pen& pen) {
  std::string out;
  if (view.sampled && view.frame) {
    out = fmt::format("{} of {} prefixes", with_commas(*view.sampled), with_commas(*view.frame));
    if (view.study.prefix_tokens_max) {
      out += fmt::format(" (≤ {} tokens)", with_commas(*view.study.prefix_tokens_max));
    }
    out += pen.dot();
  }
  if (!view.sampled || *view.sampled != arm.draws.requested) {
    out += counted(arm.draws.requested, "draw");
    out += pen.dot();
  }
  const std::uint64_t failed = sum(arm.draws.failed);
  out += with_commas(failed) + " failed";
  if (failed > 0) out += fmt::format(" ({})", reasons_text(arm.draws.failed));
  return out;
}

void append_header(std::string& out, const ReportView& view, const TerminalOptions& options,
                   const Pen& pen) {
  const std::string& name = view.study.name.empty() ? options.study_name : view.study.name;
  std::string title = name.empty() ? "study" : "study " + name;
  title += fmt::format("{}per 100,000 {}{}{} intervals", pen.dot(), unit_plural(view.unit),
                       pen.dot(), level_text(view.study.level));
  const std::string graders = graders_text(view.study);
  if (!graders.empty()) title.append(pen.dot()).append(graders);
  pen.paragraph(out, title, 0, 3, "1");

  struct Line {
    std::string head, body;
  };
  std::vector<Line> lines;
  for (const ArmView& arm : view.arms) {
    if (arm.name == "production") continue;
    const bool deployed = arm.name == "deployed";
    const bool candidate = arm.name == "candidate";
    std::string head = candidate ? "X  " : "Y  ";
    head += arm.model.empty() ? std::string(candidate ? "candidate" : "deployed model") : arm.model;
    if (!candidate) head += deployed ? " (logged)" : " (replayed)";
    std::string body = deployed ? deployed_line(view, pen) : replay_line(view, arm, pen);
    if (candidate && !options.run_note.empty()) body.append(pen.dot()).append(options.run_note);
    lines.push_back({pen.text(head), std::move(body)});
  }
  std::size_t head_width = 0;
  for (const Line& line : lines) head_width = std::max(head_width, display_width(line.head));
  const bool beside = head_width + 2 + 40 <= pen.width();
  for (const Line& line : lines) {
    if (beside) {
      out += padded(line.head, head_width + 2);
      pen.paragraph(out, line.body, 0, head_width + 2);
    } else {
      pen.paragraph(out, line.head, 0, 3);
      pen.paragraph(out, line.body, 3, 3);
    }
  }
  if (!view.study.traffic.empty()) pen.paragraph(out, view.study.traffic, 0, 3);
}

// A handful of answers in another language is no news in a table; report.html counts every one.
bool is_notable(const VerdictTally& tally) {
  const std::uint64_t missing = sum(tally.ungradable) + sum(tally.not_graded);
  return 50 * missing > tally.total();
}

Row row_of(const BehaviorView& behavior, const ReportView& view,
           const std::vector<std::string>& shared, const Pen& pen) {
  Row row;
  row.finding = behavior.finding;
  row.name = pen.text(behavior.name);
  row.now = pen.text(behavior.now ? rate_text(*behavior.now, pen.style()) : "unknown");
  if (behavior.now_replay) row.replayed = pen.text(rate_text(*behavior.now_replay, pen.style()));
  row.next = pen.text(behavior.next ? rate_text(*behavior.next, pen.style()) : "unknown");
  row.change = pen.text(change_text(behavior, view, pen.style()));
  const VerdictTally* tally = behavior.verdicts_of("candidate");
  if (tally != nullptr && is_notable(*tally)) {
    row.notes.push_back(pen.text(ungraded_text(*tally)));
  }
  for (const std::string& alarm : behavior.alarms) {
    if (std::find(shared.begin(), shared.end(), alarm) != shared.end()) continue;
    // The note above says the same with figures.
    if (alarm == "partial_scope") continue;
    row.notes.push_back(pen.text(fmt::format("{}: {}", reason_text(alarm), alarm_text(alarm))));
  }
  const bool relative = std::find(behavior.alarms.begin(), behavior.alarms.end(),
                                  "screen_relative") != behavior.alarms.end();
  if (relative && behavior.miss_bound_per_100k) {
    row.notes.push_back(pen.text(fmt::format("by its audit the grader misses at most {}",
                                             bound_text(*behavior.miss_bound_per_100k))));
  }
  return row;
}

struct Columns {
  std::size_t name = 0;
  std::size_t now = 0;
  std::size_t replayed = 0;  ///< 0: no such column
  std::size_t next = 0;
  std::size_t change = 0;  ///< 0: the change stands on a line of its own
};

Columns columns_for(const std::vector<Row>& rows, const Row& titles, std::size_t width) {
  Columns out;
  const auto widen = [](std::size_t& column, const std::string& text) {
    column = std::max(column, display_width(text));
  };
  std::size_t change = 0;
  std::size_t replayed = 0;
  const auto measure = [&](const Row& row) {
    widen(out.name, row.name);
    widen(out.now, row.now);
    widen(replayed, row.replayed);
    widen(out.next, row.next);
    widen(change, row.change);
  };
  bool any_replayed = false;
  for (const Row& row : rows) {
    measure(row);
    any_replayed |= !row.replayed.empty();
  }
  measure(titles);
  constexpr std::size_t kMark = 2, kGap = 2, kChangeMin = 26;
  out.name = std::min<std::size_t>(out.name, width < 100 ? 26 : 40);
  out.now = std::min<std::size_t>(out.now, 22);
  out.next = std::min<std::size_t>(out.next, 22);
  std::size_t used = kMark + out.name + kGap + out.now + kGap + out.next + kGap;
  if (any_replayed && used + replayed + kGap <= width) {
    out.replayed = replayed;
    used += replayed + kGap;
  }
  if (used + std::min(change, kChangeMin) <= width) out.change = width - used;
  // What even this does not fit is taken from the names: they can be broken.
  const std::size_t fixed = used - out.name;
  if (used > width + kGap) out.name = std::max<std::size_t>(10, width + kGap - fixed);
  return out;
}

void append_row(std::string& out, const Row& row, const Columns& columns, const Pen& pen,
                std::string_view mark, bool is_title) {
  struct Cell {
    std::vector<std::string> lines;
    std::size_t width;
  };
  std::vector<Cell> cells;
  cells.push_back({wrapped(row.name, columns.name), columns.name});
  cells.push_back({wrapped(row.now, columns.now), columns.now});
  if (columns.replayed > 0) {
    cells.push_back({wrapped(row.replayed, columns.replayed), columns.replayed});
  }
  cells.push_back({wrapped(row.next, columns.next), columns.next});
  if (columns.change > 0) cells.push_back({wrapped(row.change, columns.change), columns.change});
  std::size_t height = 1;
  for (const Cell& cell : cells) height = std::max(height, cell.lines.size());
  for (std::size_t i = 0; i < height; ++i) {
    std::string line;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::string text = i < cells[c].lines.size() ? cells[c].lines[i] : std::string();
      const std::string cell = c + 1 < cells.size() ? padded(text, cells[c].width + 2) : text;
      const bool paint = !is_title && (c == 0 || (columns.change > 0 && c + 1 == cells.size()));
      line += is_title ? pen.painted(cell, "4") : paint ? pen.painted(cell, row.finding) : cell;
    }
    const std::string front = i == 0 ? fmt::format("{} ", mark) : "  ";
    line = (is_title ? front : pen.painted(front, row.finding)) + line;
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  if (is_title) return;
  if (columns.change == 0) pen.paragraph(out, row.change, 4, 6);
  if (columns.replayed == 0 && !row.replayed.empty()) {
    pen.paragraph(out, "Y replayed " + row.replayed, 4, 6);
  }
  for (const std::string& note : row.notes) pen.paragraph(out, "! " + note, 4, 6, "33");
}

// Behaviors without a rate, by reason: thirty rows of "no judge" would bury the others.
void append_not_measured(std::string& out, const ReportView& view, const Pen& pen) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const BehaviorView& behavior : view.behaviors) {
    if (behavior.finding != Finding::kNotMeasured) continue;
    by_reason[not_measured_reason(behavior)].push_back(behavior.name);
  }
  for (const auto& [reason, names] : by_reason) {
    std::string line = fmt::format("not measured ({}): ", reason);
    for (std::size_t i = 0; i < names.size(); ++i) line.append(i > 0 ? ", " : "").append(names[i]);
    out += pen.painted("- ", Finding::kNotMeasured);
    pen.paragraph(out, line, 0, 2, "2");
  }
}

void append_footer(std::string& out, const ReportView& view, const TerminalOptions& options,
                   const Pen& pen) {
  for (const std::string& alarm : shared_alarms(view)) {
    pen.paragraph(out, "For most rows: " + alarm_text(alarm), 0, 2, "33");
  }
  for (const std::string& contradiction : count_contradictions(view)) {
    pen.paragraph(out, "! the counts do not add up: " + contradiction, 0, 2, "1;31");
  }
  const std::vector<std::string> limits = limits_in_words(view);
  constexpr std::size_t kShown = 2;
  std::string line = "What this can’t see: ";
  for (std::size_t i = 0; i < std::min(limits.size(), kShown); ++i) {
    line.append(i > 0 ? pen.dot() : "").append(limits[i]);
  }
  if (limits.size() > kShown) {
    line += fmt::format("{}{} more (report.html)", pen.dot(), limits.size() - kShown);
  }
  pen.paragraph(out, line, 0, 2);
  std::vector<std::string> steps = options.next_steps;
  if (!options.html_path.empty()) steps.insert(steps.begin(), "report  " + options.html_path);
  std::string last;
  for (const std::string& step : steps) {
    const std::string next = pen.text(step);
    if (!last.empty() && display_width(last) + 4 + display_width(next) > pen.width()) {
      out += last + "\n";
      last.clear();
    }
    last += (last.empty() ? "" : "    ") + next;
  }
  if (!last.empty()) out += last + "\n";
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const auto [point, size] = front_code_point(text);
    width += columns(point);
    text.remove_prefix(std::min(size, text.size()));
  }
  return width;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  for (std::string_view word : split(text, ' ')) {
    const std::size_t used = display_width(lines.back());
    const std::size_t space = used > 0 ? 1 : 0;
    if (used + space + display_width(word) <= width) {
      lines.back().append(space, ' ').append(word);
      continue;
    }
    if (used > 0) lines.emplace_back();
    while (display_width(word) > width) {
      const std::size_t bytes = fitting_bytes(word, width);
      lines.back() = word.substr(0, bytes);
      lines.emplace_back();
      word.remove_prefix(bytes);
    }
    lines.back() = word;
  }
  return lines;
}

Result<std::string> terminal_table(const Json& report, const TerminalOptions& options) {
  UNDERSTUDY_TRY(const ReportView view, report_view(report));
  const Pen pen(options);
  std::string out;
  append_header(out, view, options, pen);
  out += '\n';
  const std::vector<std::string> shared = shared_alarms(view);
  std::vector<Row> rows;
  bool any_forecast = false;
  for (const BehaviorView& behavior : view.behaviors) {
    any_forecast |= behavior.forecast.has_value();
    if (behavior.finding == Finding::kNotMeasured) continue;
    rows.push_back(row_of(behavior, view, shared, pen));
  }
  Row titles;
  titles.now = "Y now";
  titles.replayed = "Y replayed";
  titles.next = any_forecast ? "X forecast" : "X";
  titles.change = "change";
  if (!rows.empty()) {
    const Columns columns = columns_for(rows, titles, pen.width());
    append_row(out, titles, columns, pen, " ", true);
    for (const Row& row : rows) append_row(out, row, columns, pen, pen.mark(row.finding), false);
  }
  append_not_measured(out, view, pen);
  out += '\n';
  append_footer(out, view, options, pen);
  return out;
}

}  // namespace understudy
