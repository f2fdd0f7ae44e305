#pragma once
// Tool schemas as logs hold them, in whichever provider's shape, and as a provider wants them.

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace understudy {

enum class ToolShape {
  kOpenAiChat,       ///< {"type":"function","function":{"name","description","parameters"}}
  kOpenAiResponses,  ///< {"type":"function","name","description","parameters"}
  kAnthropic,        ///< {"name","description","input_schema"}
};

/// A JSON array of tools in the shape asked for. Entries that already have it, and entries of no
/// known shape (a provider's own tools), are passed through as logged. Fails with kInput when
/// `tools` is not a JSON array of objects.
[[nodiscard]] Result<std::string> tools_in_shape(std::string_view tools, ToolShape shape);

}  // namespace understudy
