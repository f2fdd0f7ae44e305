#include "records/conversation.hpp"

#include "records/codec.hpp"

namespace understudy {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kDeveloper:
      return "developer";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
      return "assistant";
    case Role::kTool:
      return "tool";
  }
  return "unknown";
}

namespace {

constexpr std::uint8_t kMessagesVersion = 1;

// Most messages are a role and a text: one flag byte says which of the rest follow.
constexpr unsigned kReasoning = 8;
constexpr unsigned kToolCalls = 16;
constexpr unsigned kToolCallId = 32;
constexpr unsigned kName = 64;
constexpr unsigned kOtherParts = 128;

void put_calls(Encoder& out, const std::vector<ToolCall>& calls) {
  out.number(calls.size());
  for (const ToolCall& call : calls) out.text(call.id).text(call.name).text(call.arguments);
}

}  // namespace

std::string encode_messages(const std::vector<Message>& messages) {
  Encoder out;
  out.byte(kMessagesVersion).number(messages.size());
  for (const Message& message : messages) {
    const unsigned flags =
        static_cast<unsigned>(message.role) | (message.reasoning.empty() ? 0U : kReasoning) |
        (message.tool_calls.empty() ? 0U : kToolCalls) |
        (message.tool_call_id.empty() ? 0U : kToolCallId) | (message.name.empty() ? 0U : kName) |
        (message.has_other_parts ? kOtherParts : 0U);
    out.byte(static_cast<std::uint8_t>(flags)).text(message.content);
    if (flags & kReasoning) out.text(message.reasoning);
    if (flags & kToolCalls) put_calls(out, message.tool_calls);
    if (flags & kToolCallId) out.text(message.tool_call_id);
    if (flags & kName) out.text(message.name);
  }
  return std::move(out).bytes();
}

Result<std::vector<Message>> decode_messages(std::string_view bytes) {
  Decoder in(bytes);
  std::vector<Message> messages;
  if (in.byte() != kMessagesVersion) {
    return unexpected(ErrorCode::kInfrastructure, "a stored conversation has an unknown version");
  }
  const std::uint64_t count = in.count();
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    Message message;
    const std::uint8_t flags = in.byte();
    message.role = static_cast<Role>(flags & 7);
    message.content = in.text();
    if (flags & kReasoning) message.reasoning = in.text();
    if (flags & kToolCalls) message.tool_calls = in.tool_calls();
    if (flags & kToolCallId) message.tool_call_id = in.text();
    if (flags & kName) message.name = in.text();
    message.has_other_parts = (flags & kOtherParts) != 0;
    messages.push_back(std::move(message));
  }
  if (!in.ok() || !in.at_end()) {
    return unexpected(ErrorCode::kInfrastructure, "a stored conversation is damaged");
  }
  return messages;
}

std::uint64_t prefix_identity(std::string_view source, std::string_view conversation_id,
                              std::uint32_t cut) {
  return first64(Sha256().field(source).field(conversation_id).number(cut).finish());
}

Digest content_hash(std::string_view tools, const std::vector<Message>& messages, std::size_t cut) {
  UNDERSTUDY_ASSERT(cut <= messages.size());
  Sha256 hash;
  hash.number(kContentHashVersion).field(tools);
  for (std::size_t i = 0; i < cut; ++i) {
    const Message& message = messages[i];
    hash.field(role_name(message.role)).field(message.content).field(message.tool_call_id);
    hash.number(message.tool_calls.size());
    for (const ToolCall& call : message.tool_calls) hash.field(call.name).field(call.arguments);
  }
  return hash.finish();
}

std::uint32_t logged_end(const std::vector<Message>& messages, std::uint32_t cut,
                         std::uint32_t steps_max) {
  UNDERSTUDY_ASSERT(cut < messages.size() && messages[cut].role == Role::kAssistant);
  std::uint32_t end = cut;
  std::uint32_t steps = 0;
  for (std::uint32_t i = cut; i < messages.size(); ++i) {
    if (messages[i].role == Role::kTool) continue;
    if (messages[i].role != Role::kAssistant) break;
    end = i;
    if (messages[i].tool_calls.empty() || ++steps == steps_max) break;
  }
  return end;
}

std::vector<Turn> turns_of(const std::vector<Message>& messages, bool after_users_only) {
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool asks =
        messages[i].role == Role::kUser || (messages[i].role == Role::kTool && !after_users_only);
    if (!asks) continue;
    const bool last_of_run = i + 1 == messages.size() || messages[i + 1].role == Role::kAssistant;
    if (!last_of_run) continue;
    turns.push_back({.cut = static_cast<std::uint32_t>(i + 1),
                     .answered = i + 1 < messages.size(),
                     .ordinal = static_cast<std::uint32_t>(turns.size())});
  }
  return turns;
}

}  // namespace understudy
