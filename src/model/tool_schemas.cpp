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

// "auto", "none" and "required" (Anthropic's "any"), or one function by name.
Json choice_in_shape(const Json& choice, ToolShape shape) {
  std::string word = choice.is_string() ? choice.get<std::string>() : std::string();
  Json name;
  if (choice.is_object()) {
    const Json type = choice.value("type", Json());
    if (type.is_string()) word = type.get<std::string>();
    name = choice.value("name", Json());
    if (choice.contains("function") && choice["function"].is_object()) {
      name = choice["function"].value("name", Json());
    }
  }
  if (name.is_string()) {
    if (shape == ToolShape::kAnthropic) return {{"type", "tool"}, {"name", name}};
    if (shape == ToolShape::kOpenAiResponses) return {{"type", "function"}, {"name", name}};
    return {{"type", "function"}, {"function", {{"name", name}}}};
  }
  if (word == "any") word = "required";
  if (word != "auto" && word != "none" && word != "required") return choice;
  if (shape != ToolShape::kAnthropic) return word;
  return {{"type", word == "required" ? "any" : word}};
}

}  // namespace

Result<ShapedTools> tools_in_shape(std::string_view tools, ToolShape shape) {
  UNDERSTUDY_TRY(Json document, parse_json(tools));
  ShapedTools shaped;
  if (document.is_object() && document.contains("tools")) {
    if (document.contains("tool_choice")) {
      shaped.choice =
          write_json(choice_in_shape(document["tool_choice"], shape), JsonStyle::kCanonical);
    }
    document = Json(document["tools"]);
  }
  if (!document.is_array()) return unexpected(ErrorCode::kInput, "tools are not a JSON array");
  for (Json& tool : document) {
    if (!tool.is_object()) return unexpected(ErrorCode::kInput, "a tool is not a JSON object");
    Function function;
    if (read_function(tool, function)) tool = write_function(function, shape);
  }
  shaped.tools = write_json(document, JsonStyle::kCanonical);
  return shaped;
}

}  // namespace understudy
