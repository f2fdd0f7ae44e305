#include "model/tool_schemas.hpp"

#include "base/json.hpp"

namespace understudy {
namespace {

/// A function tool without its wrapping.
struct Function {
  Json name;
  Json description;
  Json parameters;
  Json strict;
};

bool read_function(const Json& tool, Function& function) {
  const Json* inner = &tool;
  if (tool.contains("function") && tool["function"].is_object()) inner = &tool["function"];
  if (!inner->contains("name") || !(*inner)["name"].is_string()) return false;
  function.name = (*inner)["name"];
  function.description = inner->value("description", Json());
  function.strict = inner->value("strict", Json());
  if (inner->contains("parameters")) {
    function.parameters = (*inner)["parameters"];
  } else if (inner->contains("input_schema")) {
    function.parameters = (*inner)["input_schema"];
  } else if (tool.value("type", Json("function")) != "function") {
    return false;  // a provider's own tool, such as a web search that it runs by itself
  }
  return true;
}

Json write_function(const Function& function, ToolShape shape) {
  Json inner = {{"name", function.name}};
  if (!function.description.is_null()) inner["description"] = function.description;
  if (shape == ToolShape::kAnthropic) {
    // Anthropic demands a schema; a function without parameters has the empty one.
    inner["input_schema"] = function.parameters.is_null()
                                ? Json({{"type", "object"}, {"properties", Json::object()}})
                                : function.parameters;
    return inner;
  }
  if (!function.parameters.is_null()) inner["parameters"] = function.parameters;
  if (!function.strict.is_null()) inner["strict"] = function.strict;
  if (shape == ToolShape::kOpenAiChat) return {{"type", "function"}, {"function", inner}};
  inner["type"] = "function";
  return inner;
}

}  // namespace

Result<std::string> tools_in_shape(std::string_view tools, ToolShape shape) {
  UNDERSTUDY_TRY(Json document, parse_json(tools));
  if (!document.is_array()) return unexpected(ErrorCode::kInput, "tools are not a JSON array");
  for (Json& tool : document) {
    if (!tool.is_object()) return unexpected(ErrorCode::kInput, "a tool is not a JSON object");
    Function function;
    if (read_function(tool, function)) tool = write_function(function, shape);
  }
  return write_json(document, JsonStyle::kCanonical);
}

}  // namespace understudy
