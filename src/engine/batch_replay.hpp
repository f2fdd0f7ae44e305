#pragma once
// Replay through batch files: the same requests as live replay, written to files that a provider
// answers hours later; their answers become the same records. The program need not run meanwhile.
// With files alone nothing is sent anywhere; with `upload`, by the provider's own interface.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "engine/arm_draws.hpp"
#include "model/batch_api.hpp"

namespace understudy {

/// Draws that `run` and `batch submit --upload` ask at most on an endpoint that costs money, until
/// there is a budget.
inline constexpr std::uint64_t kPilotDraws = 200;

/// What a batch verb tells: the state of all files and draws, and what it did itself.
struct BatchReport {
  Json document;                ///< understudy.batch/1
  std::optional<Error> paused;  ///< kPaused: a budget holds the rest back
};

struct BatchSubmitOptions {
  std::string folder;   ///< where the files go; empty: batch/ in the study directory
  bool upload = false;  ///< and send them, with those that were written before
};
/// Writes the requests of all open draws. Fails with kUsage where no arm has a model behind HTTP.
[[nodiscard]] Result<BatchReport> batch_submit(Study& study, const BatchSubmitOptions& options);

/// Changes nothing; asks the provider how far uploaded files are.
[[nodiscard]] Result<BatchReport> batch_status(Study& study);

/// What becomes of requests that have no usable answer after the files are read.
enum class BatchRest : std::uint8_t {
  kWait,    ///< still waited for; what the server was too ill to answer is asked again
  kOpen,    ///< no more answers will come: asked again, live or by another batch
  kFailed,  ///< no more answers will come: stored as failed
};
/// Reads output and error files, in any order and as often as one likes; without files, fetches
/// those of uploaded batches that are over. What cannot be used goes to batch/rejects.jsonl with
/// file, line and byte. Fails with kInput when there were lines and none was of use.
[[nodiscard]] Result<BatchReport> batch_collect(Study& study, const std::vector<std::string>& files,
                                                BatchRest rest);

// Shared by the three ----------------------------------------------------------------------------

/// An arm whose model has batches.
struct BatchArm {
  ArmDraws draws;
  RemoteModel model;
};
/// The candidate and, where there is one, the deployed model; those that answer in this process are
/// left out. Fails with kUsage where none is left.
[[nodiscard]] Result<std::vector<BatchArm>> batch_arms(Study& study, bool sends);
[[nodiscard]] Json batch_document(const std::vector<BatchArm>& arms,
                                  const std::vector<BatchFile>& files);
/// A name that finds a batch again at the provider.
[[nodiscard]] std::string remote_name(const BatchFile& file);
/// Looks for a file whose upload was not heard of; it is kWritten or kUploaded afterwards. Fails
/// with kInfrastructure where the provider can't tell.
Result<void> settle_upload(BatchApi& api, BatchFile& file);
/// Makes the folder, its owner's alone.
Result<void> make_batch_folder(const std::string& folder);

}  // namespace understudy
