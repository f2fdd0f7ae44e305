#pragma once
// What every verb that works on a study shares: its flags, Ctrl-C, the terminal, and the real world
// (clock, environment, models) that the engine is given.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "grading/behavior_text.hpp"

namespace CLI {
class App;
}

namespace understudy {

/// Flags under the names of study.toml; what is set overrides the file for this call.
struct StudyFlags {
  std::string directory;
  std::optional<std::string> model, model_base_url, seed;
  std::vector<std::string> model_roles;  ///< ROLE=PROVIDER/NAME
  std::optional<std::uint64_t> prefixes, limit, max_connections, draws, max_tokens;
  std::optional<std::uint64_t> budget_tokens, budget_seconds;
  std::optional<double> temperature, top_p, budget_cost;
  bool retry_errors = false;
  bool json = false;
  std::string display = "auto";
};

void add_study_flags(CLI::App& app, StudyFlags& flags);
void add_display_flags(CLI::App& app, StudyFlags& flags);

/// Parses; gives an exit code when there is nothing more to do (help, or an error).
[[nodiscard]] std::optional<int> parse_arguments(CLI::App& app,
                                                 const std::vector<std::string>& arguments);

/// Opens the study of `flags` and gives it to `body`; prints errors; gives the exit code.
int with_study(const StudyFlags& flags, StudyStore::Mode mode,
               const std::function<Result<int>(Study&)>& body);

/// Models for the examples of behavior files, where there is no study.
struct ModelFlags {
  std::vector<std::string> roles;  ///< ROLE=PROVIDER/NAME
  std::string base_url;
  std::vector<std::string> egress_allow;
};
/// The behavior's examples put to the model of a role, or to its own program ("command"); none
/// where no such role is set.
[[nodiscard]] Result<std::optional<std::vector<ExampleOutcome>>> test_by_model(
    const Behavior& behavior, const std::string& role, const ModelFlags& flags);

/// ${XDG_CACHE_HOME:-~/.cache}/understudy: where script/setup keeps models and conversations.
[[nodiscard]] std::string cache_directory();
[[nodiscard]] bool is_terminal(int descriptor);
/// Columns of the terminal that `descriptor` is; 100 where it is none.
[[nodiscard]] std::size_t terminal_width(int descriptor);

/// Of all arms, from a document with the report's `counts`.
[[nodiscard]] std::uint64_t failed_draws(const Json& document);

/// Runs the whole pipeline and prints the table (or the JSON document): `run` and `demo`.
[[nodiscard]] Result<int> run_and_print(Study& study, const StudyFlags& flags);

}  // namespace understudy
