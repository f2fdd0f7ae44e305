// understudy discover DIR: what nobody named.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/discovery.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

struct DiscoverFlags {
  StudyFlags study;
  double level = 0.05;
  std::size_t draft = 0;
  std::size_t show = 0;
  std::string out;
};

Result<int> run(Study& study, const DiscoverFlags& flags) {
  UNDERSTUDY_TRY(const Discovery found, discover(study, flags.level));
  std::string text;
  if (flags.draft > 0) {
    UNDERSTUDY_TRY(text, draft_behavior(study, found, flags.draft));
  } else if (flags.show > 0) {
    UNDERSTUDY_TRY(text, transcripts_text(found, flags.show));
  } else if (flags.study.json) {
    text = write_json(to_json(found), JsonStyle::kPretty);
  } else {
    text = discovery_text(found, study.directory());
  }
  if (flags.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    UNDERSTUDY_CHECK(write_whole_file(flags.out, text));
  }
  return kExitDone;
}

}  // namespace

int run_discover(const std::vector<std::string>& arguments) {
  CLI::App app(
      "What does the candidate do that nobody named? Its stored answers are compared with the\n"
      "logged answers to the same prefixes, feature by feature: chosen on half of the users, "
      "tested\n"
      "on the other half. Asks no model.\n\n"
      "  understudy discover my-study\n"
      "  understudy discover my-study --show 1               the most typical transcripts\n"
      "  understudy discover my-study --draft 1 -o new.toml  a behavior file, to be measured\n",
      "discover");
  DiscoverFlags flags;
  app.add_option("DIR", flags.study.directory, "The study's directory")->required();
  app.add_option("--level", flags.level, "Findings have an adjusted p-value of at most this")
      ->check(CLI::Range(1e-6, 0.5))
      ->capture_default_str();
  CLI::Option* const draft =
      app.add_option("--draft", flags.draft, "The finding as a behavior file")
          ->check(CLI::PositiveNumber);
  app.add_option("--show", flags.show, "Its transcripts")
      ->check(CLI::PositiveNumber)
      ->excludes(draft);
  app.add_option("-o,--output", flags.out, "Instead of standard output");
  add_display_flags(app, flags.study);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags.study, StudyStore::Mode::kRead,
                    [&](Study& study) { return run(study, flags); });
}

}  // namespace understudy
