// backtest: forecast on one part of a study's own logs, "deploy" on the other, score, repeat.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/backtest_study.hpp"

namespace understudy {

int run_backtest(const std::vector<std::string>& arguments) {
  CLI::App app(
      "What forecasts from these logs would have been worth: forecasts on one part, scores on the\n"
      "other, over many cuts; in time where the logs have times, in halves elsewhere. Coverage of\n"
      "95% intervals and errors where five events were expected, beside the old rate.\n\n"
      "  understudy backtest my-study --logged     the logged answers alone: asks no model\n"
      "  understudy backtest my-study              the candidate's replay too (resumes)\n",
      "backtest");
  StudyFlags flags;
  BacktestOptions options;
  add_study_flags(app, flags);
  app.add_option("--cuts", options.cuts, "How often it is cut")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_flag("--logged", options.logged_only, "The logged answers alone: no model is asked");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kCreate, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(Json document, backtest_study(study, options));
    if (!flags.json) {
      fmt::print("{}", backtest_text(document));
      return kExitDone;
    }
    for (const char* part : {"logged", "replayed"}) {
      if (document[part].is_object()) document[part].erase("text");
    }
    fmt::print("{}", write_json(document, JsonStyle::kPretty));
    return kExitDone;
  });
}

}  // namespace understudy
