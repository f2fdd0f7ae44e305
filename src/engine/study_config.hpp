#pragma once
// study.toml: what a study does. Unknown keys and wrong types are errors that name the line;
// nothing but keys and base URLs comes from anywhere else, so that the effective configuration is
// all there is to know (manifest_json).

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "model/chat_model.hpp"
#include "records/frame.hpp"

namespace understudy {

struct ModelConfig {
  std::string model;     ///< "provider/name"
  std::string base_url;  ///< empty: from the environment
  SamplingOptions sampling;
  std::string system = {};  ///< in place of the logs' system prompt; empty: theirs. Replayed arms
  std::string role = {};    ///< "candidate", "judge"; set when the model is made
};

/// Money per million tokens, in the currency of budget.cost.
struct TokenPrice {
  double input = 0;
  double output = 0;
};

struct StudyConfig {
  struct Logs {
    std::vector<std::string> paths;  ///< globs; relative ones start at the study directory
    std::string format = "auto";
    std::string source = "logs";  ///< part of every prefix's identity
    std::string cluster;          ///< dotted path in a record; empty: what the format has
    std::string model;            ///< what wrote the answers, where the records do not say
    bool duplicates_by_content = false;
    std::vector<std::pair<std::string, Json>> eligible;  ///< dotted path, wanted value
  } logs;
  struct Sample {
    Unit unit = Unit::kTurn;
    std::uint64_t prefixes = 2000;
    std::uint32_t draws = 1;
    std::string seed = "1";
    bool by_risk = false;  ///< design = "risk": prefixes like those that Y's flags follow, oftener
    std::optional<std::uint32_t> prefix_tokens_max;
    std::string tokenizer;  ///< "llama/…"; empty: an embedded candidate's own, else an estimate
    bool after_users_only = false;  ///< cut = "user": no prefix ends with a tool result
  } sample;
  ModelConfig candidate;
  std::optional<ModelConfig> deployed;
  std::map<std::string, ModelConfig> roles;  ///< judge, oracle, …
  struct Grade {
    std::vector<std::string> behaviors;          ///< names or paths; empty: all with a rule
    std::optional<std::uint32_t> window_tokens;  ///< default: candidate.max_tokens
    /// Answers per behavior and arm that the screen passed and that are verified all the same,
    /// where there is an oracle or there are labels.
    std::uint32_t audit = 200;
    std::uint32_t behaviors_per_call = 1;  ///< that a judge or oracle is asked about at once
    /// Most questions to the oracle per behavior and arm, the audit among them; flags beyond it are
    /// sampled. Default: 1,000, or twice the audit where that is more.
    std::optional<std::uint32_t> oracle_budget;
    [[nodiscard]] std::uint32_t oracle_budget_or_default() const {
      return oracle_budget.value_or(std::max(1000U, 2 * std::min(audit, 1U << 30)));
    }
    /// What the audit leaves of it.
    [[nodiscard]] std::uint32_t flags_to_oracle() const {
      return oracle_budget_or_default() - audit;
    }
  } grade;
  struct Estimate {
    bool anytime = false;  ///< intervals that hold however often the study is looked at
  } estimate;
  struct Replay {
    std::uint32_t max_connections = 64;
    std::uint32_t deadline_s = 600;
    std::uint32_t embedded_memory_mb = 1024;  ///< MiB, of an embedded model's attention caches
  } replay;
  /// Trajectories: the answers of a draw, and what answers its tool calls (docs/agents.md).
  struct Tools {
    std::uint32_t max_steps = 1;               ///< answers of a draw; 1: the first one is the draw
    std::optional<std::uint64_t> max_tokens;   ///< of prompts and answers of a draw together
    std::optional<std::uint32_t> max_seconds;  ///< of a draw, in this run
    std::optional<double> max_cost;            ///< of a draw, by [prices]
    /// tools.rules.NAME: beside what schemas and names say.
    struct Rule {
      std::string tool;
      std::optional<std::size_t> effect;  ///< 0 read, 1 write, 2 command
      std::vector<std::string> free_arguments;
      bool ignore_case = false;
    };
    std::vector<Rule> rules;
    /// tools.servers.NAME: Model Context Protocol servers, started or at a URL.
    struct Server {
      std::string name;
      std::vector<std::string> command;
      std::vector<std::string> environment;  ///< "NAME=value"
      std::string url = {};                  ///< in place of a command
      /// Not empty: a server of the real world, of which these tools may be asked, and only read.
      std::vector<std::string> only_reads = {};
      std::uint32_t call_s = 30;
    };
    std::vector<Server> servers;
    /// tools.command: a tool whose argument is run in a sandbox over a copy of a repository.
    struct Command {
      std::string tool = "bash";
      std::string argument = "command";
      std::string repository;
      std::string commit;
      std::string folder = "/repo";
      std::uint32_t call_s = 10;
    };
    std::optional<Command> command;
    [[nodiscard]] bool are_replayed() const { return max_steps > 1; }
  } tools;
  /// The traffic that rates are to be of, where it is not the logs' (target_traffic.hpp). Paths as
  /// logs.paths; either or both.
  struct Target {
    std::vector<std::string> logs;  ///< recent traffic, unlabeled: weights by density ratio
    std::string table;              ///< dimension,stratum,share: weights by raking
    [[nodiscard]] bool is_set() const { return !logs.empty() || !table.empty(); }
  } target;
  /// Placebo deployments on the logs' own time line: each period forecasts one `horizon` later.
  struct Placebo {
    std::uint32_t period_days = 7;  ///< 0: none
    std::uint32_t horizon = 1;      ///< periods between the end of the logs and the launch
  } placebo;
  struct Forecast {
    /// Past releases (interface.md, --history), a file; relative ones start at the study directory.
    std::string history;
    std::optional<double> shift_sd;  ///< of ln rate, between the logs and the deployment
    /// What a worst-case set foretells: behavior, per_100k, lo, hi; a file as `history`.
    std::string challenging_prompts;
  } forecast;
  std::vector<std::string> egress_allow;
  struct Budget {
    std::optional<double> cost;
    std::optional<std::uint64_t> tokens;
    std::optional<std::uint64_t> seconds;
    std::string prices;  ///< a file of prices; relative ones start at the study directory
  } budget;
  std::map<std::string, TokenPrice> prices;  ///< by model; [prices] wins over budget.prices
  std::map<std::string, double> gate;        ///< "behavior.field" → most that passes

