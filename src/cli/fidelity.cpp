// understudy fidelity DIR: is the replay real?

#include "engine/fidelity.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"

namespace understudy {

int run_fidelity(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Is the replay real? How far the deployed model, replayed, is from its own logged answers;\n"
      "how the requests compare with production; what no replay can see. Asks no model.\n\n"
      "  understudy fidelity my-study\n",
      "fidelity");
  StudyFlags flags;
  app.add_option("DIR", flags.directory, "The study's directory")->required();
  add_display_flags(app, flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kRead, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const Json found, fidelity(study));
    fmt::print("{}", flags.json ? write_json(found, JsonStyle::kPretty) : fidelity_text(found));
    return kExitDone;
  });
}

}  // namespace understudy
