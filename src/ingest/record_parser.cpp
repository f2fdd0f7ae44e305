#include "ingest/record_parser.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/text.hpp"
#include "ingest/log_time.hpp"
#include "ingest/record_splitter.hpp"

namespace understudy {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

static_assert(RecordSplitter::kPadding >= simdjson::SIMDJSON_PADDING);

/// What is refused while a record is taken apart; kNone is success.
using Refusal = std::optional<RejectReason>;

// ---- members of an object ----

std::optional<element> member(const object& parent, std::string_view key) {
  element value;
  if (parent.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

/// The first of the keys that is there and not null.
std::optional<element> member(const object& parent, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (auto value = member(parent, key)) return value;
  }
  return std::nullopt;
}

/// "a.b.c": nested members, where a key may itself hold dots.
std::optional<element> at_path(const object& parent, std::string_view path) {
  if (auto value = member(parent, path)) return value;
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos;
       dot = path.find('.', dot + 1)) {
    const auto inner = member(parent, path.substr(0, dot));
    object nested;
    if (!inner || inner->get(nested) != simdjson::SUCCESS) continue;
    if (auto value = at_path(nested, path.substr(dot + 1))) return value;
  }
  return std::nullopt;
}

/// Text, or a whole number as text; empty for everything else.
std::string text_or_number(const std::optional<element>& value) {
  if (!value) return {};
  std::string_view text;
  if (value->get(text) == simdjson::SUCCESS) return std::string(text);
  if (value->is_int64() || value->is_uint64()) return simdjson::minify(*value);
  return {};
}

/// Text as it is, anything else as JSON text: tool arguments come either way.
std::string text_or_json(const std::optional<element>& value) {
  if (!value) return {};
  std::string_view text;
  if (value->get(text) == simdjson::SUCCESS) return std::string(text);
  return simdjson::minify(*value);
}

// ---- messages ----

struct RoleName {
  std::string_view name;
  Role role;
  bool is_speaker = false;  ///< names who spoke, which is kept
};
// ShareGPT's scrapers logged other assistants under their own names.
constexpr std::array kRoles = {
    RoleName{"user", Role::kUser},
    RoleName{"human", Role::kUser},
    RoleName{"assistant", Role::kAssistant},
    RoleName{"gpt", Role::kAssistant},
    RoleName{"chatgpt", Role::kAssistant, true},
    RoleName{"bing", Role::kAssistant, true},
    RoleName{"bard", Role::kAssistant, true},
    RoleName{"model", Role::kAssistant},
    RoleName{"system", Role::kSystem},
    RoleName{"developer", Role::kDeveloper},
    RoleName{"tool", Role::kTool},
    RoleName{"function", Role::kTool},
    RoleName{"function_response", Role::kTool},
    RoleName{"observation", Role::kTool},
};

Refusal read_part(const element& part, Message& message, bool& first_text) {
  std::string_view text;
  object fields;
  if (part.get(text) == simdjson::SUCCESS) {
    // A bare string among the parts is a text part.
  } else if (part.get(fields) != simdjson::SUCCESS) {
    return RejectReason::kWrongType;
  } else {
    std::string_view type;
    const auto named = member(fields, "type");
    if (named && named->get(type) != simdjson::SUCCESS) return RejectReason::kWrongType;
    const bool is_text = !named || type == "text" || type == "input_text" || type == "output_text";
    const bool is_refusal = type == "refusal";
    if (!is_text && !is_refusal) {
      message.has_other_parts = true;
      return std::nullopt;
    }
    const auto value = member(fields, is_refusal ? "refusal" : "text");
    if (!value || value->get(text) != simdjson::SUCCESS) return RejectReason::kWrongType;
  }
  if (!std::exchange(first_text, false)) message.content += '\n';
  message.content += text;
  return std::nullopt;
}

Refusal read_content(const std::optional<element>& content, Message& message) {
  if (!content) return std::nullopt;  // null beside tool calls is usual
  std::string_view text;
  if (content->get(text) == simdjson::SUCCESS) {
    message.content = text;
    return std::nullopt;
  }
  array parts;
  if (content->get(parts) != simdjson::SUCCESS) return RejectReason::kWrongType;
  bool first_text = true;
  for (const element part : parts) {
    if (const Refusal refusal = read_part(part, message, first_text)) return refusal;
  }
  return std::nullopt;
}

Refusal read_call(const std::string& id, const std::optional<element>& function, Message& message) {
  object fields;
  if (!function || function->get(fields) != simdjson::SUCCESS) return RejectReason::kWrongType;
  message.tool_calls.push_back({.id = id,
                                .name = text_or_number(member(fields, "name")),
                                .arguments = text_or_json(member(fields, "arguments"))});
  return std::nullopt;
}

Refusal read_calls(const object& fields, Message& message) {
  // `function_call` is what tool_calls was called before 2023-11.
  if (const auto call = member(fields, "function_call")) {
    if (const Refusal refusal = read_call({}, call, message)) return refusal;
  }
  const auto calls = member(fields, "tool_calls");
  if (!calls) return std::nullopt;
  array list;
  if (calls->get(list) != simdjson::SUCCESS) return RejectReason::kWrongType;
  for (const element call : list) {
    object one;
    if (call.get(one) != simdjson::SUCCESS) return RejectReason::kWrongType;
    const auto function = member(one, {"function", "custom"});
    const Refusal refusal =
        read_call(text_or_number(member(one, "id")), function ? function : call, message);
    if (refusal) return refusal;
  }
  return std::nullopt;
}

/// SWE-agent names the call that a result answers in a list, which holds one.
Refusal read_answered_call(const object& fields, Message& message) {
  message.tool_call_id = text_or_number(member(fields, "tool_call_id"));
  const auto ids = member(fields, "tool_call_ids");
  array list;
  if (!ids || !message.tool_call_id.empty()) return std::nullopt;
  if (ids->get(list) != simdjson::SUCCESS || list.size() != 1) return RejectReason::kWrongType;
  message.tool_call_id = text_or_number(list.at(0).value_unsafe());
  return std::nullopt;
}

Refusal read_message(const element& value, Message& message) {
  object fields;
  if (value.get(fields) != simdjson::SUCCESS) return RejectReason::kWrongType;
  std::string_view role;
  const auto named = member(fields, {"role", "from"});
  if (!named || named->get(role) != simdjson::SUCCESS) return RejectReason::kWrongType;
  const auto known = std::find_if(kRoles.begin(), kRoles.end(),
                                  [&](const RoleName& entry) { return entry.name == role; });
  if (known == kRoles.end()) return RejectReason::kUnknownRole;
  message.role = known->role;
  if (known->is_speaker) message.name = role;

  if (const Refusal refusal = read_content(member(fields, {"content", "value"}), message)) {
    return refusal;
  }
  if (const auto name = member(fields, "name")) message.name = text_or_number(name);
  if (message.role == Role::kTool) {
    if (const Refusal refusal = read_answered_call(fields, message)) return refusal;
  }
  if (message.role != Role::kAssistant) return std::nullopt;
  message.reasoning = text_or_number(member(fields, {"reasoning_content", "reasoning"}));
  return read_calls(fields, message);
}

// ---- records ----

/// Where a format keeps the messages.
std::string_view messages_key(LogFormat format) {
  switch (format) {
    case LogFormat::kWildChat:
      return "conversation";
    case LogFormat::kShareGpt:
      return "conversations";
    case LogFormat::kTauBench:
      return "traj";
    case LogFormat::kSweAgent:
      return "history";
    case LogFormat::kMessages:
    case LogFormat::kAuto:
      break;
  }
  return "messages";
}

std::optional<LogFormat> format_of(const object& record) {
  for (const LogFormat format : {LogFormat::kMessages, LogFormat::kWildChat, LogFormat::kShareGpt,
                                 LogFormat::kTauBench, LogFormat::kSweAgent}) {
    element value;
    if (record.at_key(messages_key(format)).get(value) == simdjson::SUCCESS) return format;
  }
  return std::nullopt;
}

/// "abc" of "abc_13": ShareGPT's long conversations were cut into numbered segments.
std::string segment_owner(const std::string& id) {
  const std::size_t underscore = id.rfind('_');
  if (underscore == std::string::npos || underscore == 0 || underscore + 1 == id.size()) return id;
  const bool digits = std::all_of(id.begin() + static_cast<std::ptrdiff_t>(underscore) + 1,
                                  id.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? id.substr(0, underscore) : id;
}

/// WildChat: on the record in later releases, on the user's messages in the first.
std::string hashed_ip_of(const object& record, const array& messages) {
  if (const auto own = member(record, "hashed_ip")) return text_or_number(own);
  for (const element message : messages) {
    object fields;
    if (message.get(fields) != simdjson::SUCCESS) continue;
    if (const auto ip = member(fields, "hashed_ip")) return text_or_number(ip);
  }
  return {};
}

/// In the record itself, else in its metadata.
std::optional<element> own_or_metadata(const object& record,
                                       std::initializer_list<std::string_view> keys) {
  if (auto value = member(record, keys)) return value;
  object metadata;
  const auto nested = member(record, "metadata");
  if (!nested || nested->get(metadata) != simdjson::SUCCESS) return std::nullopt;
  return member(metadata, keys);
}

std::optional<std::int64_t> time_of(const object& record) {
  const auto value = own_or_metadata(record, {"timestamp", "create_time", "created_at", "created"});
  if (!value) return std::nullopt;
  std::string_view text;
  if (value->get(text) == simdjson::SUCCESS) return parse_log_time(text);
  double number = 0;
  if (value->get(number) == simdjson::SUCCESS) return log_time_of_number(number);
  return std::nullopt;
}

std::string tools_of(const object& record) {
  const auto tools = member(record, {"tools", "functions"});
  array list;
  if (!tools || tools->get(list) != simdjson::SUCCESS || list.size() == 0) return {};
  // "function_call" is what tool_choice was called before 2023-11.
  const auto choice = member(record, {"tool_choice", "function_call"});
  if (!choice || choice->is_null()) return simdjson::minify(*tools);
  return R"({"tools":)" + std::string(simdjson::minify(*tools)) + R"(,"tool_choice":)" +
         std::string(simdjson::minify(*choice)) + "}";
}

bool meets(const object& record, const EligibleFilter& filter) {
  const auto value = at_path(record, filter.path);
  if (!value) return false;
  if (const bool* expected = std::get_if<bool>(&filter.expected)) {
    bool found = false;
    return value->get(found) == simdjson::SUCCESS && found == *expected;
  }
  if (const double* expected = std::get_if<double>(&filter.expected)) {
    double found = 0;
    return value->get(found) == simdjson::SUCCESS && found == *expected;
  }
  std::string_view found;
  return value->get(found) == simdjson::SUCCESS && found == std::get<std::string>(filter.expected);
}

Refusal read_record(const object& record, const LogOptions& options, LogRecord& out) {
  const std::optional<LogFormat> format =
      options.format == LogFormat::kAuto ? format_of(record) : options.format;
  if (!format) return RejectReason::kNoMessages;
  out.format = *format;
  element list;
  array messages;
  if (record.at_key(messages_key(*format)).get(list) != simdjson::SUCCESS) {
    return RejectReason::kNoMessages;
  }
  if (list.get(messages) != simdjson::SUCCESS) return RejectReason::kWrongType;

  Conversation& conversation = out.conversation;
  conversation.messages.reserve(messages.size());
  for (const element value : messages) {
    if (const Refusal refusal = read_message(value, conversation.messages.emplace_back())) {
      return refusal;
    }
  }
  const auto id = member(record, {"id", "conversation_hash", "conversation_id"});
  if (id && !id->is_string() && !id->is_int64() && !id->is_uint64()) {
    return RejectReason::kWrongType;
  }
  conversation.id = text_or_number(id);
  if (!options.cluster_path.empty()) {
    conversation.cluster = text_or_number(at_path(record, options.cluster_path));
  }
  if (conversation.cluster.empty() && format == LogFormat::kWildChat) {
    conversation.cluster = hashed_ip_of(record, messages);
  }
  if (conversation.cluster.empty() && format == LogFormat::kShareGpt) {
    conversation.cluster = segment_owner(conversation.id);
  }
  if (conversation.cluster.empty() && format == LogFormat::kTauBench) {
    conversation.cluster = text_or_number(member(record, "task_id"));
  }
  conversation.model = text_or_number(own_or_metadata(record, {"model"}));
  conversation.language = text_or_number(own_or_metadata(record, {"language"}));
  conversation.tools = tools_of(record);
  conversation.time_s = time_of(record);
  for (std::size_t i = 0; i < options.eligible.size() && !out.failed_filter; ++i) {
    if (!meets(record, options.eligible[i])) out.failed_filter = i;
  }
  return std::nullopt;
}

// ---- what is wrong with text that is not JSON ----

/// `\ud83d` without `\ude00` behind it, or the other way round.
bool has_lone_surrogate(std::string_view json) {
  const auto unit_at = [&](std::size_t i) -> unsigned {
    unsigned unit = 0;
    if (json.substr(i, 2) != "\\u" || i + 6 > json.size()) return 0;
    const char* first = json.data() + i + 2;
    const auto parsed = std::from_chars(first, first + 4, unit, 16);
    return parsed.ptr == first + 4 ? unit : 0;
  };
  for (std::size_t i = json.find('\\'); i < json.size(); i = json.find('\\', i)) {
    const unsigned unit = unit_at(i);
    if (unit >= 0xDC00 && unit <= 0xDFFF) return true;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      const unsigned low = unit_at(i + 6);
      if (low < 0xDC00 || low > 0xDFFF) return true;
      i += 6;
    }
    i += 2;
  }
  return false;
}

/// Ends inside a string or an open bracket.
bool is_cut_off(std::string_view json) {
  std::int64_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    in_string = c == '"';
    depth += (c == '{' || c == '[') ? 1 : (c == '}' || c == ']') ? -1 : 0;
  }
  return in_string || depth > 0;
}

