#pragma once
// Logs in: one file of conversations, record by record, in bounded memory.
//
// The way through: byte_source (plain, gzip, zstd) → record_splitter (where each JSON record begins
// and ends, whatever is broken) → record_parser (one record → Conversation) → here.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "ingest/reject.hpp"
#include "records/conversation.hpp"

namespace understudy {

enum class LogFormat : std::uint8_t {
  kAuto,      ///< each record by what it holds
  kMessages,  ///< OpenAI chat shape: {"messages": [{"role", "content"}], "id", "metadata"}
  kWildChat,  ///< WildChat and LMSYS: {"conversation_hash", "conversation": [{"role", "content"}]}
  kShareGpt,  ///< {"id", "conversations": [{"from", "value"}]}
  kTauBench,  ///< result files of tau-bench: {"task_id", "trial", "traj": [{"role", "content"}]}
  kSweAgent,  ///< SWE-agent's .traj files: {"history": [{"role", "content", "tool_call_ids"}]}
};
/// "auto", "messages", "wildchat", "sharegpt", "tau_bench", "swe_agent".
[[nodiscard]] std::string_view log_format_name(LogFormat format);
/// Fails with kUsage, naming the nearest format.
[[nodiscard]] Result<LogFormat> log_format_named(std::string_view name);

/// One line of `[logs.eligible]`: the value at a dotted path must equal this. A missing value, or
/// one of another type, is not eligible.
struct EligibleFilter {
  std::string path;  ///< "metadata.training_consent"
  std::variant<bool, double, std::string> expected;
};

struct LogOptions {
  LogFormat format = LogFormat::kAuto;
  /// Dotted path of the cluster key in the record ("metadata.user"). Empty, or absent in a record:
  /// what the format itself gives (WildChat: hashed_ip; ShareGPT: the conversation that segments
  /// were cut from; tau-bench: the task, which every trial repeats), else the conversation's id.
  std::string cluster_path;
  std::vector<EligibleFilter> eligible;
  /// A longer record is rejected; memory use is a small multiple of this.
  std::size_t record_bytes_max = std::size_t{32} << 20;
};

/// One of the files that `logs.paths` stands for.
struct LogFile {
  std::string path;  ///< to open, and what messages and rejects name
  /// Shortest end of the path that no other file of the study shares; it names records that have
  /// no id of their own, so that moving the study does not rename them.
  std::string name;
};

/// Expands `logs.paths`: globs (`logs/*.jsonl.zst`) in byte order, then each file once, in the
/// order given. Fails with kUsage on a directory (suggesting `DIR/*.jsonl`), a path that does not
/// exist or a glob without matches.
[[nodiscard]] Result<std::vector<LogFile>> expand_log_paths(const std::vector<std::string>& paths);

struct LogRecord {
  Conversation conversation;  ///< as logged: not yet de-identified
  RecordPosition position;
  LogFormat format = LogFormat::kMessages;  ///< never kAuto
  /// Index of the first of LogOptions::eligible that the record does not meet.
  std::optional<std::size_t> failed_filter;
};

struct EndOfLog {};
using LogItem = std::variant<LogRecord, Reject, EndOfLog>;

class LogReader {
 public:
  /// Fails with kInput: no such file, no permission, a directory, or a kind of file that is not
  /// read (zip, xz, bzip2, Parquet, UTF-16), with what to do instead.
  [[nodiscard]] static Result<LogReader> open(const LogFile& file, const LogOptions& options);

  /// The next record or reject; EndOfLog at the end, and again after it. Fails with
  /// kInfrastructure when the disk does; damaged compression is a Reject.
  [[nodiscard]] Result<LogItem> next();

  /// Bytes of the file (as stored) taken so far, for progress.
  [[nodiscard]] std::uint64_t file_bytes_read() const;

  LogReader(LogReader&&) noexcept;
  LogReader& operator=(LogReader&&) noexcept;
  ~LogReader();

 private:
  struct State;
  explicit LogReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace understudy
