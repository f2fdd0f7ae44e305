#include "ingest/log_reader.hpp"

#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "ingest/record_parser.hpp"
#include "ingest/record_splitter.hpp"

namespace understudy {
namespace {

constexpr std::array kFormats = {
    std::pair(LogFormat::kAuto, std::string_view("auto")),
    std::pair(LogFormat::kMessages, std::string_view("messages")),
    std::pair(LogFormat::kWildChat, std::string_view("wildchat")),
    std::pair(LogFormat::kShareGpt, std::string_view("sharegpt")),
    std::pair(LogFormat::kTauBench, std::string_view("tau_bench")),
    std::pair(LogFormat::kSweAgent, std::string_view("swe_agent")),
};

}  // namespace

std::string_view log_format_name(LogFormat format) {
  for (const auto& [known, name] : kFormats) {
    if (known == format) return name;
  }
  UNDERSTUDY_ASSERT(false);
}

Result<LogFormat> log_format_named(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [format, known] : kFormats) {
    if (known == name) return format;
    names.emplace_back(known);
  }
  return unexpected(ErrorCode::kUsage, fmt::format("there is no log format \"{}\"{}",
                                                   terminal_safe(name), did_you_mean(name, names)));
}

// ---- the reader ----

struct LogReader::State {
  std::string path;
  std::string name;
  RecordSplitter splitter;
  RecordParser parser;
  std::uint64_t ordinal = 0;
};

LogReader::LogReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
LogReader::LogReader(LogReader&&) noexcept = default;
LogReader& LogReader::operator=(LogReader&&) noexcept = default;
LogReader::~LogReader() = default;

Result<LogReader> LogReader::open(const LogFile& file, const LogOptions& options) {
  UNDERSTUDY_TRY(auto source, open_byte_source(file.path));
  return LogReader(std::make_unique<State>(
      State{.path = file.path,
            .name = file.name,
            .splitter = RecordSplitter(std::move(source), options.record_bytes_max),
            .parser = RecordParser(options)}));
}

Result<LogItem> LogReader::next() {
  UNDERSTUDY_TRY(const RecordSplitter::Piece piece, state_->splitter.next());
  if (piece.kind == RecordSplitter::Piece::Kind::kEnd) return LogItem(EndOfLog{});
  const RecordPosition position{
      .file = state_->path, .line = piece.line, .byte_offset = piece.byte_offset};
  ++state_->ordinal;
  if (piece.kind == RecordSplitter::Piece::Kind::kReject) {
    return LogItem(Reject{.position = position, .reason = piece.reason});
  }
  std::variant<LogRecord, RejectReason> parsed = state_->parser.parse(piece.bytes);
  if (const RejectReason* reason = std::get_if<RejectReason>(&parsed)) {
    return LogItem(Reject{.position = position, .reason = *reason});
  }
  LogRecord record = std::get<LogRecord>(std::move(parsed));
  record.position = position;
  Conversation& conversation = record.conversation;
  if (conversation.id.empty()) {
    conversation.id = fmt::format("{}:{}", state_->name, state_->ordinal);
  }
  return LogItem(std::move(record));
}

std::uint64_t LogReader::file_bytes_read() const {
  return state_->splitter.file_bytes_read();
}

// ---- logs.paths ----

namespace {

bool is_directory(const std::string& path) {
  struct ::stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool exists(const std::string& path) {
  struct ::stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

/// What the pattern matches, in byte order whatever the locale.
std::vector<std::string> matches_of(const std::string& pattern) {
  ::glob_t found{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  std::sort(paths.begin(), paths.end());
  return paths;
}

Unexpected path_error(const std::string& path, std::string message) {
  return unexpected(ErrorCode::kUsage, std::move(message),
                    {.file = path, .line = {}, .byte_offset = {}});
}

Result<std::vector<std::string>> expand(const std::string& path) {
  // A file whose own name holds a bracket or a star is taken as it is.
  if (is_directory(path)) {
    return path_error(path, fmt::format("is a directory, not a log file; try \"{}{}*.jsonl\"", path,
                                        path.ends_with('/') ? "" : "/"));
  }
  if (exists(path)) return std::vector{path};
  if (path.find_first_of("*?[") == std::string::npos) {
    return path_error(path, "there is no such log file");
  }
  std::vector<std::string> matches = matches_of(path);
  std::erase_if(matches, is_directory);
  if (matches.empty()) return path_error(path, "no log file matches");
  return matches;
}

/// The last `parts` components of a path.
std::string_view tail_of(std::string_view path, std::size_t parts) {
  std::size_t begin = path.size();
  for (; parts > 0 && begin > 0; --parts) {
    const std::size_t slash = path.rfind('/', begin - 1);
    if (slash == std::string_view::npos || slash == 0) return path;
    begin = slash;
  }
  return path.substr(begin + 1);
}

/// Lengthens the names that collide until none do.
void name_apart(std::vector<LogFile>& files) {
  for (std::size_t parts = 1;; ++parts) {
    std::map<std::string_view, std::size_t> uses;
    for (const LogFile& file : files) ++uses[tail_of(file.path, parts)];
    bool collides = false;
    for (LogFile& file : files) {
      const std::string_view tail = tail_of(file.path, parts);
      const bool whole = tail.size() == file.path.size();
      if (uses[tail] == 1 || whole) {
        if (file.name.empty()) file.name = tail;
      } else {
        collides = true;
      }
    }
    if (!collides) return;
  }
}

}  // namespace

Result<std::vector<LogFile>> expand_log_paths(const std::vector<std::string>& paths) {
  std::vector<LogFile> files;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    UNDERSTUDY_TRY(const std::vector<std::string> expanded, expand(path));
    for (const std::string& one : expanded) {
      if (seen.insert(one).second) files.push_back({.path = one, .name = {}});
    }
  }
  name_apart(files);
  return files;
}

}  // namespace understudy
