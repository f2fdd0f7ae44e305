#include "model/prefix_slots.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace understudy {
namespace {

using Tokens = std::vector<LlamaToken>;

/// `count` tokens of one conversation.
Tokens cut(LlamaToken conversation, std::size_t count) {
  Tokens tokens(count);
  std::iota(tokens.begin(), tokens.end(), conversation * 10'000);
  return tokens;
}

/// A prompt up to `shared`, then an answer that the log does not have.
Tokens answered(LlamaToken conversation, std::size_t shared, std::size_t answer = 20) {
  Tokens tokens = cut(conversation, shared);
  tokens.insert(tokens.end(), answer, -1);
  return tokens;
}

CacheSlot idle(Tokens tokens, std::uint64_t used = 0) {
  const std::size_t size = tokens.size();
  return {.tokens = std::move(tokens), .computed = size, .busy = false, .used = used};
}

CacheSlot busy(Tokens tokens, std::size_t left = 1) {
  const std::size_t size = tokens.size();
  return {.tokens = std::move(tokens), .computed = size - left, .busy = true, .used = 0};
}

std::optional<Placement> place(const std::vector<std::vector<CacheSlot>>& workers,
                               const std::vector<Tokens>& prompts, std::size_t worker = 0) {
  const std::vector<std::span<const LlamaToken>> waiting(prompts.begin(), prompts.end());
  return place_prompt(workers, worker, waiting);
}

TEST(PrefixSlots, TheFirstPromptGoesToAnEmptySlot) {
  EXPECT_EQ(place({{idle({}), idle({})}}, {cut(1, 100), cut(2, 100)}),
            (Placement{.prompt = 0, .slot = 0, .source = 0, .common = 0}));
}

TEST(PrefixSlots, TheNextCutGoesOnWhereTheLastOneEnded) {
  // In place: only the answer is lost, which the log does not have.
  EXPECT_EQ(place({{idle(cut(9, 100), 1), idle(answered(1, 100), 2)}}, {cut(1, 200)}),
            (Placement{.prompt = 0, .slot = 1, .source = 1, .common = 100}));
}

TEST(PrefixSlots, WhatAnAnswerInTheMakingHoldsIsCopied) {
  EXPECT_EQ(place({{busy(answered(1, 100)), idle({})}}, {cut(1, 200)}),
            (Placement{.prompt = 0, .slot = 1, .source = 0, .common = 100}));
}

TEST(PrefixSlots, AnIdleSlotIsTakenBeforeABusyOneIsCopied) {
  EXPECT_EQ(place({{busy(answered(1, 100)), idle(answered(1, 100))}}, {cut(1, 200)}),
            (Placement{.prompt = 0, .slot = 1, .source = 1, .common = 100}));
}

TEST(PrefixSlots, TheLastTokenOfAPromptIsComputedAgain) {
  // Otherwise there is nothing to choose the answer's first token from.
  EXPECT_EQ(place({{idle(answered(1, 100))}}, {cut(1, 100)}),
            (Placement{.prompt = 0, .slot = 0, .source = 0, .common = 99}));
}

TEST(PrefixSlots, TheFirstWordsOfATemplateAreNotWorthACopy) {
  EXPECT_EQ(place({{busy(answered(1, kSharedTokensMin - 1)), idle({})}}, {cut(1, 200)}),
            (Placement{.prompt = 0, .slot = 1, .source = 1, .common = 0}));
}

TEST(PrefixSlots, APromptWaitsWhileItsBeginningIsRead) {
  EXPECT_EQ(place({{busy(cut(1, 100), 60), idle({})}}, {cut(1, 200)}), std::nullopt);
  EXPECT_EQ(place({{busy(cut(1, 100), 2), idle({})}}, {cut(1, 100)}), std::nullopt);
  EXPECT_EQ(place({{busy(cut(1, 100), 60), idle({})}}, {cut(1, 200), cut(2, 50)})->prompt, 1U);
  EXPECT_EQ(place({{busy(cut(1, 100), 1), idle({})}}, {cut(1, 200)})->common, 99U);
}

TEST(PrefixSlots, OfThoseThatWaitTheOneWithMostToReuseIsNext) {
  const std::vector<Tokens> waiting = {cut(2, 80), cut(1, 200), cut(1, 300)};
  EXPECT_EQ(place({{idle(answered(1, 100))}}, waiting),
            (Placement{.prompt = 1, .slot = 0, .source = 0, .common = 100}))
      << "and not conversation 2, which would overwrite what conversation 1 needs";
}

TEST(PrefixSlots, WhatOthersWaitForIsOverwrittenLast) {
  // Conversation 1 is another worker's to go on with only once this one has lost it.
  EXPECT_EQ(place({{idle(answered(1, 60), 1), idle(answered(3, 60), 2), busy(cut(1, 100), 40)}},
                  {cut(2, 80), cut(1, 200)}),
            (Placement{.prompt = 0, .slot = 1, .source = 1, .common = 0}));
  EXPECT_EQ(place({{idle(answered(3, 60), 2), idle(answered(4, 60), 1)}}, {cut(2, 80)})->slot, 1U)
      << "of equal ones the one that was used longest ago";
}

TEST(PrefixSlots, APromptIsLeftToTheWorkerThatHoldsItsBeginning) {
  const std::vector<std::vector<CacheSlot>> workers = {{idle({})}, {busy(answered(1, 100))}};
  EXPECT_EQ(place(workers, {cut(1, 200)}), std::nullopt);
  EXPECT_EQ(place(workers, {cut(1, 200), cut(2, 50)})->prompt, 1U);
}

TEST(PrefixSlots, AnIdleWorkerTakesTheLastOfThem) {
  const std::vector<Tokens> prompts = {cut(1, 200), cut(1, 300)};
  const std::vector<std::span<const LlamaToken>> waiting(prompts.begin(), prompts.end());
  EXPECT_EQ(place_last_prompt(std::vector{idle({})}, waiting),
            (Placement{.prompt = 1, .slot = 0, .source = 0, .common = 0}));
}

}  // namespace
}  // namespace understudy
