#include "environment/connector_source.hpp"

#include <utility>

namespace understudy {
namespace {

constexpr int kStartsMax = 3;  // then it is taken for gone

}  // namespace

bool says_it_changes(const Json& tool) {
  const auto annotations = tool.find("annotations");
  if (annotations == tool.end() || !annotations->is_object()) return false;
  return annotations->value("readOnlyHint", Json()) == Json(false) ||
         annotations->value("destructiveHint", Json()) == Json(true);
}

std::uint64_t ConnectorSource::failed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failed_;
}

ToolTrouble ConnectorSource::trouble() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return trouble_;
}

bool ConnectorSource::ready() {
  if (client_) return true;
  if (starts_ == kStartsMax) return false;
  ++starts_;
  McpOutcome<McpClient> started = McpClient::start(server_, clock_);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&started)) {
    trouble_ = *trouble;
    return false;
  }
  client_ = std::move(std::get<McpClient>(started));
  return true;
}

std::optional<ToolAnswer> ConnectorSource::answer(const ToolQuestion& question) {
  if (!admits(question.call.name) || !question.state.changes().empty()) return std::nullopt;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!ready()) {
    ++failed_;
    return std::nullopt;
  }
  const Json* const tool = client_->tool(question.call.name);
  if (tool == nullptr || says_it_changes(*tool)) return std::nullopt;
  McpOutcome<McpResult> result = client_->call(question.call);
  if (const ToolTrouble* trouble = std::get_if<ToolTrouble>(&result)) {
    // Nothing was changed, so the next level may answer as if this one were not there.
    trouble_ = *trouble;
    ++failed_;
    client_.reset();
    return std::nullopt;
  }
  return ToolAnswer{.level = ToolLevel::kConnector,
                    .result = std::move(std::get<McpResult>(result).text),
                    .trouble = ToolTrouble::kNone};
}

}  // namespace understudy
