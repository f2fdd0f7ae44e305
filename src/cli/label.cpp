// understudy label DIR [import FILE|export|queue]: human labels in, out, and what to label next.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/labeling.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

constexpr std::size_t kBadRowsShown = 20;

struct LabelFlags {
  StudyFlags study;
  std::string file, out;
  LabelDefaults defaults;
  QueueRequest queue;
};

Result<void> put(const std::string& text, const std::string& path) {
  if (!path.empty()) return write_whole_file(path, text);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return {};
}

Result<int> import_file(Study& study, const LabelFlags& flags) {
  UNDERSTUDY_TRY(const LabelImport done, import_labels(study, flags.file, flags.defaults));
  for (std::size_t i = 0; i < std::min(done.bad.size(), kBadRowsShown); ++i) {
    const BadRow& row = done.bad[i];
    report_error({ErrorCode::kInput, row.reason, row.where});
  }
  if (done.bad.size() > kBadRowsShown) {
    fmt::print(stderr, "… and {} more rows (--json lists them all)\n",
               done.bad.size() - kBadRowsShown);
  }
  if (flags.study.json) {
    fmt::print("{}", write_json(to_json(done), JsonStyle::kPretty));
  } else {
    fmt::print("{} labels added, {} were there already, {} rows have no target, {} not taken\n",
               with_commas(done.added), with_commas(done.known), with_commas(done.unlabeled),
               with_commas(done.bad.size()));
    if (done.added > 0) {
      fmt::print("`understudy run {}` puts them into the estimates\n", flags.study.directory);
    }
  }
  if (done.bad.empty()) return kExitDone;
  return done.added + done.known > 0 ? kExitPartial : kExitInput;
}

Result<int> write_labels(Study& study, const LabelFlags& flags) {
  UNDERSTUDY_TRY(const Labels labels, study_labels(study.directory()));
  UNDERSTUDY_CHECK(put(label_csv(labels), flags.out));
  return kExitDone;
}

Result<int> queue(Study& study, const LabelFlags& flags) {
  UNDERSTUDY_TRY(const std::vector<QueueItem> items, label_queue(study, flags.queue));
  UNDERSTUDY_CHECK(put(flags.study.json ? write_json(to_json(items), JsonStyle::kPretty)
                                        : queue_csv(items, flags.queue.annotator),
                       flags.out));
  return kExitDone;
}

Result<int> status(Study& study, const LabelFlags& flags) {
  UNDERSTUDY_TRY(const Json found, label_status(study));
  fmt::print("{}",
             flags.study.json ? write_json(found, JsonStyle::kPretty) : label_status_text(found));
  return kExitDone;
}

}  // namespace

int run_label(const std::vector<std::string>& arguments) {
  CLI::App app(
      "What people say of answers. Labels hang on the text, not on the run: they are kept in\n"
      "DIR/labels.csv and found again wherever the same text comes up. They count before a\n"
      "judge's verdict.\n\n"
      "  understudy label my-study queue -n 40 --annotator ann -o ann.csv    fill in `target`\n"
      "  understudy label my-study import ann.csv\n"
      "  understudy label my-study                  what there is, how far people agree\n"
      "  understudy label my-study export -o labels.csv\n",
      "label");
  LabelFlags flags;
  app.add_option("DIR", flags.study.directory, "The study's directory")->required();
  add_display_flags(app, flags.study);
  app.fallthrough();
  app.require_subcommand(0, 1);

  CLI::App* const import_app = app.add_subcommand(
      "import", "Add labels: CSV id,behavior,annotator,target,round; or id,target alone");
  import_app->add_option("FILE", flags.file, "target: 1, 0 or unsure; round: 1, 2, adjudication")
      ->required();
  import_app->add_option("--behavior", flags.defaults.behavior, "For rows that name none");
  import_app->add_option("--annotator", flags.defaults.annotator, "For rows that name none")
      ->capture_default_str();

  CLI::App* const export_app = app.add_subcommand("export", "All labels, as `import` takes them");
  export_app->add_option("-o,--output", flags.out, "Instead of standard output");

  CLI::App* const queue_app =
      app.add_subcommand("queue", "What to label next, most valuable first, as a file to fill in");
  queue_app->add_option("--behavior", flags.queue.behavior, "Only this one");
  queue_app->add_option("-n", flags.queue.size, "At most so many")->capture_default_str();
  queue_app->add_option("--annotator", flags.queue.annotator,
                        "Who labels: is never given an answer twice, but second labels");
  queue_app->add_option("--double", flags.queue.doubly, "Share that two annotators label")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  queue_app->add_option("-o,--output", flags.out, "Instead of standard output");

  if (const auto code = parse_arguments(app, arguments)) return *code;
  const auto what = import_app->parsed()   ? import_file
                    : export_app->parsed() ? write_labels
                    : queue_app->parsed()  ? queue
                                           : status;
  return with_study(flags.study, StudyStore::Mode::kWrite,
                    [&](Study& study) { return what(study, flags); });
}

}  // namespace understudy
