// The behaviors that come with the program, and those that a study names.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "base/embedded.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "grading/behavior.hpp"
#include "grading/behavior_text.hpp"

namespace understudy {

std::span<const EmbeddedFile> embedded_behaviors();  // cmake/embed.cmake

namespace {

constexpr std::string_view kBuiltIn = "built-in:";

// The order of interface.md; files beyond it follow by name.
constexpr std::array<std::string_view, 33> kOrder = {"promised_background_task",
                                                     "claimed_human_experience",
                                                     "lied_about_tools",
                                                     "calculator_hacking",
                                                     "confirmation_hacking",
                                                     "misrepresented_completion",
                                                     "fabricated_facts",
                                                     "concealed_uncertainty",
                                                     "mental_health",
                                                     "harassment",
                                                     "sexual_content",
                                                     "violent_wrongdoing",
                                                     "nonviolent_wrongdoing",
                                                     "biological_risk",
                                                     "violence",
                                                     "extremism",
                                                     "emotional_reliance",
                                                     "self_harm",
                                                     "hate",
                                                     "circumvented_restrictions",
                                                     "destructive_action",
                                                     "unauthorized_data_transfer",
                                                     "reward_hacking",
                                                     "credential_harvesting",
                                                     "deception",
                                                     "refusal",
                                                     "repetition_loop",
                                                     "wrong_language",
                                                     "template_leak",
                                                     "empty_or_cut_off",
                                                     "personal_data_introduced",
                                                     "unsupported_link",
                                                     "sycophantic_opening"};

std::size_t order_of(const Behavior& behavior) {
  return static_cast<std::size_t>(std::find(kOrder.begin(), kOrder.end(), behavior.id) -
                                  kOrder.begin());
}

std::vector<Behavior> parse_embedded() {
  std::vector<Behavior> behaviors;
  for (const EmbeddedFile& file : embedded_behaviors()) {
    Result<Behavior> parsed = parse_behavior(file.bytes, fmt::format("{}{}", kBuiltIn, file.name));
    // A broken built-in file is a broken build; behavior_test names the file and line.
    UNDERSTUDY_ASSERT(parsed.has_value());
    behaviors.push_back(std::move(*parsed));
  }
  std::stable_sort(behaviors.begin(), behaviors.end(),
                   [](const Behavior& a, const Behavior& b) { return order_of(a) < order_of(b); });
  return behaviors;
}

Result<std::string> read_bytes(const std::string& path, std::string_view what) {
  auto text = file_bytes(path);
  if (!text) {
    return unexpected(ErrorCode::kUsage, fmt::format("cannot read {}", what),
                      ErrorContext{path, std::nullopt, std::nullopt});
  }
  return *std::move(text);
}

Result<Behavior> read_file(const std::string& path) {
  UNDERSTUDY_TRY(const std::string text, read_bytes(path, "this behavior file"));
  UNDERSTUDY_TRY(Behavior behavior, parse_behavior(text, path));
  std::vector<std::string> contents;
  for (const std::string& file : behavior_files(behavior)) {
    UNDERSTUDY_TRY(std::string bytes,
                   read_bytes(behavior_folder(behavior) + "/" + file,
                              fmt::format("this file, which {} names", behavior.id)));
    contents.push_back(std::move(bytes));
  }
  behavior.hash = behavior_hash(behavior, contents);
  return behavior;
}

Result<void> check_examples(const Behavior& behavior) {
  UNDERSTUDY_TRY(const BehaviorTest test, test_behaviors({&behavior, 1}));
  for (const ExampleOutcome& outcome : test.outcomes) {
    if (outcome.passed()) continue;
    return unexpected(
        ErrorCode::kUsage,
        fmt::format("the example \"{}\" expects {}, but the file's own rule says {}",
                    outcome.example, verdict_name(outcome.expected), verdict_name(outcome.found)),
        ErrorContext{behavior.file, outcome.line, std::nullopt});
  }
  return {};
}

bool is_path(const std::string& name) {
  return name.ends_with(".toml");
}

}  // namespace

std::string behavior_folder(const Behavior& behavior) {
  const std::size_t slash = behavior.file.find_last_of('/');
  return slash == std::string::npos ? "." : behavior.file.substr(0, slash);
}

std::vector<std::string> behavior_files(const Behavior& behavior) {
  std::vector<std::string> files;
  if (behavior.command) files = behavior.command->files;
  if (behavior.table) files.push_back(behavior.table->path);
  return files;
}

// Another program or table is another grader, whatever the behavior file says.
Digest behavior_hash(const Behavior& parsed, std::span<const std::string> files) {
  if (files.empty()) return parsed.hash;
  Sha256 hash;
  hash.field(as_bytes(parsed.hash));
  for (const std::string& bytes : files) hash.field(bytes);
  return hash.finish();
}

const std::vector<Behavior>& built_in_behaviors() {
  static const std::vector<Behavior> behaviors = parse_embedded();
  return behaviors;
}

Result<Behavior> find_behavior(const std::string& name, const std::string& folder) {
  if (is_path(name)) {
    const bool absolute = name.starts_with('/') || folder.empty();
    const std::string path = absolute ? name : folder + "/" + name;
    return read_file(path);
  }
  std::vector<std::string> known;
  for (const Behavior& behavior : built_in_behaviors()) {
    if (behavior.id == name) return behavior;
    known.push_back(behavior.id);
  }
  return unexpected(ErrorCode::kUsage,
                    fmt::format("there is no behavior \"{}\"{}; `understudy behaviors list` shows "
                                "all, and a file's name ends in .toml",
                                name, did_you_mean(name, known)));
}

Result<std::string> behavior_source(const Behavior& behavior) {
  if (!behavior.file.starts_with(kBuiltIn)) return read_bytes(behavior.file, "this behavior file");
  for (const EmbeddedFile& file : embedded_behaviors()) {
    if (behavior.file.substr(kBuiltIn.size()) == file.name) return std::string(file.bytes);
  }
  UNDERSTUDY_ASSERT(false);
}

Result<std::vector<Behavior>> select_behaviors(std::span<const std::string> names,
                                               const std::string& folder) {
  std::vector<Behavior> selected;
  if (names.empty()) {
    const std::vector<Behavior>& built_in = built_in_behaviors();
    std::copy_if(built_in.begin(), built_in.end(), std::back_inserter(selected),
                 [](const Behavior& behavior) { return behavior.rule.has_value(); });
    return selected;
  }
  std::set<std::string> ids;
  for (const std::string& name : names) {
    UNDERSTUDY_TRY(Behavior behavior, find_behavior(name, folder));
    if (is_path(name)) UNDERSTUDY_CHECK(check_examples(behavior));
    if (!ids.insert(behavior.id).second) {
      return unexpected(ErrorCode::kUsage,
                        fmt::format("the behavior \"{}\" is named twice", behavior.id),
                        ErrorContext{behavior.file, behavior.line, std::nullopt});
    }
    selected.push_back(std::move(behavior));
  }
  return selected;
}

}  // namespace understudy
