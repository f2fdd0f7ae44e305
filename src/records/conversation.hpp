#pragma once
// Conversation, Message, ToolCall: one logged dialogue, as every stage sees it. Plain values.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "base/result.hpp"

namespace understudy {

enum class Role : std::uint8_t {
  kSystem = 0,
  kDeveloper = 1,
  kUser = 2,
  kAssistant = 3,
  kTool = 4
};

[[nodiscard]] std::string_view role_name(Role role);

struct ToolCall {
  std::string id;  ///< as logged; may be empty
  std::string name;
  std::string arguments;  ///< JSON text as logged, not parsed
  bool operator==(const ToolCall&) const = default;
};

struct Message {
  Role role = Role::kUser;
  std::string content;    ///< valid UTF-8; text parts of a multi-part message, joined by newlines
  std::string reasoning;  ///< assistant: the model's hidden or visible reasoning, if logged
  std::vector<ToolCall> tool_calls;  ///< assistant only
  std::string tool_call_id;          ///< tool only: which call this answers
  std::string name;                  ///< tool name or participant name, if logged
  bool has_other_parts = false;      ///< there were parts that are not text (images, audio, files)
  bool operator==(const Message&) const = default;
};

struct Conversation {
  std::string id;        ///< unique within the study's logs
  std::string cluster;   ///< who wrote it: intervals are clustered by this. Empty: the id
  std::string model;     ///< which model answered, if the log says
  std::string language;  ///< as the log names it; empty when it does not
  /// JSON array of tool schemas as logged; where the log names a choice among them, the object
  /// {"tools":[…],"tool_choice":…}. Empty: none.
  std::string tools;
  std::optional<std::int64_t> time_s;  ///< Unix seconds (UTC), if logged
  std::vector<Message> messages;
  bool operator==(const Conversation&) const = default;
};

/// A binary form of the messages, for one blob a conversation: varint lengths, version byte first.
/// Long system prompts and tool schemas are kept by content elsewhere (store/): the codec takes
/// whatever messages it is given.
[[nodiscard]] std::string encode_messages(const std::vector<Message>& messages);
/// Fails with kInfrastructure: such bytes were written by us, so the database is damaged.
[[nodiscard]] Result<std::vector<Message>> decode_messages(std::string_view bytes);

/// A prefix: the conversation up to a cut. `cut` counts messages kept, so the last one kept is
/// messages[cut - 1], a user message or a tool result. The identity is (source, conversation id,
/// cut), never the text: two users who both say "hi" are two prefixes with their own seeds.
[[nodiscard]] std::uint64_t prefix_identity(std::string_view source,
                                            std::string_view conversation_id, std::uint32_t cut);

/// What hangs labels on a prefix across reruns: the de-identified messages and tools, under a
/// version.
inline constexpr int kContentHashVersion = 1;
[[nodiscard]] Digest content_hash(std::string_view tools, const std::vector<Message>& messages,
                                  std::size_t cut);

/// The cuts of a conversation that could be replayed: each after a user message or tool result
/// (the last of a run of them) with something to answer; on demand after user messages alone.
struct Turn {
  std::uint32_t cut = 0;      ///< messages in the prefix
  bool answered = false;      ///< messages[cut] is the logged assistant's answer
  std::uint32_t ordinal = 0;  ///< 0-based count of turns in the conversation
};
[[nodiscard]] std::vector<Turn> turns_of(const std::vector<Message>& messages,
                                         bool after_users_only = false);

/// The logged trajectory from a cut on that is answered: index of the assistant's message that ends
/// it, which is the first without a call, the one numbered `steps_max` (>= 1), or the last before
/// somebody else speaks.
[[nodiscard]] std::uint32_t logged_end(const std::vector<Message>& messages, std::uint32_t cut,
                                       std::uint32_t steps_max);

}  // namespace understudy
