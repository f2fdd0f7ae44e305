#include "engine/model_roles.hpp"

#include <filesystem>
#include <unordered_map>

#include "model/model_factory.hpp"

namespace understudy {
namespace {

// A recorded study answers by prefix identity: the same prefix has it in any study of these logs.
class RecordedStudy {
 public:
  [[nodiscard]] static Result<std::shared_ptr<RecordedStudy>> open(const std::string& directory) {
    UNDERSTUDY_TRY(const StudyConfig config, load_study_config(directory));
    UNDERSTUDY_TRY(StudyStore store, StudyStore::open(directory, StudyStore::Mode::kRead));
    auto recorded = std::make_shared<RecordedStudy>(std::move(store));
    StudyStore& reading = recorded->store_;
    std::optional<StoredConversation> conversation;
    UNDERSTUDY_CHECK(reading.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
      if (!conversation || conversation->id != prefix.conversation) {
        UNDERSTUDY_TRY(conversation, reading.conversation(prefix.conversation));
      }
      recorded->prefixes_.emplace(
          prefix_identity(config.logs.source, conversation->conversation.id, prefix.cut),
          prefix.id);
      return {};
    }));
    return recorded;
  }
  explicit RecordedStudy(StudyStore store) : store_(std::move(store)) {}

  std::optional<DrawOutcome> find(std::uint64_t identity, std::uint32_t draw) {
    const auto prefix = prefixes_.find(identity);
    if (prefix == prefixes_.end() || draw >= kDrawsPerPrefixMax) return std::nullopt;
    auto stored = store_.draw({.arm = Arm::kCandidate, .prefix = prefix->second, .index = draw});
    if (!stored || !*stored) return std::nullopt;
    return std::move((*stored)->outcome);
  }

 private:
  StudyStore store_;
  std::unordered_map<std::uint64_t, std::int64_t> prefixes_;
};

constexpr std::size_t kContextTokensDefault = 4096;
constexpr std::size_t kAnswerTokensDefault = 1024;

std::size_t context_tokens(const StudyConfig& config, const ModelConfig& model) {
  if (!config.sample.prefix_tokens_max) return kContextTokensDefault;
  return *config.sample.prefix_tokens_max +
         model.sampling.max_tokens.value_or(kAnswerTokensDefault) + 16;
}

}  // namespace

ModelFactory model_factory(Environment environment, std::string cache_dir) {
  return [environment = std::move(environment), cache_dir = std::move(cache_dir)](
             const StudyConfig& config, const ModelConfig& model,
             Clock& clock) -> Result<std::unique_ptr<ChatModel>> {
    ModelOptions options;
    if (!model.base_url.empty()) options.base_urls = {model.base_url};
    options.environment = environment;
    options.egress_allow = config.egress_allow;
    options.connections_max = config.replay.max_connections;
    options.deadline_ms = std::int64_t{config.replay.deadline_s} * 1000;
    options.attempt_timeout_ms = options.deadline_ms;
    options.cache_dir = cache_dir;
    options.context_tokens = context_tokens(config, model);
    options.cache_bytes_max = std::size_t{config.replay.embedded_memory_mb} << 20U;
    constexpr std::string_view kRecorded = "recorded/";
    if (model.model.starts_with(kRecorded)) {
      const std::string path = model.model.substr(kRecorded.size());
      std::error_code ignored;
      if (std::filesystem::is_directory(path, ignored)) {
        UNDERSTUDY_TRY(const auto recorded, RecordedStudy::open(path));
        options.recorded = [recorded](std::uint64_t identity, std::uint32_t draw) {
          return recorded->find(identity, draw);
        };
      }
    }
    return make_model(model.model, options, clock);
  };
}

}  // namespace understudy
