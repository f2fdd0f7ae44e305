#include "report/json_schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/json.hpp"

namespace understudy {
namespace {

bool has_type(const Json& value, std::string_view type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return type == value.type_name();
}

class Checker {
 public:
  explicit Checker(const Json& root) : root_(root) {}

  void check(const Json& schema, const Json& value, const std::string& at) {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) fail(at, "is not allowed here");
      return;
    }
    for (const auto& [keyword, rule] : schema.items()) {
      if (keyword == "$ref") {
        const std::string target = rule.get<std::string>().substr(1);
        check(root_.at(Json::json_pointer(target)), value, at);
      } else if (keyword == "anyOf") {
        check_any(rule, value, at);
      } else if (!check_value(keyword, rule, value, at) &&
                 !check_members(keyword, rule, schema, value, at) && !is_annotation(keyword)) {
        fail(at, "the schema uses \"" + keyword + "\", which is not checked");
      }
    }
  }

  [[nodiscard]] std::vector<std::string> violations() && { return std::move(violations_); }

 private:
  static bool is_annotation(std::string_view keyword) {
    constexpr std::array<std::string_view, 5> kAnnotations = {"$schema", "$id", "$defs", "title",
                                                              "description"};
    return std::find(kAnnotations.begin(), kAnnotations.end(), keyword) != kAnnotations.end();
  }

  // The caller says what the text is of: a value is never quoted, it may be private.
  void fail(const std::string& at, const std::string& what) {
    violations_.push_back(fmt::format("{}: {}", at.empty() ? "the document" : at, what));
  }

  void check_any(const Json& branches, const Json& value, const std::string& at) {
    for (const Json& branch : branches) {
      Checker attempt(root_);
      attempt.check(branch, value, at);
      if (attempt.violations_.empty()) return;
    }
    fail(at, "fits none of the allowed forms");
  }

  bool check_value(const std::string& keyword, const Json& rule, const Json& value,
                   const std::string& at) {
    if (keyword == "type") {
      const Json types = rule.is_array() ? rule : Json::array({rule});
      if (std::none_of(types.begin(), types.end(), [&](const Json& type) {
            return has_type(value, type.get<std::string>());
          })) {
        fail(at, fmt::format("is {}, not {}", value.type_name(), rule.dump()));
      }
    } else if (keyword == "const") {
      if (value != rule) fail(at, "is not " + rule.dump());
    } else if (keyword == "enum") {
      if (std::find(rule.begin(), rule.end(), value) == rule.end()) fail(at, "is not in the list");
    } else if (keyword == "minimum") {
      if (value.is_number() && value.get<double>() < rule.get<double>()) fail(at, "is too small");
    } else if (keyword == "maximum") {
      if (value.is_number() && value.get<double>() > rule.get<double>()) fail(at, "is too large");
    } else {
      return false;
    }
    return true;
  }

  bool check_members(const std::string& keyword, const Json& rule, const Json& schema,
                     const Json& value, const std::string& at) {
    if (keyword == "required") {
      for (const Json& name : rule) {
        if (value.is_object() && !value.contains(name.get<std::string>())) {
          fail(at, "lacks \"" + name.get<std::string>() + "\"");
        }
      }
    } else if (keyword == "properties") {
      for (const auto& [name, member_schema] : rule.items()) {
        if (value.is_object() && value.contains(name)) {
          check(member_schema, value.at(name), at + "/" + name);
        }
      }
    } else if (keyword == "additionalProperties") {
      const Json known = schema.value("properties", Json::object());
      if (!value.is_object()) return true;
      for (const auto& [name, member_value] : value.items()) {
        if (!known.contains(name)) check(rule, member_value, at + "/" + name);
      }
    } else if (keyword == "items") {
      for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
        check(rule, value[i], fmt::format("{}/{}", at, i));
      }
    } else {
      return false;
    }
    return true;
  }

  const Json& root_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> schema_violations(const Json& schema, const Json& document) {
  Checker checker(schema);
  checker.check(schema, document, "");
  return std::move(checker).violations();
}

}  // namespace understudy
