#include "engine/study.hpp"

#include "sampling/frame.hpp"

namespace understudy {
namespace {

const EstimatedTokenizer kEstimatedTokenizer;

bool is_embedded(const std::string& model) {
  return model.starts_with("llama/");
}

}  // namespace

const ModelConfig& Study::model_config(const std::string& role) const {
  if (role == "candidate") return config.candidate;
  if (role == "deployed") {
    UNDERSTUDY_ASSERT(config.deployed.has_value());
    return *config.deployed;
  }
  const auto found = config.roles.find(role);
  UNDERSTUDY_ASSERT(found != config.roles.end());
  return found->second;
}

Result<ChatModel*> Study::model(const std::string& role) {
  auto& made = models[role];
  if (made == nullptr) {
    ModelConfig of_role = model_config(role);
    of_role.role = role;
    UNDERSTUDY_TRY(made, world.make_model(config, of_role, world.clock));
  }
  return made.get();
}

std::string Study::tokenizer_name() const {
  if (!config.sample.tokenizer.empty()) return config.sample.tokenizer;
  return is_embedded(config.candidate.model) ? config.candidate.model
                                             : kEstimatedTokenizer.identity();
}

Result<const Tokenizer*> Study::tokenizer() {
  const std::string name = tokenizer_name();
  if (!is_embedded(name)) return &kEstimatedTokenizer;
  if (name == config.candidate.model) {
    UNDERSTUDY_TRY(const ChatModel* const candidate, model("candidate"));
    return candidate->tokenizer();
  }
  auto& made = models["tokenizer"];
  if (made == nullptr) {
    const ModelConfig only_counts{.model = name, .base_url = {}, .sampling = {}};
    UNDERSTUDY_TRY(made, world.make_model(config, only_counts, world.clock));
  }
  return made->tokenizer();
}

Result<std::unique_ptr<LogSync>> Study::start_log_sync() {
  if (!world.has_threads) return std::unique_ptr<LogSync>();
  return store.start_log_sync();
}

Result<Spending*> Study::spending() {
  if (!spent) {
    UNDERSTUDY_TRY(spent, Spending::load(store, config, world.clock));
  }
  return &*spent;
}

Result<std::optional<Json>> stored_detail(StudyStore& store, std::string_view stage,
                                          const Digest& fingerprint) {
  UNDERSTUDY_TRY(const auto record, store.stage(stage));
  if (!record || record->fingerprint != fingerprint) return std::optional<Json>();
  UNDERSTUDY_TRY(Json detail, parse_json(record->detail));
  return std::optional<Json>(std::move(detail));
}

Result<void> store_stage(StudyStore& store, std::string_view stage, const Digest& fingerprint,
                         const Json& detail) {
  return store.set_stage(
      stage, {.fingerprint = fingerprint, .detail = write_json(detail, JsonStyle::kCanonical)});
}

}  // namespace understudy
