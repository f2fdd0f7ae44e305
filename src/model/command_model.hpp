#pragma once
// CommandModel: a ChatModel that is an external program. It gets the last message of each request
// as a line on stdin, many in one process, and answers with lines of JSON on stdout that name the
// same "id"; both ends of the pipe may be buffered as they like, because stdin ends. Nothing of a
// request is ever in its arguments or environment, and what it writes to stderr is thrown away.
//
// It runs in bubblewrap: no network, no processes, users or files but the system's programs and the
// files that are named, nothing writable but an empty /tmp. Where the system does not offer that,
// making the model fails and nothing runs.
//
// Failures: kConnection (it ended with an error), kTimeout (no output in time), kBodyTooLarge (more
// output than verdicts can be), kNotJson (it ended well, with output that is no JSON line of ours
// and no answer to this request), kUnexpectedBody (it left this request out). A process that fails
// takes only what it chokes on with it: the rest is halved and run again.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "model/chat_model.hpp"

namespace understudy {

struct CommandOptions {
  std::vector<std::string> argv;
  std::string folder;              ///< where `files` are
  std::vector<std::string> files;  ///< read-only to the program, in its working folder
  std::int64_t timeout_ms = 120'000;
  std::size_t requests_per_process = 256;
  std::size_t answer_bytes_max = 64U << 10U;  ///< times the requests of a process: its output
};

/// Fails with kUsage where there is no working sandbox, saying what to do. `clock` must outlive the
/// model.
[[nodiscard]] Result<std::unique_ptr<ChatModel>> make_command_model(CommandOptions options,
                                                                    const Clock& clock);

}  // namespace understudy
