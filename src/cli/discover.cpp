// understudy discover DIR: what nobody named.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/discovery.hpp"
#include "engine/stress.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

struct DiscoverFlags {
  StudyFlags study;
  double level = 0.05;
  std::size_t draft = 0;
  std::size_t show = 0;
  std::optional<std::uint64_t> audit;
  bool embed = false;
  std::string out;
  bool stress = false;
  StressOptions of_stress;
};

Result<int> run(Study& study, const DiscoverFlags& flags) {
  UNDERSTUDY_TRY(
      const Discovery found,
      discover(study, {.level = flags.level, .audit = flags.audit, .embed = flags.embed}));
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
  const auto failed = [](const auto& counts) { return !counts.not_graded.empty(); };
  const auto any_failed = [&](const AuditReadings& read) {
    return failed(read.candidate) || failed(read.logged) ||
           std::any_of(read.recall.begin(), read.recall.end(), failed);
  };
  const bool partly = flags.audit && any_failed(found.audit->readings);
  const bool lacks = flags.embed && found.clusters && !found.clusters->counts.failed.empty();
  return partly || lacks ? kExitPartial : kExitDone;
}

Result<int> run_stress(Study& study, const DiscoverFlags& flags) {
  UNDERSTUDY_TRY(const Json found, stress(study, flags.of_stress));
  const std::string text =
      flags.study.json ? write_json(found, JsonStyle::kPretty) : stress_text(found);
  if (flags.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    UNDERSTUDY_CHECK(write_whole_file(flags.out, text));
  }
  return flags.of_stress.redraw > 0 && redraws_failed(found) ? kExitPartial : kExitDone;
}

void add_stress_flags(CLI::App& app, DiscoverFlags& flags) {
  CLI::Option* const stress = app.add_flag(
      "--stress", flags.stress,
      "Which kinds of prefixes carry each graded behavior, and the prefixes with most of it");
  app.get_option("--audit")->excludes(stress);
  app.get_option("--embed")->excludes(stress);
  StressOptions& options = flags.of_stress;
  app.add_option("--behavior", options.behaviors, "With --stress: this one; may be repeated")
      ->needs(stress);
  app.add_option("--worst", options.worst, "With --stress: prefixes of each behavior")
      ->check(CLI::Range(1, 1000))
      ->needs(stress)
      ->capture_default_str();
  app.add_option("--redraw", options.redraw,
                 "With --stress: so many further answers to each of those, in no estimate")
      ->check(CLI::Range(1, 10'000))
      ->needs(stress);
  app.add_option("--deployment", options.deployment,
                 "With --stress: what so many turns to come would hold")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000'000}))
      ->needs(stress);
}

}  // namespace

int run_discover(const std::vector<std::string>& arguments) {
  CLI::App app(
      "What does the candidate do that nobody named? Its stored answers are compared with the\n"
      "logged answers to the same prefixes, feature by feature: chosen on half of the users, "
      "tested\n"
      "on the other half. With --audit a model in the role `auditor` reads answers and notes what "
      "is\n"
      "unwanted and not among the study's behaviors; without it no model is asked, and what was "
      "noted\n"
      "before is shown. With --embed a model in the role `embedder` gives vectors of the answers; "
      "groups\n"
      "of them are features too.\n\n"
      "  understudy discover my-study\n"
      "  understudy discover my-study --audit 500            500 answers and the logged ones\n"
      "  understudy discover my-study --embed                answers grouped by meaning, too\n"
      "  understudy discover my-study --show 1               the most typical transcripts\n"
      "  understudy discover my-study --draft 1 -o new.toml  a behavior file, to be measured\n\n"
      "With --stress: where what the study grades is, and how much of it to expect. Asks the\n"
      "candidate (and judges) only for --redraw.\n\n"
      "  understudy discover my-study --stress --deployment 10000000\n"
      "  understudy discover my-study --stress --behavior refusal --redraw 20\n",
      "discover");
  DiscoverFlags flags;
  app.add_option("DIR", flags.study.directory, "The study's directory")->required();
  app.add_option("--level", flags.level, "Findings have an adjusted p-value of at most this")
      ->check(CLI::Range(1e-6, 0.5))
      ->capture_default_str();
  app.add_option("--audit", flags.audit, "Answers of the candidate that the auditor is to read")
      ->check(CLI::PositiveNumber);
  app.add_flag("--embed", flags.embed,
               "Ask the embedder for vectors of the answers that have none yet");
  app.add_flag("--retry-errors", flags.study.retry_errors, "Ask again for what failed");
  CLI::Option* const draft =
      app.add_option("--draft", flags.draft, "The finding as a behavior file")
          ->check(CLI::PositiveNumber);
  app.add_option("--show", flags.show, "Its transcripts")
      ->check(CLI::PositiveNumber)
      ->excludes(draft);
  app.add_option("-o,--output", flags.out, "Instead of standard output");
  add_stress_flags(app, flags);
  add_display_flags(app, flags.study);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  flags.of_stress.level = flags.level;
  const bool asks = flags.audit || flags.embed || flags.of_stress.redraw > 0;
  return with_study(
      flags.study, asks ? StudyStore::Mode::kWrite : StudyStore::Mode::kRead,
      [&](Study& study) { return flags.stress ? run_stress(study, flags) : run(study, flags); });
}

}  // namespace understudy
