// forecast: freezes, hashes, signs.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/file.hpp"
#include "cli/exit_code.hpp"
#include "cli/forecast_text.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/forecast_study.hpp"
#include "engine/study_files.hpp"
#include "forecast/frozen.hpp"
#include "forecast/ledger.hpp"
#include "forecast/signature.hpp"
#include "report/html_forecast.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

struct ForecastFlags {
  StudyFlags study;
  std::string out, key;
  bool log_examples = false;
};

Result<std::string> read_key(const std::string& path) {
  auto text = file_bytes(path);
  if (!text) {
    return unexpected(ErrorCode::kUsage, "cannot read this key",
                      {.file = path, .line = {}, .byte_offset = {}});
  }
  return *std::move(text);
}

// The old model's history tells how far such forecasts are to be trusted.
Result<std::string> history_check(const Study& study) {
  UNDERSTUDY_TRY(const std::vector<HistoryRow> history, study_history(study));
  if (history.empty()) return std::string();
  const auto check = leave_one_release_out(history);
  if (!check) {
    return std::string(
        "history: too few past releases to leave one out; its prior is used as it is\n");
  }
  return fmt::format(
      "history: {} releases, each forecast from the others alone: median error ×{:.2f} (old rate "
      "×{:.2f}), {:.0f}% of {} intervals hold, beats the old rate in {} of {}\n",
      check->releases, check->median_error, check->persistence_median_error, 100 * check->coverage,
      check->rows, check->beats_persistence, check->releases);
}

// "release-7.json" → "release-7.html"
std::string page_path(const std::string& path) {
  return (path.ends_with(".json") ? path.substr(0, path.size() - 5) : path) + ".html";
}

// What was frozen before and is another forecast stays, under its commitment: somebody may have
// published it. Says where.
Result<std::string> keep_earlier(const std::string& path, const std::string& bytes) {
  const auto earlier = file_bytes(path);
  if (!earlier || *earlier == bytes) return std::string();
  const auto document = thaw(*earlier);
  if (!document) return std::string();  // no forecast, or none that could be verified
  const auto name = (*document)["commitment"].get<std::string>().substr(0, 12);
  const std::string kept = fmt::format("{}-{}.json", path.substr(0, path.rfind(".json")), name);
  for (const char* part : {"", ".sig", ".study"}) {
    std::error_code error;
    if (!fs::exists(path + part, error)) continue;
    fs::rename(path + part, kept + part, error);
    if (error) {
      return unexpected(ErrorCode::kInfrastructure,
                        fmt::format("cannot move {}{} out of the way", path, part));
    }
  }
  return fmt::format("kept the earlier forecast as {}\n", kept);
}

Result<int> freeze_and_sign(Study& study, const ForecastFlags& flags) {
  // Before anything is written: a wrong key must not leave an unsigned forecast behind.
  std::string key;
  if (!flags.key.empty()) {
    UNDERSTUDY_TRY(key, read_key(flags.key));
    UNDERSTUDY_CHECK(sign_ed25519(key, ""));
  }
  const std::string path = flags.out.empty() ? study.directory() + "/forecast.json" : flags.out;
  UNDERSTUDY_TRY(const std::string bytes, forecast_study(study, flags.log_examples));
  UNDERSTUDY_TRY(const Json document, thaw(bytes));
  UNDERSTUDY_TRY(const std::string kept, keep_earlier(path, bytes));
  std::error_code error;
  if (file_bytes(path) != bytes) fs::remove(path + ".sig", error);
  UNDERSTUDY_CHECK(write_whole_file(path, bytes));
  const fs::path home = fs::absolute(study.directory()).lexically_normal();
  if (fs::absolute(path).parent_path().lexically_normal() != (home / "").parent_path()) {
    UNDERSTUDY_CHECK(write_whole_file(path + ".study", home.string() + "\n"));
  }
  const std::string page = page_path(path);
  UNDERSTUDY_CHECK(write_whole_file(page, html_forecast(document)));
  if (!key.empty()) {
    UNDERSTUDY_TRY(const std::string signature, sign_ed25519(key, bytes));
    UNDERSTUDY_CHECK(write_whole_file(path + ".sig", signature));
  }
  UNDERSTUDY_TRY(const std::string history, history_check(study));
  if (flags.study.json) {
    fmt::print("{}\n", bytes);
    return kExitDone;
  }
  fmt::print(
      "{}{}{}wrote {} and {}{}\ncommitment {}\npublish the commitment before the release; after "
      "it:\n"
      "  understudy verify {} --logs LOGS_OF_THE_NEW_MODEL\n",
      forecast_text(document), history, kept, path, page,
      key.empty() ? "" : fmt::format(" and {}.sig", path),
      document["commitment"].get<std::string>(), path);
  return kExitDone;
}

}  // namespace

int run_forecast(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Freezes the forecast of a study with everything that made it (graders, prompts, design,\n"
      "baselines), hashes every part and signs it. What is written down before the release can be\n"
      "held against it after: `understudy verify`.\n\n"
      "  understudy forecast my-study\n"
      "  openssl genpkey -algorithm ed25519 -out key.pem\n"
      "  understudy forecast my-study -o release-7.json --key key.pem\n",
      "forecast");
  ForecastFlags flags;
  app.add_option("DIR", flags.study.directory, "The study's directory")->required();
  app.add_option("-o,--output", flags.out, "Instead of DIR/forecast.json");
  app.add_option("--key", flags.key, "Ed25519 private key in PEM: writes FILE.sig");
  app.add_flag("--log-examples", flags.log_examples,
               "Behavior files may hold conversations of the logs (drafts of `discover` do)");
  add_display_flags(app, flags.study);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags.study, StudyStore::Mode::kWrite,
                    [&](Study& study) { return freeze_and_sign(study, flags); });
}

}  // namespace understudy
