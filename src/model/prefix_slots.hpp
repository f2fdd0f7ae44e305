#pragma once
// Which prompt an embedded worker reads next, and into which of its attention caches, so that as
// little as possible is read twice. The cuts of one conversation and the draws of one prefix begin
// alike: what one slot has computed is taken over by the next, in place or as a copy. Pure
// functions over token lists; nothing here computes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace understudy {

using LlamaToken = std::int32_t;

/// One sequence of a worker and its part of the attention cache.
struct CacheSlot {
  std::vector<LlamaToken> tokens;  ///< prompt and answer, those still to be computed included
  std::size_t computed = 0;        ///< how many of them the cache holds
  bool busy = false;
  std::uint64_t used = 0;  ///< when a prompt last came here: larger is later
};

/// One worker's prompt, where it goes, and what of it is there already.
struct Placement {
  std::size_t prompt = 0;  ///< index among those that wait
  std::size_t slot = 0;    ///< an idle one
  std::size_t source = 0;  ///< the slot whose cache it begins with; `slot`: nothing to copy
  std::size_t common = 0;  ///< tokens of the source's cache that it begins with; less than all
  bool operator==(const Placement&) const = default;
};

/// Copying a cache takes as long as reading about this many tokens or fewer; prompts that share
/// less (a template's first words) have nothing to do with each other.
inline constexpr std::size_t kSharedTokensMin = 32;

/// Chooses for workers[worker], which has an idle slot, among `waiting`, in the order of arrival.
/// Takes the prompt of which most is computed, the first of equal ones; leaves a prompt that begins
/// like one which is being read until that is done, and one that begins like what another worker
/// holds to that worker. Nothing: wait for one of these.
[[nodiscard]] std::optional<Placement> place_prompt(
    std::span<const std::vector<CacheSlot>> workers, std::size_t worker,
    std::span<const std::span<const LlamaToken>> waiting);

/// For a worker that would have nothing to do: the last of those that wait, whoever holds its
/// beginning, so that what follows it in its conversation comes here too.
[[nodiscard]] Placement place_last_prompt(std::span<const CacheSlot> slots,
                                          std::span<const std::span<const LlamaToken>> waiting);

}  // namespace understudy
