#include "engine/known_cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "estimate/rates.hpp"
#include "grading/labels.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/record_parser.hpp"
#include "ingest/record_splitter.hpp"

namespace understudy {
namespace {

constexpr std::size_t kNameBytesMax = 200;

std::int64_t key_of(const KnownCase& known) {
  // 40 bits: among a thousand cases two share a key with probability 5e-7.
  const auto id = static_cast<std::int64_t>(answer_id(known.view()) & ((1ULL << 40) - 1));
  return pack_draw_key({.arm = kKnownArm, .prefix = id, .index = 0});
}

KnownCase case_of(const Behavior& behavior, const BehaviorExample& example) {
  KnownCase known;
  known.behavior = behavior.id;
  known.channel = kExamplesChannel;
  known.prefix = example.prefix;
  known.tools = example.tools;
  known.answer.role = Role::kAssistant;
  known.answer.content = example.content;
  known.answer.tool_calls = example.tool_calls;
  known.finish = example.finish;
  known.key = key_of(known);
  return known;
}

// An optional member that must be a short text.
Result<std::string> name_in(const Json& record, const char* member, const ErrorContext& where) {
  const auto found = record.find(member);
  if (found == record.end() || found->is_null()) return std::string();
  if (!found->is_string() || found->get_ref<const std::string&>().size() > kNameBytesMax) {
    return unexpected(ErrorCode::kInput, fmt::format("{} is not a name", member), where);
  }
  return found->get<std::string>();
}

// The conversation of a record, as it would be stored: without what identifies people.
Result<void> take_conversation(std::string_view line, const ErrorContext& where, KnownCase& known) {
  const std::string padded = std::string(line) + std::string(RecordSplitter::kPadding, '\0');
  const auto parsed =
      RecordParser(LogOptions{}).parse(std::string_view(padded).substr(0, line.size()));
  const auto* record = std::get_if<LogRecord>(&parsed);
  if (record == nullptr) {
    return unexpected(ErrorCode::kInput, "neither a conversation nor the id of a stored answer",
                      where);
  }
  Conversation conversation = record->conversation;
  if (conversation.messages.size() < 2 || conversation.messages.back().role != Role::kAssistant) {
    return unexpected(ErrorCode::kInput, "the conversation does not end with an answer", where);
  }
  Deidentifier().apply(conversation);
  known.answer = std::move(conversation.messages.back());
  conversation.messages.pop_back();
  known.prefix = std::move(conversation.messages);
  known.tools = std::move(conversation.tools);
  if (known.source_model.empty()) known.source_model = std::move(conversation.model);
  known.key = key_of(known);
  return {};
}

Result<KnownCase> read_case(std::string_view line, const ErrorContext& where,
                            const std::vector<Behavior>& behaviors) {
  const auto record = parse_json(line);
  if (!record || !record->is_object()) {
    return unexpected(ErrorCode::kInput, "not a JSON object", where);
  }
  KnownCase known;
  UNDERSTUDY_TRY(known.behavior, name_in(*record, "behavior", where));
  if (known.behavior.empty()) return unexpected(ErrorCode::kInput, "behavior is missing", where);
  UNDERSTUDY_CHECK(check_behavior_name(known.behavior, behaviors, where));
  UNDERSTUDY_TRY(known.source_model, name_in(*record, "source_model", where));
  UNDERSTUDY_TRY(known.channel, name_in(*record, "channel", where));
  if (known.channel == kExamplesChannel) {
    return unexpected(ErrorCode::kInput, "channel \"examples\" is that of behavior files", where);
  }
  // A conversation may have an id of its own: it is the text that counts.
  const bool has_text = record->contains("messages") || record->contains("conversation") ||
                        record->contains("conversations");
  if (has_text) {
    if (known.channel.empty()) known.channel = "known";
    UNDERSTUDY_CHECK(take_conversation(line, where, known));
    return known;
  }
  UNDERSTUDY_TRY(const std::string id, name_in(*record, "id", where));
  known.stored = parse_answer_id(id);
  if (!known.stored) {
    return unexpected(ErrorCode::kInput, "neither a conversation nor the id of a stored answer",
                      where);
  }
  if (known.channel.empty()) known.channel = "found";
  return known;
}

}  // namespace

AnswerView KnownCase::view() const {
  return {.prefix = prefix,
          .tools = tools,
          .content = answer.content,
          .tool_calls = answer.tool_calls,
          .finish = finish,
          .cut_by_window = false};
}

Result<KnownCases> KnownCases::load(const std::string& directory,
                                    const std::vector<Behavior>& behaviors) {
  KnownCases known;
  for (const Behavior& behavior : behaviors) {
    // A rule is made and tested with its examples: they say nothing of what it misses.
    if (behavior.rule) continue;
    for (const BehaviorExample& example : behavior.examples) {
      if (example.expected == Verdict::kPresent) known.cases_.push_back(case_of(behavior, example));
    }
  }
  const std::string path = directory + "/known.jsonl";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return known;
  const auto text = file_bytes(path);
  if (!text) return unexpected(ErrorCode::kInput, "cannot be read", {path, {}, {}});
  ErrorContext where{.file = path, .line = 0, .byte_offset = 0};
  for (const std::string_view line : split(*text, '\n')) {
    where.line = *where.line + 1;
    if (!trimmed(line).empty()) {
      UNDERSTUDY_TRY(KnownCase one, read_case(line, where, behaviors));
      known.cases_.push_back(std::move(one));
    }
    where.byte_offset = *where.byte_offset + line.size() + 1;
  }
  return known;
}

std::vector<std::int64_t> KnownCases::keys(const Behavior& behavior) const {
  std::vector<std::int64_t> keys;
  for (const KnownCase& known : cases_) {
    if (known.behavior == behavior.id && !known.stored) keys.push_back(known.key);
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

const KnownCase* KnownCases::find(std::int64_t key) const {
  const auto found = std::find_if(cases_.begin(), cases_.end(), [&](const KnownCase& known) {
    return !known.stored && known.key == key;
  });
  return found == cases_.end() ? nullptr : &*found;
}

Result<void> check_behavior_name(const std::string& name, const std::vector<Behavior>& behaviors,
                                 const ErrorContext& where) {
  std::vector<std::string> names;
  for (const Behavior& behavior : behaviors) names.push_back(behavior.id);
  for (const Behavior& behavior : built_in_behaviors()) names.push_back(behavior.id);
  if (std::find(names.begin(), names.end(), name) != names.end()) return {};
  return unexpected(ErrorCode::kInput, "no such behavior" + did_you_mean(name, names), where);
}

}  // namespace understudy
