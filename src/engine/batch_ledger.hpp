#pragma once
// What the study knows of its batch files: which draws each one asks for, and where it went. A draw
// that is out in a file is not asked by any other way until its answer is collected or given up.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "records/draw.hpp"
#include "store/study_store.hpp"

namespace understudy {

/// Numbers of draws as runs [first, first + count): ascending, apart.
using DrawRuns = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
void append_draw(DrawRuns& runs, std::uint64_t number);
[[nodiscard]] std::uint64_t count_draws(const DrawRuns& runs);

enum class BatchState : std::uint8_t {
  kWritten,    ///< a file on this machine; what becomes of it is the user's business
  kUploading,  ///< the provider may have it: its answer was not heard
  kUploaded,   ///< the provider has it
  kClosed,     ///< no more answers will come
};
[[nodiscard]] std::string_view batch_state_name(BatchState state);

struct BatchFile {
  std::string name;    ///< "batch-0001-candidate.jsonl"
  std::string folder;  ///< where it was written
  Arm arm = Arm::kCandidate;
  std::string tag;          ///< of its custom ids: the arm's settings when it was written
  std::string frame;        ///< hash of the frame that its numbers count in
  std::uint32_t draws = 1;  ///< per prefix; draw n is draw n % draws of prefix n / draws + 1
  std::uint64_t asked = 0;  ///< requests in it
  DrawRuns out;             ///< those without an answer yet
  BatchState state = BatchState::kWritten;
  std::string remote;         ///< the provider's id of the batch
  std::string remote_status;  ///< the provider's word, when last asked

  [[nodiscard]] std::string path() const { return folder + "/" + name; }
};

[[nodiscard]] Result<std::vector<BatchFile>> load_batches(StudyStore& store);
Result<void> save_batches(StudyStore& store, const std::vector<BatchFile>& files);

}  // namespace understudy
