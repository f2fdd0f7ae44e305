#include "ingest/deidentify/deidentifier.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/assert.hpp"
#include "ingest/deidentify/entities.hpp"
#include "ingest/deidentify/surrogates.hpp"

namespace understudy {

std::string_view entity_kind_name(EntityKind kind) {
  switch (kind) {
    case EntityKind::kApiKey:
      return "api_key";
    case EntityKind::kEmail:
      return "email";
    case EntityKind::kIpv4:
      return "ipv4";
    case EntityKind::kIpv6:
      return "ipv6";
    case EntityKind::kPaymentCard:
      return "payment_card";
    case EntityKind::kPhone:
      return "phone";
  }
  UNDERSTUDY_ASSERT(false);
}

struct Deidentifier::State {
  struct Kind {
    std::unordered_map<std::string, std::uint32_t> numbers;  // by entity key; never iterated
    std::uint32_t last = 0;
  };
  std::array<Kind, kEntityKindCount> kinds;
  EntityCounts counts{};

  Kind& of(const Entity& entity) { return kinds[static_cast<std::size_t>(entity.kind)]; }

  /// Ours stand for themselves, and their numbers are taken.
  void reserve(const std::vector<Entity>& entities) {
    for (const Entity& entity : entities) {
      of(entity).last = std::max(of(entity).last, own_number(entity.kind, entity.key));
    }
  }

  /// False when every entity stands for itself already.
  bool replace(std::string_view text, const std::vector<Entity>& entities, std::string& out) {
    reserve(entities);
    std::size_t copied = 0;
    out.clear();
    for (const Entity& entity : entities) {
      if (own_number(entity.kind, entity.key) != 0) continue;
      Kind& kind = of(entity);
      const auto [known, is_new] = kind.numbers.try_emplace(entity.key, kind.last + 1);
      if (is_new) ++kind.last;
      ++counts[static_cast<std::size_t>(entity.kind)];
      out += text.substr(copied, entity.begin - copied);
      out += surrogate(entity.kind, known->second,
                       text.substr(entity.begin, entity.end - entity.begin));
      copied = entity.end;
    }
    if (copied == 0) return false;
    out += text.substr(copied);
    return true;
  }
};

Deidentifier::Deidentifier() : state_(std::make_unique<State>()) {}
Deidentifier::Deidentifier(Deidentifier&&) noexcept = default;
Deidentifier& Deidentifier::operator=(Deidentifier&&) noexcept = default;
Deidentifier::~Deidentifier() = default;

std::string Deidentifier::apply(std::string_view text) {
  // A surrogate can bring out a neighbor that the original hid by touching it: go on until nothing
  // changes, so that a second pass over the result finds nothing either.
  constexpr int kPassesMax = 8;
  std::string current(text);
  std::string replaced;
  for (int pass = 0; pass < kPassesMax; ++pass) {
    if (!state_->replace(current, find_entities(current), replaced)) break;
    current.swap(replaced);
  }
  return current;
}

void Deidentifier::apply(Message& message) {
  message.content = apply(message.content);
  message.reasoning = apply(message.reasoning);
  message.name = apply(message.name);
  for (ToolCall& call : message.tool_calls) call.arguments = apply(call.arguments);
}

void Deidentifier::apply(Completion& completion) {
  completion.content = apply(completion.content);
  completion.reasoning = apply(completion.reasoning);
  for (ToolCall& call : completion.tool_calls) call.arguments = apply(call.arguments);
}

void Deidentifier::apply(Conversation& conversation) {
  conversation.tools = apply(conversation.tools);
  for (Message& message : conversation.messages) apply(message);
}

void Deidentifier::reserve(std::string_view deidentified_text) {
  state_->reserve(find_entities(deidentified_text));
}

const EntityCounts& Deidentifier::counts() const {
  return state_->counts;
}

Deidentifier deidentifier_after(const std::vector<Message>& prefix, std::size_t cut,
                                std::string_view tools) {
  UNDERSTUDY_ASSERT(cut <= prefix.size());
  Deidentifier deidentifier;
  deidentifier.reserve(tools);
  for (std::size_t i = 0; i < cut; ++i) {
    deidentifier.reserve(prefix[i].content);
    deidentifier.reserve(prefix[i].reasoning);
    deidentifier.reserve(prefix[i].name);
    for (const ToolCall& call : prefix[i].tool_calls) {
      deidentifier.reserve(call.arguments);
    }
  }
  return deidentifier;
}

}  // namespace understudy
