#pragma once
// One JSON record → a Conversation, or why not. The formats differ in where things stand, not in
// what a message is.

#include <cstddef>
#include <memory>
#include <string_view>
#include <variant>

#include "ingest/log_reader.hpp"

namespace understudy {

class RecordParser {
 public:
  explicit RecordParser(const LogOptions& options);
  RecordParser(RecordParser&&) noexcept;
  RecordParser& operator=(RecordParser&&) noexcept;
  ~RecordParser();

  /// `record` is one JSON value with RecordSplitter::kPadding readable bytes behind it. The
  /// position and the id of a record without one are the caller's to fill in.
  [[nodiscard]] std::variant<LogRecord, RejectReason> parse(std::string_view record);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace understudy
