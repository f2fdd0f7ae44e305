// run, the single stages, and init.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "cli/estimate_table.hpp"
#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

// A stage alone: says what it counted.
int run_stage(const std::vector<std::string>& arguments, const char* name, const char* does,
              Result<StageOutcome> (*stage)(Study&)) {
  CLI::App app(fmt::format("{}\n\n  understudy {} my-study\n", does, name), name);
  StudyFlags flags;
  add_study_flags(app, flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kCreate, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const StageOutcome outcome, stage(study));
    if (outcome.up_to_date) study.world.progress.say(fmt::format("{}: up to date", name));
    if (flags.json) fmt::print("{}", write_json(outcome.detail, JsonStyle::kPretty));
    return kExitDone;
  });
}

}  // namespace

int run_study(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Runs every stage that is not up to date, in order: ingest, sample, replay, grade, "
      "estimate,\n"
      "report. Always resumes: what is stored is never asked again. Ctrl-C stops cleanly.\n\n"
      "  understudy run my-study\n"
      "  understudy run my-study --limit 100        an early look\n"
      "  understudy run my-study --json > out.json\n",
      "run");
  StudyFlags flags;
  add_study_flags(app, flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kCreate,
                    [&](Study& study) { return run_and_print(study, flags); });
}

int run_ingest(const std::vector<std::string>& arguments) {
  return run_stage(arguments, "ingest",
                   "Reads the logs: counts out what is not eligible, replaces identifying text, "
                   "keeps the rest. Broken records go to rejects.jsonl with file, line and byte.",
                   ingest_stage);
}

int run_sample(const std::vector<std::string>& arguments) {
  return run_stage(arguments, "sample",
                   "Builds the frame of eligible turns and draws prefixes from it, each with its "
                   "inclusion probability.",
                   sample_stage);
}

int run_replay(const std::vector<std::string>& arguments) {
  return run_stage(
      arguments, "replay",
      "Lets the candidate answer each prefix; with tools.max_steps above 1 in "
      "study.toml it goes on with its tools until it answers (docs/agents.md). Answers "
      "are stored as they come; what is stored is never asked again.",
      replay_stage);
}

int run_grade(const std::vector<std::string>& arguments) {
  return run_stage(arguments, "grade",
                   "Grades every answer, logged and fresh, over the same window. Never generates.",
                   grade_stage);
}

int run_estimate(const std::vector<std::string>& arguments) {
  const bool from_table = std::any_of(arguments.begin(), arguments.end(), [](const auto& argument) {
    return argument.starts_with("--table");
  });
  if (from_table) return run_estimate_table(arguments);
  return run_stage(
      arguments, "estimate",
      "Turns verdicts into rates with intervals. Without a study: `understudy estimate --table "
      "draws.csv` (see `understudy estimate --table --help`).",
      estimate_stage);
}

int run_report(const std::vector<std::string>& arguments) {
  return run_stage(arguments, "report", "Writes report.json and report.html from what is stored.",
                   report_stage);
}

int run_init(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Writes a commented study.toml.\n\n"
      "  understudy init my-study --logs 'logs/*.jsonl.zst' --model vllm/our-next-model\n",
      "init");
  StudyTemplate parts;
  std::string directory;
  app.add_option("DIR", directory, "The study's directory; made if it is not there")->required();
  app.add_option("--logs", parts.log_paths, "Log files or globs")->required();
  app.add_option("--model", parts.candidate_model, "The candidate: PROVIDER/NAME")->required();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  // The study may be run from anywhere: paths are kept from the root.
  for (std::string& path : parts.log_paths) path = std::filesystem::absolute(path).string();
  parts.comment =
      "A study: what `understudy run` does. Unknown keys are errors; commented ones show defaults.";
  if (const auto written = write_study_toml(directory, study_toml(parts), false); !written) {
    return report_error(written.error());
  }
  fmt::print("wrote {0}/study.toml; next: understudy run {0}\n", directory);
  return kExitDone;
}

}  // namespace understudy
