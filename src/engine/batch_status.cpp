// What is submitted, collected and left; and what the three batch verbs share.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "engine/batch_replay.hpp"

namespace understudy {

Result<std::vector<BatchArm>> batch_arms(Study& study, bool sends) {
  if (!study.world.name_remote) {
    return unexpected(ErrorCode::kUsage, "there are no batches in this world");
  }
  if (study.config.tools.are_replayed()) {
    return unexpected(ErrorCode::kUsage,
                      "a draw of several answers (tools.max_steps) can't go through batch files: "
                      "each answer would wait for a batch of its own; use `understudy run`");
  }
  UNDERSTUDY_TRY(const std::vector<PrefixPlace> prefixes, prefix_places(study.store));
  std::vector<Arm> wanted = {Arm::kCandidate};
  if (study.config.deployed) wanted.push_back(Arm::kDeployedReplay);
  std::vector<BatchArm> arms;
  for (const Arm arm : wanted) {
    UNDERSTUDY_TRY(ArmDraws draws, ArmDraws::load(study, arm, prefixes));
    const ModelConfig& config = study.model_config(draws.role());
    UNDERSTUDY_TRY(const ModelSpec spec, parse_model_spec(config.model));
    const bool in_process = spec.kind == ModelKind::kLlama || spec.kind == ModelKind::kRecorded;
    if (in_process && (!arms.empty() || arm != wanted.back())) continue;
    UNDERSTUDY_TRY(RemoteModel model, study.world.name_remote(study.config, config, sends));
    arms.push_back({.draws = std::move(draws), .model = std::move(model)});
  }
  return arms;
}

Json batch_document(const std::vector<BatchArm>& arms, const std::vector<BatchFile>& files) {
  Json json = {{"schema", "understudy.batch/1"},
               {"understudy_version", UNDERSTUDY_VERSION},
               {"files", Json::array()},
               {"draws", Json::object()}};
  for (const BatchFile& file : files) {
    const bool current = std::any_of(arms.begin(), arms.end(), [&](const BatchArm& arm) {
      return arm.draws.is_of_this_study(file);
    });
    json["files"].push_back(
        {{"path", file.path()},
         {"arm", arm_name(file.arm)},
         {"requests", file.asked},
         {"unanswered", count_draws(file.out)},
         {"state", current ? batch_state_name(file.state) : "other_settings"},
         {"remote", file.remote.empty() ? Json() : Json(file.remote)},
         {"remote_status", file.remote_status.empty() ? Json() : Json(file.remote_status)}});
  }
  for (const BatchArm& arm : arms) {
    const ArmDraws& draws = arm.draws;
    json["draws"][std::string(arm_name(draws.arm()))] = {
        {"requested", draws.total()},
        {"completed", draws.done() - draws.failed_count()},
        {"failed", draws.failed()},
        {"out", draws.out()},
        {"open", draws.total() - draws.done() - draws.out()}};
  }
  return json;
}

std::string remote_name(const BatchFile& file) {
  return fmt::format("{}-{}-{}", file.tag, file.frame.substr(0, 8), file.name);
}

Result<void> settle_upload(BatchApi& api, BatchFile& file) {
  UNDERSTUDY_TRY(const auto batches, api.newest());
  if (!batches) {
    return unexpected(ErrorCode::kInfrastructure,
                      fmt::format("it was not heard whether {} was taken: look for a batch of {} "
                                  "requests at the provider; collect its answers as files, or give "
                                  "it up with `batch collect --rest open`",
                                  file.path(), file.asked));
  }
  const auto found = std::find_if(batches->begin(), batches->end(), [&](const RemoteBatch& batch) {
    return batch.name == remote_name(file);
  });
  file.state = found == batches->end() ? BatchState::kWritten : BatchState::kUploaded;
  if (found != batches->end()) {
    file.remote = found->id;
    file.remote_status = found->status;
  }
  return {};
}

Result<void> make_batch_folder(const std::string& folder) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(folder, error);
  if (error) {
    return unexpected(ErrorCode::kInfrastructure,
                      fmt::format("cannot make {}: {}", folder, error.message()));
  }
  if (made) ::chmod(folder.c_str(), 0700);
  return {};
}

Result<BatchReport> batch_status(Study& study) {
  UNDERSTUDY_TRY(std::vector<BatchFile> files, load_batches(study.store));
  bool asks = std::any_of(files.begin(), files.end(), [](const BatchFile& file) {
    return file.state == BatchState::kUploaded;
  });
  Result<std::vector<BatchArm>> asked = batch_arms(study, asks);
  if (!asked && asks) {
    study.world.progress.say("batch: the provider is not asked: " + asked.error().describe());
    asked = batch_arms(study, false);
    asks = false;
  }
  UNDERSTUDY_TRY(const std::vector<BatchArm> arms, std::move(asked));
  for (const BatchArm& arm : arms) {
    if (!asks) break;
    const std::unique_ptr<BatchApi> api = make_batch_api(arm.model);
    for (BatchFile& file : files) {
      if (file.state != BatchState::kUploaded || !arm.draws.is_of_this_study(file)) continue;
      UNDERSTUDY_TRY(const RemoteBatch batch, api->state(file.remote));
      file.remote_status = batch.status;
    }
  }
  return BatchReport{.document = batch_document(arms, files), .paused = {}};
}

}  // namespace understudy
