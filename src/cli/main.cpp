// understudy VERB …: finds the verb and hands it the rest. Each verb is a file of its own.

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/verbs.hpp"

namespace understudy {
namespace {

int main_verb(const std::vector<std::string>& arguments) {
  const std::span<const Verb> all = verbs();
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" ||
      arguments[0] == "help") {
    fmt::print("{}", usage());
    return arguments.empty() ? kExitUsage : kExitDone;
  }
  if (arguments[0] == "--version") {
    fmt::print("understudy {}\n", UNDERSTUDY_VERSION);
    return kExitDone;
  }
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Verb& verb) { return verb.name == arguments[0]; });
  if (found == all.end()) {
    std::vector<std::string> names;
    for (const Verb& verb : all) names.emplace_back(verb.name);
    return report_error({ErrorCode::kUsage,
                         fmt::format("no verb \"{}\"{}; `understudy --help` lists them",
                                     arguments[0], did_you_mean(arguments[0], names)),
                         {}});
  }
  return found->run({arguments.begin() + 1, arguments.end()});
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  // A crash must not leave conversations in a core file.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  return understudy::main_verb({argv + 1, argv + argc});
}
