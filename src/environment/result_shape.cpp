#include "environment/result_shape.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "environment/tool_rules.hpp"

namespace understudy {
namespace {

constexpr int kDepthMax = 24;
/// Objects seen at a place before their keys are held against another: of fewer, too little is
/// known.
constexpr std::uint32_t kObjectsForKeys = 4;
constexpr std::size_t kKeysMax = 200;  // beyond that, keys are data
constexpr double kRegularShare = 0.2;

constexpr std::array<std::string_view, 6> kKindNames = {"object", "array",   "string",
                                                        "number", "boolean", "null"};

std::optional<Json> parsed_json(std::string_view text) {
  if (text.empty()) return std::nullopt;
  Result<Json> parsed = parse_json(text);
  if (!parsed) return std::nullopt;
  return *std::move(parsed);
}

std::string place_name(const std::string& path) {
  return path.empty() ? "the result" : "\"" + terminal_safe(path) + "\"";
}

}  // namespace

struct ResultShape::Place {
  std::array<std::uint32_t, kKinds> kinds{};
  struct Member {
    std::uint32_t seen = 0;
    std::unique_ptr<Place> place;
  };
  std::map<std::string, Member> members;
  std::unique_ptr<Place> any;      // of members, once there are too many keys to be names
  std::unique_ptr<Place> element;  // of arrays
};

ResultShape::ResultShape() : top_(std::make_unique<Place>()) {}
ResultShape::~ResultShape() = default;
ResultShape::ResultShape(ResultShape&&) noexcept = default;
ResultShape& ResultShape::operator=(ResultShape&&) noexcept = default;

ResultShape::Kind ResultShape::kind_of(const Json& value) {
  if (value.is_object()) return kObject;
  if (value.is_array()) return kArray;
  if (value.is_string()) return kString;
  if (value.is_number()) return kNumber;
  return value.is_boolean() ? kBoolean : kNull;
}

void ResultShape::learn(std::string_view result) {
  if (is_error_result(result)) {
    ++errors_;
    return;
  }
  ++results_;
  const std::string_view text = trimmed(result);
  if (text.empty()) {
    ++empty_;
  } else if (const std::optional<Json> value = parsed_json(text)) {
    learn_value(*top_, *value);
  } else {
    ++texts_;
  }
}

void ResultShape::learn_value(Place& place, const Json& value) {
  ++place.kinds[kind_of(value)];
  if (value.is_array()) {
    if (!place.element) place.element = std::make_unique<Place>();
    for (const Json& item : value) learn_value(*place.element, item);
  }
  if (!value.is_object()) return;
  for (const auto& [key, member] : value.items()) {
    if (place.any) {
      learn_value(*place.any, member);
      continue;
    }
    Place::Member& known = place.members[key];
    ++known.seen;
    if (!known.place) known.place = std::make_unique<Place>();
    learn_value(*known.place, member);
  }
  if (place.members.size() > kKeysMax) {
    place.any = std::make_unique<Place>(any_member(place));
    place.members.clear();
  }
}

void ResultShape::merge(Place& into, const Place& from) {
  for (std::size_t i = 0; i < kKinds; ++i) into.kinds[i] += from.kinds[i];
  const auto merge_child = [](std::unique_ptr<Place>& child, const std::unique_ptr<Place>& other) {
    if (!other) return;
    if (!child) child = std::make_unique<Place>();
    merge(*child, *other);
  };
  merge_child(into.any, from.any);
  merge_child(into.element, from.element);
  for (const auto& [key, member] : from.members) {
    Place::Member& own = into.members[key];
    own.seen += member.seen;
    merge_child(own.place, member.place);
  }
}

bool ResultShape::keys_are_data(const Place& place) {
  if (place.any) return true;
  const std::uint32_t objects = place.kinds[kObject];
  if (objects < kObjectsForKeys) return false;
  std::uint64_t all = 0;
  std::uint64_t regular = 0;
  for (const auto& [key, member] : place.members) {
    all += member.seen;
    if (member.seen >= kRegularShare * objects) regular += member.seen;
  }
  return 2 * regular < all;
}

ResultShape::Place ResultShape::any_member(const Place& place) {
  Place any;
  if (place.any) merge(any, *place.any);
  for (const auto& [key, member] : place.members) merge(any, *member.place);
  return any;
}

// ---- holding a result against it ----

std::optional<std::string> ResultShape::fault(std::string_view result) const {
  if (is_error_result(result)) {
    if (errors_ > 0) return std::nullopt;
    return "it is an error, and this tool was never seen to fail";
  }
  if (results_ == 0) return std::nullopt;
  const std::string_view text = trimmed(result);
  if (text.empty()) {
    if (empty_ > 0) return std::nullopt;
    return "it is empty, and this tool always says something";
  }
  const std::optional<Json> value = parsed_json(text);
  const bool structured = value && value->is_structured();
  if (!structured && texts_ > 0) return std::nullopt;
  if (!value) {
    return text.front() == '{' || text.front() == '['
               ? "it is not valid JSON"
               : "it is plain text, and this tool answers with JSON: " + described();
  }
  if (texts_ == results_ - empty_) return "it is JSON, and this tool answers with plain text";
  return fault_at(*top_, *value, "");
}

std::string ResultShape::kinds_text(const Place& place) {
  std::string out;
  for (std::size_t i = 0; i < kKinds; ++i) {
    if (place.kinds[i] == 0) continue;
    out += (out.empty() ? "" : " or ") + std::string(kKindNames[i]);
  }
  return out.empty() ? "nothing" : out;
}

std::optional<std::string> ResultShape::fault_at(const Place& place, const Json& value,
                                                 const std::string& path) {
  const Kind kind = kind_of(value);
  if (place.kinds[kind] == 0) {
    return fmt::format("{} is of kind {}, not {}", place_name(path), kKindNames[kind],
                       kinds_text(place));
  }
  if (kind == kArray && place.element) {
    // Of arrays that were always empty, nothing is known about what they may hold.
    const auto& seen = place.element->kinds;
    if (std::all_of(seen.begin(), seen.end(), [](std::uint32_t n) { return n == 0; })) return {};
    for (const Json& item : value) {
      if (auto found = fault_at(*place.element, item, path + "[]")) return found;
    }
  }
  return kind == kObject ? members_fault(place, value, path) : std::nullopt;
}

std::optional<std::string> ResultShape::members_fault(const Place& place, const Json& value,
                                                      const std::string& path) {
  const auto member_path = [&](const std::string& key) {
    return path.empty() ? key : path + "." + key;
  };
  if (keys_are_data(place)) {
    const Place any = any_member(place);
    for (const auto& [key, member] : value.items()) {
      if (auto found = fault_at(any, member, member_path(key))) return found;
    }
    return std::nullopt;
  }
  const bool enough = place.kinds[kObject] >= kObjectsForKeys;
  for (const auto& [key, known] : place.members) {
    if (enough && known.seen == place.kinds[kObject] && !value.contains(key)) {
      return fmt::format("{} is missing", place_name(member_path(key)));
    }
  }
  for (const auto& [key, member] : value.items()) {
    const auto known = place.members.find(key);
    if (known != place.members.end()) {
      if (auto found = fault_at(*known->second.place, member, member_path(key))) return found;
    } else if (enough) {
      return fmt::format("{} is a key that its results never have", place_name(member_path(key)));
    }
  }
  return std::nullopt;
}

// ---- in words ----

void ResultShape::describe(const Place& place, int depth, std::string& out) {
  if (depth > kDepthMax) {
    out += "…";
    return;
  }
  bool first = true;
  for (std::size_t i = 0; i < kKinds; ++i) {
    if (place.kinds[i] == 0) continue;
    if (!first) out += " or ";
    first = false;
    if (i == kArray && place.element) {
      out += '[';
      describe(*place.element, depth + 1, out);
      out += ", …]";
    } else if (i == kObject && keys_are_data(place)) {
      out += "{any key: ";
      describe(any_member(place), depth + 1, out);
      out += ", …}";
    } else if (i == kObject) {
      out += '{';
      bool first_member = true;
      for (const auto& [key, member] : place.members) {
        if (!first_member) out += ", ";
        first_member = false;
        append_json_string(out, key);
        out += member.seen < place.kinds[kObject] ? " (not always): " : ": ";
        describe(*member.place, depth + 1, out);
      }
      out += '}';
    } else {
      out += kKindNames[i];
    }
  }
  if (first) out += "nothing";
}

std::string ResultShape::described() const {
  std::string out;
  if (results_ > texts_ + empty_) describe(*top_, 0, out);
  if (texts_ > 0) out += out.empty() ? "plain text" : ", or plain text";
  if (empty_ > 0) out += out.empty() ? "nothing" : ", or nothing";
  return out;
}

}  // namespace understudy