  /// Leading tokens of an answer that both arms are graded on; none: all of it.
  [[nodiscard]] std::optional<std::uint32_t> window_tokens() const;
};

[[nodiscard]] Result<StudyConfig> parse_study_config(std::string_view toml, std::string_view file);
/// Reads DIR/study.toml, and the file of prices that it names.
[[nodiscard]] Result<StudyConfig> load_study_config(const std::string& directory);
/// A table of prices as budget.prices names it: ["provider/name"] with input and output. Those that
/// `prices` holds already stay.
Result<void> add_prices(std::string_view toml, std::string_view file,
                        std::map<std::string, TokenPrice>& prices);

/// What is checked whatever the source of a value (file or flag): ranges, and that there are logs
/// and a candidate.
Result<void> check_study_config(const StudyConfig& config);

/// The parts that decide numbers, as canonical JSON: paths, limits on speed and money left out.
[[nodiscard]] Json manifest_json(const StudyConfig& config);

/// A commented study.toml for `init` and `demo`.
struct StudyTemplate {
  std::vector<std::string> log_paths;
  std::string candidate_model;
  std::string comment;                                    ///< first lines, without '#'
  std::string logs_extra, sample_extra, candidate_extra;  ///< more lines of those sections
};
[[nodiscard]] std::string study_toml(const StudyTemplate& parts);

}  // namespace understudy
