#pragma once
// A behavior: a named property of an answer, with everything that decides whether it is present:
// definition, boundary, rule, rubric, examples. One versioned TOML file each; the built-in ones are
// embedded in the program, users add their own by path in the same format (docs/graders.md).
//
// Input is the text of a file; output a Behavior or an Error with file and line. Pure, but for
// `select_behaviors`, which reads the files that are named by path.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "records/conversation.hpp"
#include "records/draw.hpp"
#include "records/verdict.hpp"

namespace understudy {

/// Version of the file format: the key `format` of every file.
inline constexpr int kBehaviorFormat = 1;

enum class BehaviorGroup : std::uint8_t { kMisalignment, kDisallowedContent, kAgentic, kQuality };
[[nodiscard]] std::string_view group_name(BehaviorGroup group);

enum class DecidedBy : std::uint8_t {
  kRule,          ///< the rule is the grader
  kRuleAndJudge,  ///< the rule screens, a judge verifies
  kJudge,         ///< a judge alone
  kCommand,       ///< an external program screens
  kModeration,    ///< a moderation endpoint screens
  kTable,         ///< verdicts that were made elsewhere
};
[[nodiscard]] std::string_view decided_by_name(DecidedBy decided_by);

/// Data of a rule; the code that reads it is named by `kind` (rule_graders.hpp).
struct RuleSpec {
  std::string kind;
  std::map<std::string, std::string> options;                ///< "scope" = "opening"
  std::map<std::string, double> numbers;                     ///< thresholds
  std::map<std::string, std::vector<std::string>> patterns;  ///< lists of patterns or words
  std::uint64_t line = 0;                                    ///< of the file, for messages
  std::map<std::string, std::uint64_t> pattern_lines;        ///< where each list stands
};

struct JudgeSpec {
  std::string rubric;                 ///< what the judge is told besides definition and boundary
  std::vector<std::string> severity;  ///< what 0 … 4 mean; empty: no severity is asked for
  bool evidence_required = true;      ///< present without a cited message is not accepted
  /// The judge gives a number from 0 to 1 in place of a verdict: present from here on.
  std::optional<double> score_threshold;
  /// An open question, the auditor's: present comes with a description of what is there, which must
  /// be none of these names. Not part of files.
  std::optional<std::vector<std::string>> named_already = {};
};

/// An external program: reads answers as JSON lines, writes verdicts as JSON lines.
struct CommandSpec {
  std::vector<std::string> argv;    ///< never through a shell
  std::vector<std::string> files;   ///< beside the behavior file: all of ours that it may read
  double timeout_s = 120;           ///< without a line of output
  std::optional<double> threshold;  ///< for programs that give scores from 0 to 1
};

/// Score of a category from which on the behavior is present; any of them is enough.
struct ModerationSpec {
  std::map<std::string, double> thresholds;
};

/// A CSV or JSON Lines file with verdicts, beside the behavior file.
struct TableSpec {
  std::string path;
};

struct BehaviorExample {
  std::string name;  ///< unique in its file
  std::vector<Message> prefix;
  std::string tools;  ///< JSON array of tool schemas; empty: none
  std::string content;
  std::vector<ToolCall> tool_calls;
  FinishReason finish = FinishReason::kStop;
  bool cut_by_window = false;
  Verdict expected = Verdict::kAbsent;
  std::optional<std::uint8_t> severity;  ///< expected of a judge, where one is defined
  std::string why;                       ///< what the example shows; may be empty
  /// Taken from a study's logs as it stands: no forecast is to publish it. About the file, not
  /// about the behavior: no part of the hash.
  bool from_logs = false;
  std::uint64_t line = 0;  ///< of the file
};

struct Behavior {
  std::string id;  ///< snake_case
  std::string title;
  BehaviorGroup group = BehaviorGroup::kQuality;
  DecidedBy decided_by = DecidedBy::kJudge;
  std::uint32_t version = 1;
  std::string unit;  ///< what a verdict is about; "answer"
  std::string definition;
  std::vector<std::string> counts;
  std::vector<std::string> does_not_count;
  /// ISO 639-1 codes the rule is written for; empty: any. Other languages: ungradable(language).
  std::vector<std::string> languages;
  std::optional<RuleSpec> rule;
  std::optional<JudgeSpec> judge;
  std::optional<CommandSpec> command;
  std::optional<ModerationSpec> moderation;
  std::optional<TableSpec> table;
  std::vector<BehaviorExample> examples;

  std::string file;        ///< where it came from: a path, or "built-in:NAME.toml"
  std::uint64_t line = 1;  ///< of the file, where its id stands
  /// SHA-256 of the canonical content: comments, layout and key order of the file don't change it.
  /// Of a behavior read from disk also over the files of its [command] or [table].
  Digest hash{};
};

/// One file. Errors (kUsage) name file and line: unknown keys with the nearest valid one, missing
/// parts, a rubric without boundary, duplicate example names. Whether the rule's patterns compile
/// is RuleGraders::build's to say.
[[nodiscard]] Result<Behavior> parse_behavior(std::string_view toml, std::string_view file);

/// Where the file stands.
[[nodiscard]] std::string behavior_folder(const Behavior& behavior);
/// The files that it names beside it: of [command], or the table.
[[nodiscard]] std::vector<std::string> behavior_files(const Behavior& behavior);
/// The hash of a parsed behavior file together with the bytes of the files that it names.
[[nodiscard]] Digest behavior_hash(const Behavior& parsed, std::span<const std::string> files);

/// The behaviors that are part of the program, in the order of interface.md.
[[nodiscard]] const std::vector<Behavior>& built_in_behaviors();

/// Behaviors by name ("refusal") or by path (ends in ".toml"; relative to `folder`); none named:
/// all built-in ones with a rule. Unknown names suggest the nearest; the same id twice is an error,
/// and so is a file whose rule does not give its own examples the verdicts that it promises.
[[nodiscard]] Result<std::vector<Behavior>> select_behaviors(std::span<const std::string> names,
                                                             const std::string& folder);

/// One behavior by name or path, whether or not its examples hold: for `behaviors test`.
[[nodiscard]] Result<Behavior> find_behavior(const std::string& name, const std::string& folder);

/// The bytes of the file that it came from, whole: what a frozen forecast holds.
[[nodiscard]] Result<std::string> behavior_source(const Behavior& behavior);

/// The canonical content that `hash` is taken of.
[[nodiscard]] Json behavior_json(const Behavior& behavior);
/// The inverse, for forecasts: the file's own words, without the layout.
[[nodiscard]] Result<Behavior> behavior_from_json(const Json& document);

}  // namespace understudy
