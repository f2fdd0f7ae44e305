// tests/cases/ingest/*.case: a log file and what the reader makes of it.
// Options: format, cluster, eligible PATH = VALUE, record_bytes_max.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "case_file.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {
namespace {

using cases::CaseFile;

std::string on_one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  // A case must stay a file that one can read.
  constexpr std::size_t kBytesMax = 70;
  return out.size() <= kBytesMax ? out : fmt::format("{} bytes", text.size());
}

EligibleFilter filter_of(const std::string& text) {
  const std::size_t equals = text.find(" = ");
  const std::string value = text.substr(equals + 3);
  EligibleFilter filter{.path = text.substr(0, equals), .expected = value == "true"};
  if (value.starts_with('"')) {
    filter.expected = value.substr(1, value.size() - 2);
  } else if (value != "true" && value != "false") {
    double number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    filter.expected = number;
  }
  return filter;
}

LogOptions options_of(const CaseFile& file) {
  LogOptions options;
  for (const auto& [key, value] : file.options) {
    if (key == "format") {
      options.format = log_format_named(value).value();
    } else if (key == "cluster") {
      options.cluster_path = value;
    } else if (key == "eligible") {
      options.eligible.push_back(filter_of(value));
    } else if (key == "record_bytes_max") {
      options.record_bytes_max = static_cast<std::size_t>(std::stoull(value));
    } else {
      ADD_FAILURE() << file.path << ": no option \"" << key << "\"";
    }
  }
  return options;
}

std::string rendered(const LogRecord& record, const LogOptions& options) {
  const Conversation& conversation = record.conversation;
  std::string out =
      fmt::format("record line {} byte {}: {} id={}", record.position.line,
                  record.position.byte_offset, log_format_name(record.format), conversation.id);
  const auto field = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) out += fmt::format(" {}={}", name, value);
  };
  field("cluster", conversation.cluster);
  field("model", conversation.model);
  field("language", conversation.language);
  field("tools", conversation.tools);
  if (conversation.time_s) field("time", std::to_string(*conversation.time_s));
  if (record.failed_filter) field("failed", options.eligible[*record.failed_filter].path);
  out += '\n';
  for (const Message& message : conversation.messages) {
    out += fmt::format("  {}", role_name(message.role));
    if (!message.name.empty()) out += fmt::format(" ({})", message.name);
    if (!message.tool_call_id.empty()) out += fmt::format(" for {}", message.tool_call_id);
    out += ": " + on_one_line(message.content);
    if (!message.reasoning.empty()) out += " reasoning=" + on_one_line(message.reasoning);
    for (const ToolCall& call : message.tool_calls) {
      out += fmt::format(" call[{}] {}({})", call.id, call.name, on_one_line(call.arguments));
    }
    if (message.has_other_parts) out += " +other parts";
    out += '\n';
  }
  return out;
}

std::string read_log(const std::string& path, const LogOptions& options) {
  std::string out;
  Result<LogReader> reader = LogReader::open({.path = path, .name = "log"}, options);
  if (!reader) return "can't open: " + reader.error().message + "\n";
  for (;;) {
    const Result<LogItem> item = reader->next();
    if (!item) return out + "failed: " + item.error().message + "\n";
    if (std::holds_alternative<EndOfLog>(*item)) return out;
    if (const LogRecord* record = std::get_if<LogRecord>(&*item)) {
      out += rendered(*record, options);
    } else {
      const Reject& reject = std::get<Reject>(*item);
      out += fmt::format("reject line {} byte {}: {}\n", reject.position.line,
                         reject.position.byte_offset, reject_reason_name(reject.reason));
    }
  }
}

class IngestCase : public testing::TestWithParam<std::string> {};

TEST_P(IngestCase, GivesWhatIsExpected) {
  const CaseFile file = cases::read_case(GetParam());
  const std::string log =
      testing::TempDir() + std::filesystem::path(GetParam()).stem().string() + ".log";
  std::ofstream(log, std::ios::binary) << cases::expanded(file.sections.at("input"));
  const std::string found = read_log(log, options_of(file));
  std::filesystem::remove(log);
  if (cases::updating()) {
    cases::rewrite_expected(file, found);
  } else {
    const auto expected = file.sections.find("expect");
    ASSERT_NE(expected, file.sections.end()) << "run with UNDERSTUDY_UPDATE=1 and read the result";
    EXPECT_EQ(found, expected->second);
  }
}

std::string name_of(const testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, IngestCase, testing::ValuesIn(cases::case_paths(UNDERSTUDY_CASES)),
                         name_of);

}  // namespace
}  // namespace understudy
