// forecast: freezes, hashes, signs.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/file.hpp"
#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/forecast_study.hpp"
#include "engine/study_files.hpp"
#include "forecast/frozen.hpp"
#include "forecast/ledger.hpp"
#include "forecast/signature.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

struct ForecastFlags {
  StudyFlags study;
  std::string out, key;
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

Result<int> freeze_and_sign(Study& study, const ForecastFlags& flags) {
  // Before anything is written: a wrong key must not leave an unsigned forecast behind.
  std::string key;
  if (!flags.key.empty()) {
    UNDERSTUDY_TRY(key, read_key(flags.key));
    UNDERSTUDY_CHECK(sign_ed25519(key, ""));
  }
  const std::string path = flags.out.empty() ? study.directory() + "/forecast.json" : flags.out;
  UNDERSTUDY_TRY(const std::string bytes, forecast_study(study));
  std::error_code error;
  fs::remove(path + ".sig", error);
  UNDERSTUDY_CHECK(write_whole_file(path, bytes));
  const fs::path home = fs::absolute(study.directory()).lexically_normal();
  if (fs::absolute(path).parent_path().lexically_normal() != (home / "").parent_path()) {
    UNDERSTUDY_CHECK(write_whole_file(path + ".study", home.string() + "\n"));
  }
  if (!key.empty()) {
    UNDERSTUDY_TRY(const std::string signature, sign_ed25519(key, bytes));
    UNDERSTUDY_CHECK(write_whole_file(path + ".sig", signature));
  }
  UNDERSTUDY_TRY(const std::string history, history_check(study));
  if (flags.study.json) {
    fmt::print("{}\n", bytes);
    return kExitDone;
  }
  UNDERSTUDY_TRY(const Json document, thaw(bytes));
  fmt::print(
      "{}wrote {}{}\ncommitment {}\npublish the commitment before the release; after it:\n"
      "  understudy verify {} --logs LOGS_OF_THE_NEW_MODEL\n",
      history, path, key.empty() ? "" : fmt::format(" and {}.sig", path),
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
  add_display_flags(app, flags.study);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags.study, StudyStore::Mode::kWrite,
                    [&](Study& study) { return freeze_and_sign(study, flags); });
}

}  // namespace understudy
