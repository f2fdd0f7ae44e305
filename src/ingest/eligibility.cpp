#include "ingest/eligibility.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

bool has_substance(const Message& message) {
  return !trimmed(message.content).empty() || !message.tool_calls.empty() ||
         message.has_other_parts;
}

bool is_instruction(const Message& message) {
  return message.role == Role::kSystem || message.role == Role::kDeveloper;
}

}  // namespace

Result<DuplicateRule> duplicate_rule_named(std::string_view name) {
  if (name == "id") return DuplicateRule::kById;
  if (name == "content") return DuplicateRule::kByContent;
  return unexpected(ErrorCode::kUsage, "duplicates is \"id\" or \"content\"");
}

bool HashSet64::insert(std::uint64_t hash) {
  if (hash == 0) hash = 1;  // 0 marks a free slot
  if ((size_ + 1) * 8 > slots_.size() * 7) grow();
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;  // the hashes are uniform already
  while (slots_[i] != 0) {
    if (slots_[i] == hash) return false;
    i = (i + 1) & mask;
  }
  slots_[i] = hash;
  ++size_;
  return true;
}

void HashSet64::grow() {
  const std::vector<std::uint64_t> old = std::exchange(
      slots_, std::vector<std::uint64_t>(std::max<std::size_t>(16, slots_.size() * 2)));
  size_ = 0;
  for (const std::uint64_t hash : old) {
    if (hash != 0) insert(hash);
  }
}

Eligibility::Eligibility(DuplicateRule duplicates, const std::vector<EligibleFilter>& filters)
    : duplicates_(duplicates) {
  for (const EligibleFilter& filter : filters) filter_paths_.push_back(filter.path);
}

std::optional<Exclusion> Eligibility::admit(const LogRecord& record) {
  ++read_;
  const std::optional<Exclusion> exclusion = judge(record);
  if (exclusion) ++excluded_[reason_name(*exclusion, record)];
  return exclusion;
}

std::optional<Exclusion> Eligibility::judge(const LogRecord& record) {
  const Conversation& conversation = record.conversation;
  const std::vector<Message>& messages = conversation.messages;
  if (record.failed_filter) return Exclusion::kFilter;
  if (std::none_of(messages.begin(), messages.end(), has_substance)) return Exclusion::kEmpty;

  const std::uint64_t identity =
      duplicates_ == DuplicateRule::kById
          ? hash64({conversation.id})
          : first64(content_hash(conversation.tools, messages, messages.size()));
  if (!seen_.insert(identity)) return Exclusion::kDuplicate;

  const auto first = std::find_if_not(messages.begin(), messages.end(), is_instruction);
  if (first != messages.end() && first->role != Role::kUser) return Exclusion::kStartsInTheMiddle;
  const bool has_other = std::any_of(messages.begin(), messages.end(),
                                     [](const Message& m) { return m.has_other_parts; });
  if (has_other) return Exclusion::kNonTextParts;
  return std::nullopt;
}

std::uint64_t Eligibility::eligible() const {
  std::uint64_t excluded = 0;
  for (const auto& [reason, count] : excluded_) excluded += count;
  return read_ - excluded;
}

std::string Eligibility::reason_name(Exclusion exclusion, const LogRecord& record) const {
  switch (exclusion) {
    case Exclusion::kFilter:
      UNDERSTUDY_ASSERT(*record.failed_filter < filter_paths_.size());
      return "eligible:" + filter_paths_[*record.failed_filter];
    case Exclusion::kEmpty:
      return "empty";
    case Exclusion::kDuplicate:
      return duplicates_ == DuplicateRule::kById ? "duplicate_id" : "duplicate_content";
    case Exclusion::kStartsInTheMiddle:
      return "starts_in_the_middle";
    case Exclusion::kNonTextParts:
      return "non_text_parts";
  }
  UNDERSTUDY_ASSERT(false);
}

}  // namespace understudy
