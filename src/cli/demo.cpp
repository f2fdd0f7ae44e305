// demo: the main job on packaged real conversations (or your file) and the packaged model.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/study_files.hpp"
#include "model/llama_model.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConversations = "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json";
constexpr std::string_view kModel = "smollm2-135m";

struct DemoFlags {
  std::string logs;
  std::optional<std::uint64_t> prefixes;
};

StudyTemplate demo_template(const DemoFlags& flags, const std::string& logs) {
  StudyTemplate parts;
  parts.comment =
      "The demo: ChatGPT conversations that users shared (scraped, no licence given, consent "
      "unknown:\nkept on this machine, never passed on), answered again by a small model.";
  if (!flags.logs.empty()) parts.comment = "The demo, on your own log file.";
  parts.log_paths = {logs};
  parts.candidate_model = fmt::format("llama/{}", kModel);
  parts.logs_extra = "duplicates = \"content\"\n";
  if (flags.logs.empty()) parts.logs_extra += "model = \"ChatGPT\"\n";
  parts.sample_extra = fmt::format(
      "prefixes = {}\nprefix_tokens_max = 512       # longer conversations are counted out\n",
      flags.prefixes.value_or(150));
  parts.candidate_extra =
      "temperature = 0.2             # as the model's card advises\n"
      "top_p = 0.9\n"
      "max_tokens = 192              # both models are graded on their first 192 tokens\n";
  return parts;
}

Result<void> prepare(const std::string& directory, const DemoFlags& flags) {
  std::error_code ignored;
  if (fs::exists(directory + "/study.toml", ignored) && !flags.prefixes && flags.logs.empty()) {
    return {};
  }
  UNDERSTUDY_CHECK(llama_weights_path(kModel, cache_directory()));
  std::string logs = flags.logs;
  if (logs.empty()) {
    logs = cache_directory() + std::string(kConversations);
    if (!fs::exists(logs, ignored)) {
      return unexpected(ErrorCode::kUsage,
                        "the packaged conversations are not on this machine: `script/setup "
                        "--demo-data` fetches them and says first where they come from; or use "
                        "your own: `understudy demo --logs FILE`");
    }
  }
  return write_study_toml(directory, study_toml(demo_template(flags, fs::absolute(logs).string())),
                          true);
}

}  // namespace

int run_demo(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Replays real conversations with a real model and prints how often the candidate does each\n"
      "unwanted thing, beside how often the deployed model did. No key, no network.\n\n"
      "  understudy demo\n"
      "  understudy demo --prefixes 2000            a fuller run: keeps what is done\n"
      "  understudy demo mine --logs chats.jsonl    your own conversations\n",
      "demo");
  StudyFlags study_flags;
  study_flags.directory = "demo";
  DemoFlags flags;
  app.add_option("DIR", study_flags.directory, "The study's directory")->capture_default_str();
  app.add_option("--logs", flags.logs, "Your own log file instead of the packaged conversations");
  app.add_option("--prefixes", flags.prefixes, "How many prefixes to replay (150)")
      ->check(CLI::Range(1, 100'000'000));
  add_display_flags(app, study_flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (const auto ready = prepare(study_flags.directory, flags); !ready) {
    return report_error(ready.error());
  }
  return with_study(study_flags, StudyStore::Mode::kCreate,
                    [&](Study& study) { return run_and_print(study, study_flags); });
}

}  // namespace understudy
