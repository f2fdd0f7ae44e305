#pragma once
// Batch files: the same requests as live replay, one JSON line each, for providers that answer a
// file hours later at a lower price. Pure: text in, text out; the files are the caller's.
//
// OpenAI's form: a request line is {"custom_id","method":"POST","url":"/v1/chat/completions",
// "body":{…}}; an answer line, in an output or an error file and in any order, {"custom_id",
// "response":{"status_code","body":{…}},"error":…}. Anthropic's: {"custom_id","params":{…}} and
// {"custom_id","result":{"type","message":{…}}}. What an answer means is decided by the same code
// as for a live one, so that both ways give the same records.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/chat_protocol.hpp"
#include "model/model_spec.hpp"

namespace understudy {

enum class BatchForm : std::uint8_t { kOpenAi, kAnthropic };
[[nodiscard]] BatchForm batch_form(const ModelSpec& spec);

/// What a provider takes in one file (OpenAI's limits are the smaller ones in use).
struct BatchLimits {
  std::size_t requests_max = 50'000;
  std::size_t bytes_max = 100'000'000;
};

/// Says which file each line belongs to: the next one when a limit would be passed.
class BatchSplitter {
 public:
  explicit BatchSplitter(const BatchLimits& limits = {}) : limits_(limits) {}
  /// 0-based; `line_bytes` includes the newline. Fails with kInput on a line that no file can hold.
  [[nodiscard]] Result<std::size_t> file_of(std::size_t line_bytes);

 private:
  BatchLimits limits_;
  std::size_t file_ = 0;
  std::size_t requests_ = 0;
  std::size_t bytes_ = 0;
};

/// One request with its newline. Fails as ChatProtocol::request_body does.
[[nodiscard]] Result<std::string> batch_line(std::string_view custom_id, const ChatRequest& request,
                                             ChatProtocol& protocol, BatchForm form);

struct BatchAnswer {
  std::string custom_id;  ///< as it stands there; empty where there is none
  DrawOutcome outcome;
  /// A failure that says nothing about the draw: the batch expired, the server was ill. Live replay
  /// would have asked again.
  bool ask_again = false;
};
/// One line of an output or error file. Fails with kInput on a line that is no JSON object, as the
/// last one of a file that is cut off; a request that went wrong is an answer with a Failure.
[[nodiscard]] Result<BatchAnswer> read_batch_line(std::string_view line, ChatProtocol& protocol);

/// Which draw a line is of. The same draw has the same id in any study of the same logs and
/// settings, so that paid answers outlive a lost database.
struct CustomId {
  std::string tag;  ///< eight hexadecimal digits: the arm and its settings
  std::uint64_t prefix_identity = 0;
  std::uint32_t draw_index = 0;
  bool operator==(const CustomId&) const = default;
};
/// "TAG-PREFIX-DRAW": at most 64 characters of those that every provider takes.
[[nodiscard]] std::string custom_id_of(const CustomId& id);
/// Fails with kInput on anything that custom_id_of does not write.
[[nodiscard]] Result<CustomId> read_custom_id(std::string_view custom_id);

}  // namespace understudy
