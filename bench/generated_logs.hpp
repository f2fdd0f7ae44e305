#pragma once
// Logs of any size that look like the packaged conversations: the number of messages, their roles
// and their lengths are those of a real conversation drawn at random, the words follow a chain of
// order two over real text. Such text compresses about like real text, and no two conversations are
// copies. The same seed gives the same bytes.

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"

namespace understudy {

struct GeneratedLogOptions {
  std::string corpus;  ///< path of the log to learn from
  std::uint64_t conversations = 0;
  std::uint64_t shortened = 1;  ///< divides the lengths of messages
  std::uint64_t seed = 1;
};

/// Writes a .jsonl.zst of records {"id", "metadata": {"user"}, "messages"}, a record at a time. A
/// user has three conversations on average. Gives the bytes of text in it.
[[nodiscard]] Result<std::uint64_t> write_generated_log(const GeneratedLogOptions& options,
                                                        const std::string& path);

}  // namespace understudy
