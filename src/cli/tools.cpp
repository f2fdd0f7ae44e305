#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/exit_code.hpp"
#include "cli/study_session.hpp"
#include "cli/verbs.hpp"
#include "engine/tool_dry_run.hpp"

namespace understudy {

int run_tools(const std::vector<std::string>& arguments) {
  CLI::App app(
      "A dry run of the tools that the logs hold: what each would be answered by in a replay, by\n"
      "level of the chain (docs/agents.md). Reads the logs; calls no tool and asks no model.\n\n"
      "  understudy tools my-study\n"
      "  understudy tools my-study --json\n",
      "tools");
  StudyFlags flags;
  add_study_flags(app, flags);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return with_study(flags, StudyStore::Mode::kCreate, [&](Study& study) -> Result<int> {
    UNDERSTUDY_TRY(const Json tools, tools_of_study(study));
    fmt::print("{}", flags.json ? write_json(tools, JsonStyle::kPretty) : tools_text(tools));
    return kExitDone;
  });
}

}  // namespace understudy
