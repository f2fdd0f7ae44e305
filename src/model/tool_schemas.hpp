#pragma once
// Tool schemas and the choice among them as logs hold them, in whichever provider's shape, and as a
// provider wants them.

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace understudy {

enum class ToolShape {
  kOpenAiChat,       ///< {"type":"function","function":{"name","description","parameters"}}
  kOpenAiResponses,  ///< {"type":"function","name","description","parameters"}
  kAnthropic,        ///< {"name","description","input_schema"}
};

struct ShapedTools {
  std::string tools;   ///< a JSON array
  std::string choice;  ///< the JSON of "tool_choice"; empty where none was logged
};
/// Tools as Conversation::tools holds them, in the shape asked for. Entries that already have it,
/// and entries and choices of no known shape (a provider's own), are passed through as logged.
/// Fails with kInput when `tools` is neither a JSON array of objects nor holds one.
[[nodiscard]] Result<ShapedTools> tools_in_shape(std::string_view tools, ToolShape shape);

}  // namespace understudy
