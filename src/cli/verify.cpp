// verify: the frozen measurement on the candidate's real traffic, scored.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>

#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/forecast_text.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/study_files.hpp"
#include "engine/verify_study.hpp"
#include "estimate/side_tables.hpp"
#include "forecast/ledger.hpp"
#include "report/html_forecast.hpp"
#include "report/view.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

struct VerifyFlags {
  StudyFlags study;
  std::string forecast, of_study, public_key, history;
  std::vector<std::string> logs;
  bool replay = false;
};

// `--study`: the logs of a study whose deployed model is the candidate of the forecast.
Result<std::vector<std::string>> absolute_logs(const VerifyFlags& flags) {
  fs::path base = fs::current_path();
  std::vector<std::string> paths = flags.logs;
  if (!flags.of_study.empty()) {
    UNDERSTUDY_TRY(const StudyConfig config, load_study_config(flags.of_study));
    base = fs::absolute(flags.of_study);
    paths = config.logs.paths;
  }
  for (std::string& path : paths) path = (base / path).lexically_normal().string();
  return paths;
}

std::string times(const Json& value) {
  return value.is_number() ? fmt::format("×{:.2f}", value.get<double>()) : "–";
}

std::string row_text(const Json& row) {
  std::string text = padded(terminal_safe(row["behavior"].get<std::string>()), 28);
  if (!row["skipped"].is_null()) return text + row["skipped"].get<std::string>() + "\n";
  const bool covered = row["covered"].get<bool>();
  text += padded(rate_cell_text(row["forecast"]), 24) + padded(rate_cell_text(row["actual"]), 22);
  text += padded(times(row["sme"]), 7) + padded(times(row["persistence_sme"]), 8);
  text += padded(covered ? "holds" : "MISSED", 8);
  return text + fmt::format("{} → {}\n", row["direction_called"].get<std::string>(),
                            row["direction_seen"].get<std::string>());
}

std::string summary_text(const Json& summary) {
  const auto percent = [](const Json& share) {
    return share.is_number() ? fmt::format("{:.0f}%", 100 * share.get<double>()) : "unknown";
  };
  std::string text = fmt::format(
      "\nerror    median {}, 9 of 10 within {}, worst {} over {} behaviors with five events\n"
      "coverage {} of {} intervals hold ({}; {} to {} by chance)\n",
      times(summary["median_sme"]), times(summary["p90_sme"]), times(summary["max_sme"]),
      summary["compared"].dump(), summary["covered"].dump(), summary["scored"].dump(),
      percent(summary["coverage"]), percent(summary["coverage_lo"]),
      percent(summary["coverage_hi"]));
  const Json& direction = summary["direction"];
  text += fmt::format("changes  {} of {} that moved 1.5× were put on the right side\n",
                      direction["right"].dump(), direction["moved"].dump());
  for (const Json& test : summary["tests"]) {
    text += fmt::format(
        "against  {}: nearer in {} of {}, mean error ×{:.2f} against ×{:.2f}, p "
        "{:.2g} (Holm)\n",
        test["baseline"].get<std::string>(), test["better"].dump(), test["rows"].dump(),
        std::exp(test["mean_log_error"].get<double>()),
        std::exp(test["baseline_mean_log_error"].get<double>()), test["p_holm"].get<double>());
  }
  return text;
}

// The common part of the error, step by step from the forecast to what happened.
std::string split_text(const Json& split) {
  std::string text;
  for (const auto& [part, name] : {std::pair("environment", "replay against production"),
                                   {"prefix_shift", "prefix shift"},
                                   {"remainder", "the rest"},
                                   {"shrinkage", "shrinkage"},
                                   {"total", "all"}}) {
    const Json& pooled = split["pooled"][part];
    if (!pooled.is_object()) continue;
    text += fmt::format("{} {}, differing by ×/÷{:.2f}\n", padded(name, 26),
                        factor_text(pooled, "mean_log"), std::exp(pooled["sd"].get<double>()));
  }
  if (!text.empty()) text = "\nwhere the error comes from (above 1: foretold too often)\n" + text;
  return text;
}