RejectReason reason_for(std::string_view json, simdjson::error_code error) {
  if (error == simdjson::CAPACITY || error == simdjson::MEMALLOC) {
    return RejectReason::kRecordTooLarge;
  }
  if (error == simdjson::DEPTH_ERROR) return RejectReason::kTooDeep;
  if (json.find('\0') != std::string_view::npos) return RejectReason::kNulByte;
  if (!is_valid_utf8(json)) return RejectReason::kInvalidUtf8;
  if (is_cut_off(json)) return RejectReason::kTruncated;
  if (error == simdjson::NUMBER_ERROR) return RejectReason::kNumberOutOfRange;
  if (error == simdjson::STRING_ERROR && has_lone_surrogate(json)) {
    return RejectReason::kLoneSurrogate;
  }
  return RejectReason::kInvalidJson;
}

}  // namespace

struct RecordParser::State {
  LogOptions options;
  simdjson::dom::parser parser;
};

RecordParser::RecordParser(const LogOptions& options)
    : state_(std::make_unique<State>(State{options, simdjson::dom::parser()})) {}
RecordParser::RecordParser(RecordParser&&) noexcept = default;
RecordParser& RecordParser::operator=(RecordParser&&) noexcept = default;
RecordParser::~RecordParser() = default;

std::variant<LogRecord, RejectReason> RecordParser::parse(std::string_view record) {
  // simdjson takes up to 20 bytes for each value of a record, so that a large record of tiny values
  // would need far more memory than its text.
  constexpr std::size_t kCountFrom = std::size_t{4} << 20;
  constexpr std::ptrdiff_t kValuesMax = 2'000'000;
  if (record.size() > kCountFrom && std::count_if(record.begin(), record.end(), [](char c) {
                                      return c == ',' || c == ':' || c == '[' || c == '{';
                                    }) > kValuesMax) {
    return RejectReason::kRecordTooLarge;
  }
  element root;
  const simdjson::error_code error =
      state_->parser.parse(record.data(), record.size(), /*realloc_if_needed=*/false).get(root);
  if (error != simdjson::SUCCESS) return reason_for(record, error);
  object fields;
  if (root.get(fields) != simdjson::SUCCESS) return RejectReason::kNotAnObject;
  LogRecord out;
  const Refusal refusal = read_record(fields, state_->options, out);
  // The parser keeps the memory of its largest record; one of these should not stay for the file.
  if (record.size() > kCountFrom) state_->parser = simdjson::dom::parser();
  if (refusal) return *refusal;
  return out;
}

}  // namespace understudy
