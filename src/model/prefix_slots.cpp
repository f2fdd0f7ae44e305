#include "model/prefix_slots.hpp"

#include <algorithm>
#include <tuple>

#include "base/assert.hpp"

namespace understudy {
namespace {

using Tokens = std::span<const LlamaToken>;

/// How many tokens both begin with; the prompt's last one does not count, since its computation
/// gives the first token of the answer.
std::size_t shared_tokens(const CacheSlot& slot, Tokens prompt) {
  if (prompt.empty()) return 0;
  const std::size_t most = std::min(slot.tokens.size(), prompt.size() - 1);
  const auto end = prompt.begin() + static_cast<std::ptrdiff_t>(most);
  return static_cast<std::size_t>(std::mismatch(prompt.begin(), end, slot.tokens.begin()).first -
                                  prompt.begin());
}

std::size_t most_shared(std::span<const CacheSlot> slots, Tokens prompt) {
  std::size_t most = 0;
  for (const CacheSlot& slot : slots) most = std::max(most, shared_tokens(slot, prompt));
  return most;
}

/// What of the prompt the slot has computed already.
std::size_t computed_tokens(const CacheSlot& slot, Tokens prompt) {
  return std::min(slot.computed, shared_tokens(slot, prompt));
}

std::size_t most_computed(std::span<const CacheSlot> slots, Tokens prompt) {
  std::size_t most = 0;
  for (const CacheSlot& slot : slots) most = std::max(most, computed_tokens(slot, prompt));
  return most;
}

/// Whether one of the slots will have computed more of the prompt as soon as it is read.
bool is_being_read(std::span<const CacheSlot> slots, Tokens prompt, std::size_t computed) {
  return std::any_of(slots.begin(), slots.end(), [&](const CacheSlot& slot) {
    if (!slot.busy || slot.computed + 1 >= slot.tokens.size()) return false;
    const std::size_t shared = shared_tokens(slot, prompt);
    return shared >= kSharedTokensMin && shared > computed;
  });
}

/// The idle slot whose cache is least worth keeping: what others that wait could use is, and then
/// what was used last.
std::size_t slot_to_overwrite(std::span<const CacheSlot> slots, std::span<const Tokens> waiting,
                              std::size_t prompt) {
  std::optional<std::tuple<std::size_t, std::uint64_t, std::size_t>> least;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].busy) continue;
    std::size_t wanted = 0;
    for (std::size_t other = 0; other < waiting.size(); ++other) {
      if (other != prompt) wanted = std::max(wanted, computed_tokens(slots[i], waiting[other]));
    }
    if (wanted < kSharedTokensMin) wanted = 0;
    const std::tuple worth(wanted, slots[i].used, i);
    if (!least || worth < *least) least = worth;
  }
  UNDERSTUDY_ASSERT(least.has_value());
  return std::get<2>(*least);
}

Placement place_in(std::span<const CacheSlot> slots, std::span<const Tokens> waiting,
                   std::size_t prompt) {
  std::size_t source = 0;
  std::size_t common = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::size_t computed = computed_tokens(slots[i], waiting[prompt]);
    // Of equal ones an idle one: it need not be copied.
    const bool spares_copy = computed == common && slots[source].busy && !slots[i].busy;
    if (computed > common || spares_copy) {
      source = i;
      common = computed;
    }
  }
  if (common >= kSharedTokensMin && !slots[source].busy) return {prompt, source, source, common};
  const std::size_t slot = slot_to_overwrite(slots, waiting, prompt);
  if (common >= kSharedTokensMin) return {prompt, slot, source, common};
  return {prompt, slot, slot, computed_tokens(slots[slot], waiting[prompt])};
}

}  // namespace

std::optional<Placement> place_prompt(std::span<const std::vector<CacheSlot>> workers,
                                      std::size_t worker, std::span<const Tokens> waiting) {
  const std::vector<CacheSlot>& own = workers[worker];
  std::optional<std::size_t> best;
  std::size_t best_computed = 0;
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    const std::size_t shared = most_shared(own, waiting[i]);
    const std::size_t computed = most_computed(own, waiting[i]);
    if (is_being_read(own, waiting[i], computed)) continue;
    const bool is_anothers = std::any_of(workers.begin(), workers.end(), [&](const auto& slots) {
      return most_shared(slots, waiting[i]) >= shared + kSharedTokensMin;
    });
    if (is_anothers) continue;
    const std::size_t saves = computed < kSharedTokensMin ? 0 : computed;
    if (best && saves <= best_computed) continue;
    best = i;
    best_computed = saves;
  }
  if (!best) return std::nullopt;
  return place_in(own, waiting, *best);
}

Placement place_last_prompt(std::span<const CacheSlot> slots, std::span<const Tokens> waiting) {
  UNDERSTUDY_ASSERT(!waiting.empty());
  return place_in(slots, waiting, waiting.size() - 1);
}

}  // namespace understudy