std::string verification_text(const Json& document) {
  std::string text = fmt::format(
      "per 100,000 {} · {} conversations of the new model\n\n{}{}{}{}{}{}called → seen\n",
      unit_plural(document["unit"].get<std::string>()),
      document["counts"]["conversations"]["eligible"].dump(), padded("", 28),
      padded("foretold", 24), padded("happened", 22), padded("off", 7), padded("old rate", 8),
      padded("interval", 8));
  for (const Json& row : document["rows"]) text += row_text(row);
  text += summary_text(document["summary"]) + split_text(document["error_split"]);
  if (const Json& removed = document["overlap"]["removed"]; removed.is_number() && removed != 0) {
    text += fmt::format("\n{} conversations are those of the forecast: left out\n", removed.dump());
  }
  for (const Json& note : document["notes"]) {
    text += "note: " + terminal_safe(note["text"].get<std::string>()) + "\n";
  }
  return text;
}

Result<void> add_to_ledger(const std::string& path, const Verification& verification) {
  std::vector<HistoryRow> rows;
  std::error_code error;
  if (fs::exists(path, error)) {
    UNDERSTUDY_TRY(rows, read_history(path));
  }
  rows = with_release(std::move(rows), verification.release, verification.rows);
  return write_whole_file(path, ledger_csv(rows));
}

Result<int> verify(Study& study, const ForecastFile& forecast, const VerifyFlags& flags,
                   const VerifyOptions& options) {
  UNDERSTUDY_TRY(const Verification verification, verify_study(study, forecast, options));
  const std::string json = write_json(verification.document, JsonStyle::kPretty);
  UNDERSTUDY_CHECK(write_whole_file(study.directory() + "/verification.json", json));
  if (!flags.history.empty()) UNDERSTUDY_CHECK(add_to_ledger(flags.history, verification));
  const std::string page = study.directory() + "/report.html";
  UNDERSTUDY_CHECK(write_whole_file(page, html_verification(verification.document)));
  if (flags.study.json) {
    fmt::print("{}", json);
  } else {
    fmt::print("{}\nreport  {}\n", verification_text(verification.document), page);
  }
  return failed_draws(verification.document) > 0 ? kExitPartial : kExitDone;
}

Result<ForecastFile> checked_forecast(VerifyFlags& flags, std::vector<std::string>& logs) {
  UNDERSTUDY_TRY(ForecastFile forecast, read_forecast(flags.forecast));
  if (!flags.public_key.empty()) {
    UNDERSTUDY_CHECK(check_signature(forecast, flags.public_key));
  }
  UNDERSTUDY_TRY(logs, absolute_logs(flags));
  if (flags.study.directory.empty()) flags.study.directory = flags.forecast + ".verify";
  UNDERSTUDY_CHECK(prepare_verification(forecast, flags.study.directory, logs));
  return forecast;
}

}  // namespace

int run_verify(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Holds a frozen forecast against what happened: measures the new model's real traffic with\n"
      "the graders that the forecast holds, in a study of its own that resumes, and scores the\n"
      "forecast beside the old rate and the other baselines.\n\n"
      "  understudy verify my-study/forecast.json --logs 'new-logs/*.jsonl.zst'\n"
      "  understudy verify release-7.json --study next-study --public-key public.pem --json\n",
      "verify");
  VerifyFlags flags;
  app.add_option("FORECAST", flags.forecast, "forecast.json")->required();
  auto* const logs = app.add_option("--logs", flags.logs, "Logs of the new model; globs");
  auto* const study = app.add_option("--study", flags.of_study,
                                     "A study whose logs they are: its logs.paths are taken");
  logs->excludes(study);
  app.add_option("--dir", flags.study.directory, "Instead of FORECAST.verify");
  app.add_option("--public-key", flags.public_key,
                 "Ed25519 public key in PEM: FORECAST.sig must be its signature");
  app.add_option("--history", flags.history,
                 "Add this release to a table of past ones (forecast.history of the next study)");
  app.add_flag("--replay", flags.replay,
               "The new model answers the prefixes of its own traffic too: tells prefix shift");
  app.add_option("--budget-cost", flags.study.budget_cost,
                 "budget.cost, for judges and --replay: pauses, exit code 5");
  app.add_flag("--retry-errors", flags.study.retry_errors, "Ask again for what failed");
  add_display_flags(app, flags.study);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (flags.logs.empty() && flags.of_study.empty()) {
    return report_error({ErrorCode::kUsage, "which traffic? --logs PATH or --study DIR", {}});
  }
  VerifyOptions options{.logs = {}, .replay = flags.replay};
  const auto forecast = checked_forecast(flags, options.logs);
  if (!forecast) return report_error(forecast.error());
  return with_study(flags.study, StudyStore::Mode::kCreate,
                    [&](Study& opened) { return verify(opened, *forecast, flags, options); });
}

}  // namespace understudy
