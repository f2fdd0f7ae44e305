#include "environment/tool_steps.hpp"

#include <algorithm>
#include <set>

#include "base/json.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

bool is_json_object(std::string_view arguments) {
  if (trimmed(arguments).empty()) return true;  // a call without arguments
  const Result<Json> parsed = parse_json(arguments);
  return parsed && parsed->is_object();
}

class Pairing {
 public:
  void take_calls(const Message& message, std::size_t index) {
    for (const ToolCall& call : message.tool_calls) {
      if (!call.id.empty() && !ids_.insert(call.id).second) note(ToolFault::kDuplicateCallId);
      if (!is_json_object(call.arguments)) note(ToolFault::kArgumentsNotJson);
      open_.push_back(out_.steps.size());
      out_.steps.push_back({.call = call, .result = {}, .call_message = index});
    }
  }

  void take_result(const Message& message, std::size_t index) {
    const auto answers = [&](std::size_t step) {
      const ToolCall& call = out_.steps[step].call;
      if (!message.tool_call_id.empty()) return call.id == message.tool_call_id;
      return message.name.empty() || message.name == call.name;
    };
    const auto found = std::find_if(open_.begin(), open_.end(), answers);
    if (found == open_.end()) return note(ToolFault::kResultWithoutCall);
    out_.steps[*found].result = message.content;
    out_.steps[*found].result_message = index;
    open_.erase(found);
  }

  ToolSteps finish() && {
    out_.faults[static_cast<std::size_t>(ToolFault::kCallWithoutResult)] += open_.size();
    return std::move(out_);
  }

 private:
  void note(ToolFault fault) { ++out_.faults[static_cast<std::size_t>(fault)]; }

  ToolSteps out_;
  std::vector<std::size_t> open_;  // steps without a result
  std::set<std::string> ids_;
};

}  // namespace

std::string_view tool_fault_name(ToolFault fault) {
  switch (fault) {
    case ToolFault::kResultWithoutCall:
      return "result_without_call";
    case ToolFault::kCallWithoutResult:
      return "call_without_result";
    case ToolFault::kDuplicateCallId:
      return "duplicate_call_id";
    case ToolFault::kArgumentsNotJson:
      return "arguments_not_json";
  }
  UNDERSTUDY_ASSERT(false);
}

ToolSteps tool_steps_of(const std::vector<Message>& messages) {
  Pairing pairing;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    pairing.take_calls(messages[i], i);
    if (messages[i].role == Role::kTool) pairing.take_result(messages[i], i);
  }
  return std::move(pairing).finish();
}

}  // namespace understudy
