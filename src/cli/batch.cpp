// batch submit | status | collect: replay through files that a provider answers hours later.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/batch_replay.hpp"

namespace understudy {
namespace {

void print_table(const Json& document) {
  for (const Json& file : document["files"]) {
    const std::string remote =
        file["remote"].is_null()
            ? ""
            : fmt::format(
                  "  {} {}", file["remote"].get<std::string>(),
                  file["remote_status"].is_null() ? "" : file["remote_status"].get<std::string>());
    fmt::print("{}  {} requests, {} without an answer, {}{}\n",
               terminal_safe(file["path"].get<std::string>()),
               with_commas(file["requests"].get<std::uint64_t>()),
               with_commas(file["unanswered"].get<std::uint64_t>()),
               file["state"].get<std::string>(), terminal_safe(remote));
  }
  for (const auto& [arm, draws] : document["draws"].items()) {
    std::uint64_t failed = 0;
    for (const auto& [reason, count] : draws["failed"].items()) {
      failed += count.get<std::uint64_t>();
    }
    fmt::print("{}: {} of {} draws completed, {} failed, {} out, {} open\n", arm,
               with_commas(draws["completed"].get<std::uint64_t>()),
               with_commas(draws["requested"].get<std::uint64_t>()), with_commas(failed),
               with_commas(draws["out"].get<std::uint64_t>()),
               with_commas(draws["open"].get<std::uint64_t>()));
  }
}

Result<int> print(const Result<BatchReport>& report, const StudyFlags& flags) {
  if (!report) return unexpected(report.error());
  if (flags.json) {
    fmt::print("{}", write_json(report->document, JsonStyle::kPretty));
  } else {
    print_table(report->document);
  }
  return report->paused ? report_error(*report->paused) : kExitDone;
}

int submit(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Writes what is still to be asked as batch files into DIR/batch, split within the limits of\n"
      "the providers (50,000 requests and 100 MB a file). The files hold conversation text: they\n"
      "are their owner's alone (0600). Nothing is sent without --upload.\n\n"
      "  understudy batch submit my-study             then hand in the files yourself\n"
      "  understudy batch submit my-study --upload    by the provider's Batch API, with its key\n"
      "  understudy batch submit my-study --limit 100\n",
      "batch submit");
  StudyFlags flags;
  BatchSubmitOptions options;
  add_study_flags(app, flags);
  app.add_option("--out", options.folder, "Folder for the files instead of DIR/batch");
  app.add_flag("--upload", options.upload,
               "Upload and start them: costs money. On a billed endpoint without budget.cost a "
               "pilot of 200 draws");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kCreate, [&](Study& study) -> Result<int> {
    UNDERSTUDY_CHECK(ingest_stage(study));
    UNDERSTUDY_CHECK(sample_stage(study));
    UNDERSTUDY_TRY(const int code, print(batch_submit(study, options), flags));
    return code;
  });
}

int status(const std::vector<std::string>& arguments) {
  CLI::App app(
      "What is submitted, collected and left; asks the provider about uploaded files.\n\n"
      "  understudy batch status my-study --json\n",
      "batch status");
  StudyFlags flags;
  add_study_flags(app, flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kRead,
                    [&](Study& study) { return print(batch_status(study), flags); });
}

int collect(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Stores the answers of batches as live replay would have stored them. Takes output and\n"
      "error files in any order, partial ones too, as often as you like; without files, fetches\n"
      "those of uploaded batches that are over. Lines that are no answer of this study go to\n"
      "DIR/batch/rejects.jsonl with file, line and byte. Then `understudy run` goes on.\n\n"
      "  understudy batch collect my-study output.jsonl errors.jsonl\n"
      "  understudy batch collect my-study               uploaded batches\n"
      "  understudy batch collect my-study --rest open   give up what has no answer\n",
      "batch collect");
  StudyFlags flags;
  std::vector<std::string> files;
  std::string rest = "wait";
  add_study_flags(app, flags);
  app.add_option("FILES", files, "Output and error files");
  app.add_option("--rest", rest,
                 "What has no answer after these files: wait for it, open (asked again), or failed "
                 "(counted as such)")
      ->check(CLI::IsMember({"wait", "open", "failed"}))
      ->capture_default_str();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const BatchRest wanted = rest == "open"     ? BatchRest::kOpen
                           : rest == "failed" ? BatchRest::kFailed
                                              : BatchRest::kWait;
  return with_study(flags, StudyStore::Mode::kWrite, [&](Study& study) {
    study.options.limit.reset();  // all draws count, whatever part of them was submitted
    return print(batch_collect(study, files, wanted), flags);
  });
}

}  // namespace

int run_batch(const std::vector<std::string>& arguments) {
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1),
                                      arguments.end());
  const std::string action = arguments.empty() ? "" : arguments[0];
  if (action == "submit") return submit(rest);
  if (action == "status") return status(rest);
  if (action == "collect") return collect(rest);
  if (action == "--help" || action == "-h") {
    fmt::print(
        "The same replay through batch files, hours or days apart, at the providers' lower price.\n"
        "\n"
        "  understudy batch submit my-study                 writes my-study/batch/*.jsonl\n"
        "  understudy batch status my-study                 what is out, and what is left\n"
        "  understudy batch collect my-study output.jsonl   takes the answers\n"
        "  understudy run my-study                          goes on: grades, estimates, reports\n"
        "\n"
        "Each has --help. docs/models.md has an example session.\n");
    return kExitDone;
  }
  const std::vector<std::string> known = {"submit", "status", "collect"};
  return report_error({ErrorCode::kUsage,
                       fmt::format("batch wants submit, status or collect{}; `understudy batch "
                                   "--help` shows how",
                                   did_you_mean(action, known)),
                       {}});
}

}  // namespace understudy
