#pragma once
// A study at work: its configuration, its store, and the world it may touch (clock, environment,
// Ctrl-C, progress), which is passed in so that a simulator can stand in for it.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "engine/model_loop.hpp"
#include "engine/progress.hpp"
#include "engine/spending.hpp"
#include "engine/study_config.hpp"
#include "grading/behavior.hpp"
#include "model/model_factory.hpp"
#include "store/study_store.hpp"

namespace understudy {

/// Makes the model of a role ("candidate", "judge"); the program's own is in model_roles.hpp.
using ModelFactory = std::function<Result<std::unique_ptr<ChatModel>>(
    const StudyConfig& config, const ModelConfig& model, Clock& clock)>;

/// The model of a role as batch files need it: named, and not connected to. With `sends`, text may
/// go there.
using RemoteFactory = std::function<Result<RemoteModel>(const StudyConfig& config,
                                                        const ModelConfig& model, bool sends)>;

/// Makes the external program that grades a behavior; the program's own is in model_roles.hpp.
using CommandFactory =
    std::function<Result<std::unique_ptr<ChatModel>>(const Behavior& behavior, Clock& clock)>;

struct World {
  Clock& clock;
  const StopRequest& stop;
  Progress& progress;
  ModelFactory make_model;
  RemoteFactory name_remote = {};
  CommandFactory make_command = {};
  bool has_threads = false;  ///< a simulator has none: there the disk is waited for in line
};

/// Conversations that logs may hold and that must not count: those that a forecast rests on, when
/// it is verified. Asked after de-identification.
struct LeaveOut {
  Digest identity{};  ///< of the set
  std::function<bool(const Conversation&)> holds;
  double share_max = 1;  ///< of the eligible ones; more is an error (kInput)
};

struct RunOptions {
  std::optional<std::uint64_t> limit;  ///< replay the first so many prefixes only
  bool retry_errors = false;           ///< ask again for draws that failed
  std::optional<LeaveOut> leave_out = {};
};

struct Study {
  StudyConfig config;
  StudyStore store;
  World world;
  RunOptions options;
  std::map<std::string, std::unique_ptr<ChatModel>> models;  ///< made when first needed, by role
  std::optional<Spending> spent = {};                        ///< loaded when first needed

  [[nodiscard]] const std::string& directory() const { return store.directory(); }
  /// The model of a role: "candidate", "deployed", "judge" … The role is configured.
  [[nodiscard]] Result<ChatModel*> model(const std::string& role);
  [[nodiscard]] const ModelConfig& model_config(const std::string& role) const;
  /// What counts tokens: sample.tokenizer, else an embedded candidate, else the estimate. The name
  /// alone decides whether the frame is up to date, so that nothing needs to be loaded to know.
  [[nodiscard]] std::string tokenizer_name() const;
  [[nodiscard]] Result<const Tokenizer*> tokenizer();
  /// For the model loop; null where the world has no threads.
  [[nodiscard]] Result<std::unique_ptr<LogSync>> start_log_sync();
  /// What all models have used, and the budget.
  [[nodiscard]] Result<Spending*> spending();
};

/// What a stage did: whether it had anything to do, and what it counted.
struct StageOutcome {
  bool up_to_date = false;
  Json detail;
};

/// The stage's fingerprint from all that goes into it; equal to the stored one: nothing to do.
[[nodiscard]] Result<std::optional<Json>> stored_detail(StudyStore& store, std::string_view stage,
                                                        const Digest& fingerprint);
Result<void> store_stage(StudyStore& store, std::string_view stage, const Digest& fingerprint,
                         const Json& detail);

/// The rules' verdicts of the logged answers, where they are not up to date: needs the frame, and
/// an open transaction, and no model.
Result<void> grade_logged_answers(Study& study);

// The stages, in order (pipeline.cpp). Each reads what the one before stored.
[[nodiscard]] Result<StageOutcome> ingest_stage(Study& study);
[[nodiscard]] Result<StageOutcome> sample_stage(Study& study);
[[nodiscard]] Result<StageOutcome> replay_stage(Study& study);
[[nodiscard]] Result<StageOutcome> grade_stage(Study& study);
[[nodiscard]] Result<StageOutcome> estimate_stage(Study& study);
/// Its report as it would be now, which is not stored.
[[nodiscard]] Result<Json> estimated_report(Study& study);
[[nodiscard]] Result<StageOutcome> report_stage(Study& study);

}  // namespace understudy
