#include "engine/model_roles.hpp"

#include <filesystem>
#include <unordered_map>

#include "engine/arm_draws.hpp"
#include "engine/judge_grading.hpp"
#include "model/command_model.hpp"
#include "model/model_factory.hpp"

namespace understudy {
namespace {

// The recorded answers of one role: of an arm by prefix identity, which the same prefix has in any
// study of these logs; of a judge by the question.
class RecordedStudy {
 public:
  [[nodiscard]] static Result<std::shared_ptr<RecordedStudy>> open(const std::string& directory,
                                                                   const std::string& role) {
    UNDERSTUDY_TRY(const StudyConfig config, load_study_config(directory));
    UNDERSTUDY_TRY(StudyStore store, StudyStore::open(directory, StudyStore::Mode::kRead));
    auto recorded = std::make_shared<RecordedStudy>(std::move(store));
    if (role == "judge" || role == "oracle" || role == "auditor" || role == "moderation") {
      UNDERSTUDY_CHECK(recorded->load_questions());
      return recorded;
    }
    // Replaying a study that never asked the deployed model: the candidate's answers are meant.
    const bool of_deployed = role == "deployed" && config.deployed;
    recorded->arm_ = of_deployed ? Arm::kDeployedReplay : Arm::kCandidate;
    UNDERSTUDY_TRY(const std::vector<PrefixPlace> places, prefix_places(recorded->store_));
    UNDERSTUDY_TRY(const std::vector<std::uint64_t> identities,
                   prefix_identities(recorded->store_, config.logs.source, places));
    for (std::size_t i = 0; i < identities.size(); ++i) {
      recorded->prefixes_.emplace(identities[i], static_cast<std::int64_t>(i) + 1);
    }
    return recorded;
  }
  explicit RecordedStudy(StudyStore store) : store_(std::move(store)) {}

  std::optional<DrawOutcome> find(std::uint64_t identity, std::uint32_t draw, std::uint32_t step) {
    if (const auto asked = questions_.find(identity); asked != questions_.end()) {
      auto answer = store_.judge_answer(asked->second.grader, asked->second.key);
      return answer ? std::move(*answer) : std::nullopt;
    }
    const auto prefix = prefixes_.find(identity);
    if (prefix == prefixes_.end() || draw >= kDrawsPerPrefixMax) return std::nullopt;
    auto stored = store_.draw({.arm = arm_, .prefix = prefix->second, .index = draw});
    if (!stored || !*stored) return std::nullopt;
    return answer_of(std::move(**stored), step);
  }

  static std::optional<DrawOutcome> answer_of(StoredDraw draw, std::uint32_t step) {
    const std::size_t before = draw.trajectory ? draw.trajectory->steps.size() : 0;
    if (step < before) return DrawOutcome(std::move(draw.trajectory->steps[step].answer));
    if (step == before) return std::move(draw.outcome);
    if (draw.trajectory && draw.trajectory->end == Termination::kContextOverflow) {
      return DrawOutcome(Failure{FailureReason::kContextOverflow, "recorded"});
    }
    return std::nullopt;
  }

 private:
  struct Question {
    std::int64_t grader = 0;
    DrawKey key;
  };
  // Where a study was judged twice, the last judge answers.
  Result<void> load_questions() {
    return store_.for_each_judged([&](std::string_view behavior, GradingLayer layer,
                                      std::int64_t grader, const DrawKey& key) -> Result<void> {
      questions_[question_identity(behavior, layer, pack_draw_key(key))] = {.grader = grader,
                                                                            .key = key};
      return {};
    });
  }

  StudyStore store_;
  Arm arm_ = Arm::kCandidate;
  std::unordered_map<std::uint64_t, std::int64_t> prefixes_;
  std::unordered_map<std::uint64_t, Question> questions_;
};

constexpr std::size_t kContextTokensDefault = 4096;
constexpr std::size_t kAnswerTokensDefault = 1024;

std::size_t context_tokens(const StudyConfig& config, const ModelConfig& model) {
  if (!config.sample.prefix_tokens_max) return kContextTokensDefault;
  return *config.sample.prefix_tokens_max +
         model.sampling.max_tokens.value_or(kAnswerTokensDefault) + 16;
}

ModelOptions model_options(const Environment& environment, const StudyConfig& config,
                           const ModelConfig& model) {
  ModelOptions options;
  if (!model.base_url.empty()) options.base_urls = {model.base_url};
  options.environment = environment;
  options.egress_allow = config.egress_allow;
  return options;
}

}  // namespace

RemoteFactory remote_factory(Environment environment) {
  return [environment = std::move(environment)](const StudyConfig& config, const ModelConfig& model,
                                                bool sends) {
    return remote_model(model.model, model_options(environment, config, model), sends);
  };
}

CommandFactory command_factory() {
  return [](const Behavior& behavior, Clock& clock) {
    return make_command_model(
        {.argv = behavior.command->argv,
         .folder = behavior_folder(behavior),
         .files = behavior.command->files,
         .timeout_ms = static_cast<std::int64_t>(behavior.command->timeout_s * 1000)},
        clock);
  };
}

ModelFactory model_factory(Environment environment, std::string cache_dir) {
  return [environment = std::move(environment), cache_dir = std::move(cache_dir)](
             const StudyConfig& config, const ModelConfig& model,
             Clock& clock) -> Result<std::unique_ptr<ChatModel>> {
    ModelOptions options = model_options(environment, config, model);
    options.connections_max = config.replay.max_connections;
    options.deadline_ms = std::int64_t{config.replay.deadline_s} * 1000;
    options.attempt_timeout_ms = options.deadline_ms;
    options.cache_dir = cache_dir;
    if (model.role == "moderation") options.use = ModelUse::kModeration;
    if (model.role == "embedder") options.use = ModelUse::kEmbedding;
    options.context_tokens = context_tokens(config, model);
    options.cache_bytes_max = std::size_t{config.replay.embedded_memory_mb} << 20U;
    constexpr std::string_view kRecorded = "recorded/";
    if (model.model.starts_with(kRecorded)) {
      const std::string path = model.model.substr(kRecorded.size());
      std::error_code ignored;
      if (std::filesystem::is_directory(path, ignored)) {
        UNDERSTUDY_TRY(const auto recorded, RecordedStudy::open(path, model.role));
        options.recorded = [recorded](std::uint64_t identity, std::uint32_t draw,
                                      std::uint32_t step) {
          return recorded->find(identity, draw, step);
        };
      }
    }
    return make_model(model.model, options, clock);
  };
}

}  // namespace understudy
