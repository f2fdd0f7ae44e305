#pragma once
// Ids of tool calls: logs sometimes have none, and every API demands that a result names its call.

#include <fmt/format.h>

#include <deque>
#include <string>

#include "records/conversation.hpp"

namespace understudy {

/// Walks the messages of one request in order. The ids it gives depend on nothing but their place.
class CallIds {
 public:
  /// The id of a call: as logged, or a new one whose result is expected later.
  [[nodiscard]] std::string of_call(const ToolCall& call) {
    if (!call.id.empty()) return call.id;
    open_.push_back(fmt::format("call_{:06}", ++named_));
    return open_.back();
  }
  /// The call that a result answers: as logged, or the first that was named here and is still
  /// without a result.
  [[nodiscard]] std::string of_result(const Message& result) {
    if (!result.tool_call_id.empty() || open_.empty()) return result.tool_call_id;
    std::string id = std::move(open_.front());
    open_.pop_front();
    return id;
  }

 private:
  std::size_t named_ = 0;
  std::deque<std::string> open_;
};

}  // namespace understudy
