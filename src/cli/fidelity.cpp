// understudy fidelity DIR: is the replay real?

#include "engine/fidelity.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/study_files.hpp"
#include "report/html_page.hpp"

namespace understudy {
namespace {

// Of what this call asked for.
bool failed_partly(const Json& page, const AwarenessOptions& options) {
  for (const Json& part : page.at("parts")) {
    if (part.at("part") != "awareness") continue;
    const Json& failed = part.at("failed");
    return (options.judged > 0 && failed.at("verdicts") > 0) ||
           (!options.benchmark.empty() && failed.at("benchmark_answers") > 0);
  }
  return false;
}

}  // namespace

int run_fidelity(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Is the replay real? How far the deployed model, replayed, is from its own logged answers;\n"
      "how the requests compare with production; what no replay can see. Asks no model without\n"
      "--judge or --benchmark.\n\n"
      "  understudy fidelity my-study\n"
      "  understudy fidelity my-study --html page.html\n"
      "  understudy fidelity my-study --judge 200 --benchmark prompts.jsonl\n",
      "fidelity");
  StudyFlags flags;
  app.add_option("DIR", flags.directory, "The study's directory")->required();
  std::string page;
  app.add_option("--html", page, "Write it as a page to this file")->type_name("FILE");
  AwarenessOptions options;
  app.add_option("--judge", options.judged,
                 "Ask the judge whether so many answers of each kind treat the situation as a test")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--benchmark", options.benchmark,
                 "A benchmark's prompts, in any format of logs: the candidate answers each once")
      ->type_name("FILE");
  app.add_flag("--retry-errors", flags.retry_errors, "Ask again for what failed");
  add_display_flags(app, flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const bool asks = options.judged > 0 || !options.benchmark.empty();
  const StudyStore::Mode mode = asks ? StudyStore::Mode::kWrite : StudyStore::Mode::kRead;
  return with_study(flags, mode, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const Json found, fidelity(study, options));
    if (!page.empty()) {
      const std::string name =
          std::filesystem::weakly_canonical(study.directory()).filename().string();
      UNDERSTUDY_CHECK(write_whole_file(page, html_fidelity(found, name)));
    }
    fmt::print("{}", flags.json ? write_json(found, JsonStyle::kPretty) : fidelity_text(found));
    return failed_partly(found, options) ? kExitPartial : kExitDone;
  });
}

}  // namespace understudy
