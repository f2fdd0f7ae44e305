#include "engine/graded_answer.hpp"

#include <algorithm>

namespace understudy {
namespace {

void cut_to_window(AnswerView& view, std::optional<std::uint64_t> window_bytes) {
  if (!window_bytes || *window_bytes >= view.content.size()) return;
  view.content = view.content.substr(0, *window_bytes);
  view.cut_by_window = true;
}

std::span<const Message> prefix_of(const Conversation& conversation, std::uint32_t cut) {
  UNDERSTUDY_ASSERT(cut <= conversation.messages.size());
  return {conversation.messages.data(), cut};
}

}  // namespace

AnswerView logged_answer(const Conversation& conversation, const FrameTurn& turn) {
  const std::uint32_t at = turn.cut + turn.steps.value_or(0);
  const Message& answer = conversation.messages.at(at);
  AnswerView view{.prefix = prefix_of(conversation, at),
                  .tools = conversation.tools,
                  .content = answer.content,
                  .tool_calls = answer.tool_calls,
                  .finish = FinishReason::kUnknown,
                  .cut_by_window = false};
  cut_to_window(view, turn.window_bytes);
  if (turn.steps) {
    view.own_from = turn.cut;
    // It went on: the limit on steps cut it here, as it cuts the fresh ones.
    const std::size_t next = std::size_t{at} + 1;
    if (!answer.tool_calls.empty() && next < conversation.messages.size() &&
        conversation.messages[next].role == Role::kTool) {
      view.cut_by_window = true;
    }
  }
  return view;
}

AnswerView drawn_answer(const Conversation& conversation, std::uint32_t cut, const StoredDraw& draw,
                        std::vector<Message>& own) {
  const auto& completion = std::get<Completion>(draw.outcome);
  AnswerView view{.prefix = prefix_of(conversation, cut),
                  .tools = conversation.tools,
                  .content = completion.content,
                  .tool_calls = completion.tool_calls,
                  .finish = completion.finish,
                  .cut_by_window = false};
  cut_to_window(view, draw.window_bytes);
  // The limit that cut the answer is ours, the same for both arms: not a fault of the answer.
  if (completion.finish == FinishReason::kLength) view.cut_by_window = true;
  if (!draw.trajectory) return view;
  view.own_from = cut;
  if (draw.trajectory->end == Termination::kMaxSteps) view.cut_by_window = true;
  view.ended_early = ended_early(draw.trajectory->end);
  if (!draw.trajectory->steps.empty()) {
    own.assign(view.prefix.begin(), view.prefix.end());
    for (const TrajectoryStep& step : draw.trajectory->steps) append_messages(step, own);
    view.prefix = own;
  }
  return view;
}

Result<void> for_each_answer(StudyStore& store, Arm arm, const AnswerVisitor& visit) {
  if (arm == Arm::kDeployed) {
    return store.for_each_framed([&](const StoredConversation& stored) -> Result<void> {
      for (const FrameTurn& turn : stored.turns) {
        UNDERSTUDY_CHECK(visit(logged_answer(stored.conversation, turn)));
      }
      return {};
    });
  }
  std::vector<std::pair<std::int64_t, std::uint32_t>> places;  // by prefix id - 1
  UNDERSTUDY_CHECK(store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    places.emplace_back(prefix.conversation, prefix.cut);
    return {};
  }));
  std::optional<StoredConversation> conversation;
  std::vector<Message> own;
  return store.for_each_draw(arm, [&](const StoredDraw& draw) -> Result<void> {
    if (std::holds_alternative<Failure>(draw.outcome)) return {};
    const auto [id, cut] = places.at(static_cast<std::size_t>(draw.key.prefix - 1));
    if (!conversation || conversation->id != id) {
      UNDERSTUDY_TRY(conversation, store.conversation(id));
    }
    return visit(drawn_answer(conversation->conversation, cut, draw, own));
  });
}

Result<AnswerFinder> AnswerFinder::open(StudyStore& store) {
  AnswerFinder finder;
  finder.store_ = &store;
  UNDERSTUDY_CHECK(store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    finder.prefixes_.push_back({.conversation = prefix.conversation, .cut = prefix.cut});
    return {};
  }));
  return finder;
}

Result<AnswerView> AnswerFinder::find(const DrawKey& key) {
  Place place{.conversation = key.prefix, .cut = key.index};
  if (key.arm != Arm::kDeployed) place = prefixes_.at(static_cast<std::size_t>(key.prefix - 1));
  if (!conversation_ || conversation_->id != place.conversation) {
    UNDERSTUDY_TRY(conversation_, store_->framed_conversation(place.conversation));
  }
  if (key.arm == Arm::kDeployed) {
    const auto turn = std::find_if(conversation_->turns.begin(), conversation_->turns.end(),
                                   [&](const FrameTurn& t) { return t.cut == place.cut; });
    UNDERSTUDY_ASSERT(turn != conversation_->turns.end());
    return logged_answer(conversation_->conversation, *turn);
  }
  UNDERSTUDY_TRY(draw_, store_->draw(key));
  UNDERSTUDY_ASSERT(draw_.has_value());
  return drawn_answer(conversation_->conversation, place.cut, *draw_, own_);
}

}  // namespace understudy
