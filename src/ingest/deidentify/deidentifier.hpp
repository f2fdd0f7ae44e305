#pragma once
// Identifying text out, synthetic values in: the first pass over everything that is stored, and
// over every fresh answer before anything else sees it.
//
// Within one conversation the same entity always becomes the same surrogate, numbered in order of
// appearance, in a form that reads like the original but belongs to nobody: addresses at
// example.com (RFC 2606), telephone numbers 555-01NN in area codes that are never assigned,
// 192.0.2.0/24 and 2001:db8::/32 (RFC 5737, RFC 3849), card numbers of the 4000 00 test range.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "records/conversation.hpp"
#include "records/draw.hpp"

namespace understudy {

/// Goes up when the same text could come out otherwise; stored beside every content hash.
inline constexpr int kDeidentifierVersion = 1;

enum class EntityKind : std::uint8_t {
  kApiKey = 0,       ///< keys, tokens, private key blocks → [api-key-1]
  kEmail = 1,        ///< → person1@example.com
  kIpv4 = 2,         ///< → 192.0.2.1
  kIpv6 = 3,         ///< → 2001:db8::1
  kPaymentCard = 4,  ///< Luhn-valid → 4000 0000 0000 0010
  kPhone = 5,        ///< → +1 290-555-0100
};
inline constexpr std::size_t kEntityKindCount = 6;
/// "api_key", "email", "ipv4", "ipv6", "payment_card", "phone".
[[nodiscard]] std::string_view entity_kind_name(EntityKind kind);

/// Occurrences replaced, by kind.
using EntityCounts = std::array<std::uint64_t, kEntityKindCount>;

/// One for each conversation. Not thread-safe; different ones may run on different threads.
class Deidentifier {
 public:
  Deidentifier();
  Deidentifier(Deidentifier&&) noexcept;
  Deidentifier& operator=(Deidentifier&&) noexcept;
  ~Deidentifier();

  /// The text with its entities replaced. Surrogates map to themselves, so a second pass changes
  /// nothing. What was valid JSON stays valid: tool arguments and results are JSON text.
  [[nodiscard]] std::string apply(std::string_view text);
  void apply(Message& message);
  void apply(Completion& completion);
  /// Tools, then messages in order. Ids and the cluster key are not text and stay.
  void apply(Conversation& conversation);

  /// Takes note of the surrogates in text that is de-identified already, so that new entities get
  /// new numbers.
  void reserve(std::string_view deidentified_text);

  [[nodiscard]] const EntityCounts& counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What a fresh answer to `prefix` goes through: the first `cut` messages (de-identified already)
/// hold their numbers.
[[nodiscard]] Deidentifier deidentifier_after(const std::vector<Message>& prefix, std::size_t cut,
                                              std::string_view tools);

}  // namespace understudy
